"""The numbers of the contract's promises and rules, and of the rules of many nodes and of the console, and the tests
that name them."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "contract.md"
NODES = ROOT / "docs" / "reference" / "nodes.md"
CONSOLE = ROOT / "docs" / "reference" / "console.md"
PAGES = (PAGE, NODES, CONSOLE)
#: The folders with tests: those of the project, and the suites that backends subclass.
FOLDERS = (ROOT / "tests", ROOT / "engine" / "hookline" / "testing" / "contracts")
#: The markers of the rules whose numbers have a letter.
LETTERS = {"C": "cluster_rule", "K": "console_rule"}
_HEADING = re.compile(r"^### (Promise|Rule) ([CK]?)(\d+): (.+)$", re.MULTILINE)
_MARKER = re.compile(r"pytest\.mark\.(\w+_)?(promise|rule)\b")
_RESERVED = re.compile(r"^Rules? ([\d, toand]+) (?:is|are) reserved\.$", re.MULTILINE)


class Clause(NamedTuple):
    """The kind and number of a promise or a rule. The kind is the name of the marker: Rule C1 is a `cluster_rule`, and
    Rule K13 a `console_rule`."""

    kind: str
    number: int

    def __str__(self) -> str:
        letter = next((letter for letter, kind in LETTERS.items() if kind == self.kind), None)
        return f"{self.kind.capitalize()} {self.number}" if letter is None else f"Rule {letter}{self.number}"


class Citation(NamedTuple):
    """A test, and a clause that it names."""

    clause: Clause
    file: str
    test: str


def clauses(page: Path = PAGE) -> list[tuple[Clause, str]]:
    """Each promise and rule of a page with its title, in the order of the page."""
    found = _HEADING.findall(page.read_text(encoding="utf-8"))
    return [(Clause(LETTERS.get(letter, kind.lower()), int(number)), title) for kind, letter, number, title in found]


def reserved() -> set[int]:
    """The numbers that no rule has yet."""
    found = _RESERVED.search(PAGE.read_text(encoding="utf-8"))
    numbers: set[int] = set()
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", found[1] if found else ""):
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


@cache
def citations(folders: tuple[Path, ...] = FOLDERS, root: Path = ROOT) -> Sequence[Citation]:
    """Each clause that a test names by a marker, in the order of files."""
    found: list[Citation] = []
    for path in [path for folder in folders for path in sorted(folder.rglob("*.py"))]:
        text = path.read_text(encoding="utf-8")
        # Most files name none, and it takes seconds to parse them all.
        if not _MARKER.search(text):
            continue
        name, tree = path.relative_to(root).as_posix(), ast.parse(text)
        of_all = list(_marked(_module_marks(tree)))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                of_module = of_all if node.name.startswith("test_") else []
                named = dict.fromkeys((*of_module, *_marked(node.decorator_list)))
                found += [Citation(clause, name, node.name) for clause in named]
    return found


def _module_marks(tree: ast.Module) -> Sequence[ast.expr]:
    """The markers that a module gives to all its tests, in `pytestmark`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            return node.value.elts if isinstance(node.value, ast.List) else [node.value]
    return []


def _marked(decorators: Sequence[ast.expr]) -> Iterator[Clause]:
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
            kind = decorator.func.attr
            if kind in ("promise", "rule", *LETTERS.values()) and ast.unparse(decorator.func.value) == "pytest.mark":
                for number in decorator.args:
                    yield Clause(kind, int(str(ast.literal_eval(number)).lstrip("CK")))


def table(page: Path = PAGE) -> str:
    """The tests of each promise and rule of a page, by file."""
    by_clause: defaultdict[Clause, dict[str, list[str]]] = defaultdict(dict)
    for clause, file, test in citations():
        by_clause[clause].setdefault(file, []).append(test)
    return "\n\n".join(_section(clause, title, by_clause[clause]) for clause, title in clauses(page))


def _section(clause: Clause, title: str, files: Mapping[str, Sequence[str]]) -> str:
    lines = [f"- `{file}`: {', '.join(f'`{test}`' for test in tests)}" for file, tests in files.items()]
    return "\n".join([f"## {clause}: {title}", "", *lines])
