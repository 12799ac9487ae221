"""Each code of what is wrong with flows is described."""

import ast
from collections.abc import Iterator
from pathlib import Path

import hookline
from hookline.flows.check.codes import CODES

#: Codes of a body, in the response to its sender; the others are `schema.` and the keyword that isn't satisfied.
OF_BODIES = {"schema.too_long", "schema.not_located"}
SOURCES = [
    source
    for room in ("flows", "deployments", "operations", "catalog", "service/admin/flows")
    for source in (Path(hookline.__file__).parent / room).rglob("*.py")
]


def used() -> Iterator[str]:
    """The code of each problem that is made, where it is written out."""
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name not in ("Problem", "problem"):
                continue
            codes = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            for code in codes or node.args[2:3]:
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    yield code.value


def test_every_code_is_described() -> None:
    found = set(used())
    assert len(found) > 30, "problems aren't made as this test looks for them any more"
    assert sorted(found - CODES.keys() - OF_BODIES) == []
