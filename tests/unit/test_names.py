"""A name of the engine has one meaning: no two of its classes and types have the same."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2] / "engine" / "hookline"
#: Types that mean the same in two rooms, of which neither imports the other's for it.
SAME_IDEA = {
    "Address": {"outbound/egress.py", "service/hooks/sender.py"},  # an IP address
    "Network": {"model/webhook.py", "outbound/egress.py"},  # an IP network: as a setting, and as itself
    "Severity": {"discovery/plugin_doctor.py", "operations/attention.py"},  # error or warning
}


def types(source: str) -> Iterator[str]:
    """The public classes and type aliases of a file, each once."""
    found = set()
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef(name=name):
                found.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                # Constants are in capitals, and variables in small letters.
                if not (name.isupper() or name[0].islower()):
                    found.add(name)
            case _:
                pass
    return (name for name in sorted(found) if not name.startswith("_"))


def repeated(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The names that several files define, with these files."""
    files: dict[str, set[str]] = defaultdict(set)
    for file, source in sources.items():
        for name in types(source):
            files[name].add(file)
    return {name: where for name, where in files.items() if len(where) > 1}


def test_no_two_classes_of_the_engine_have_one_name() -> None:
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 100
    sources = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}
    assert repeated(sources) == SAME_IDEA


def test_a_repeated_class_or_type_is_found() -> None:
    one = "class Page: ...\nclass Item: ...\nScope: TypeAlias = int\nP = TypeVar('P')\n_Key = int\nMAX = 1\nlog = 1\n"
    other = "class Page: ...\nScope = str\nKind = str\nItem_ = str\n_Key = str\nMAX: Final = 2\nlog = 2\n"
    assert repeated({"one.py": one, "other.py": other}) == {name: {"one.py", "other.py"} for name in ("Page", "Scope")}
