"""The functions of the rooms through which each message passes fit on a screen."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[2] / "engine" / "hookline"
#: Lines, with the signature and the docstring.
LONGEST = 40


def too_long(source: str) -> Iterator[str]:
    """The functions that are longer, with their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > LONGEST:
                yield f"{node.name}: {lines} lines"


@pytest.mark.parametrize("room", ["executions", "intake"])
def test_no_function_is_longer_than_40_lines(room: str) -> None:
    files = sorted((ENGINE / room).rglob("*.py"))
    assert files
    assert [f"{file.name}: {each}" for file in files for each in too_long(file.read_text(encoding="utf-8"))] == []


def test_a_longer_function_is_found() -> None:
    line = "    pass\n"
    source = f"def fits():\n{line * (LONGEST - 1)}async def is_longer():\n{line * LONGEST}"
    assert list(too_long(source)) == ["is_longer: 41 lines"]
