"""The contract and its tests belong together: each clause has tests, and no test names a clause that isn't there."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from docs.contract_index import (
    CONSOLE,
    LETTERS,
    NODES,
    PAGE,
    PAGES,
    ROOT,
    Citation,
    Clause,
    citations,
    clauses,
    reserved,
)

KINDS = ("promise", "rule")
FOLDERS = ("changes", "docs", "engine", "flows", "plugins", "tests")
TEXTS = (".md", ".py", ".toml", ".ini", ".json")


@pytest.fixture(scope="module")
def cited() -> Sequence[Citation]:
    return citations()


def texts() -> Iterator[Path]:
    """The texts of the project."""
    yield from (path for path in ROOT.iterdir() if path.suffix in TEXTS)
    for folder in FOLDERS:
        yield from (
            path for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS and "node_modules" not in path.parts
        )


def test_numbers_are_used_once_and_none_is_left_out() -> None:
    numbers = {kind: [one.number for one, _ in clauses() if one.kind == kind] for kind in KINDS}
    assert numbers["promise"] == list(range(1, 10))
    assert numbers["rule"] == sorted(set(numbers["rule"])), "a number twice, or out of order"
    assert not reserved() & set(numbers["rule"]), "a reserved number has a rule"
    assert reserved() | set(numbers["rule"]) == set(range(1, 56)), "a number is neither a rule nor reserved"


@pytest.mark.parametrize(("page", "kind"), [(NODES, LETTERS["C"]), (CONSOLE, LETTERS["K"])])
def test_rules_with_a_letter_are_in_order(page: Path, kind: str) -> None:
    numbers = [(one.kind, one.number) for one, _ in clauses(page)]
    assert numbers == sorted(set(numbers))
    assert {found for found, _ in numbers} == {kind}


@pytest.mark.parametrize("clause", [clause for page in PAGES for clause, _ in clauses(page)], ids=str)
def test_each_clause_has_a_test_that_names_it(clause: Clause, cited: Sequence[Citation]) -> None:
    assert [test for named, _, test in cited if named == clause]


def test_a_test_names_only_clauses_of_the_contract(cited: Sequence[Citation]) -> None:
    known = {clause for page in PAGES for clause, _ in clauses(page)}
    assert [(str(clause), file, test) for clause, file, test in cited if clause not in known] == []


def test_only_tests_name_clauses(cited: Sequence[Citation]) -> None:
    assert [(file, test) for _, file, test in cited if not test.startswith(("test_", "Test"))] == []


def test_markers_are_found(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "test_some.py"
    file.parent.mkdir()
    marks = "@pytest.mark.rule(3, 60)\n@pytest.mark.promise(1)\n"
    marks += "@pytest.mark.cluster_rule('C2')\n@pytest.mark.console_rule('K3')\n"
    file.write_text(f"{marks}async def test_it(): ...\n", encoding="utf-8")
    assert [(str(clause), name, test) for clause, name, test in citations((file.parent,), tmp_path)] == [
        ("Rule 3", "tests/test_some.py", "test_it"),
        ("Rule 60", "tests/test_some.py", "test_it"),
        ("Promise 1", "tests/test_some.py", "test_it"),
        ("Rule C2", "tests/test_some.py", "test_it"),
        ("Rule K3", "tests/test_some.py", "test_it"),
    ]


@pytest.mark.parametrize("marks", ["pytest.mark.rule(38)", "[pytest.mark.long, pytest.mark.rule(38)]"])
def test_markers_of_a_module_are_those_of_each_test_in_it(tmp_path: Path, marks: str) -> None:
    file = tmp_path / "test_it.py"
    tests = "def helper(): ...\n@pytest.mark.rule(38)\n@pytest.mark.rule(2)\ndef test_one(): ...\ndef test_two(): ...\n"
    file.write_text(f"pytestmark = {marks}\n{tests}", encoding="utf-8")
    assert [(str(clause), test) for clause, _, test in citations((tmp_path,), tmp_path)] == [
        ("Rule 38", "test_one"),
        ("Rule 2", "test_one"),
        ("Rule 38", "test_two"),
    ]


def test_what_the_project_says_of_rules_is_in_the_contract() -> None:
    """A page, a comment or a message that names a rule names one that is there, and no page outside the project."""
    known = {str(clause).lower() for page in PAGES for clause, _ in clauses(page)}
    wrong: list[str] = []
    for path in sorted(texts()):
        inner = path.relative_to(ROOT)
        if inner in (PAGE.relative_to(ROOT), Path("tests/unit/test_contract.py"), Path("CHANGELOG.md")):
            continue
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"\b(?:SEMANTICS|[Ss]emantics \d|(?:DESIGN|HOUSE|CLUSTER|CONSOLE|STYLE)\.md)", text):
            wrong.append(f"{inner}: {match[0]}")
        for match in re.finditer(r"\b(promise|rule)s? ([CK]?\d+)\b", text, re.IGNORECASE):
            if f"{match[1]} {match[2]}".lower() not in known:
                wrong.append(f"{inner}: {match[0]}")
    assert wrong == []
