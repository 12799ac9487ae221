"""The picture of the engine's rooms, drawn from the list by which import-linter holds them."""

import ast
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ENGINE: Final = ROOT / "engine" / "hookline"


def floors() -> list[list[str]]:
    """The rooms from top to bottom, as pyproject.toml lists them; rooms of one floor stand in one list."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[room.strip() for room in floor.split(":")] for floor in layers]


def picture() -> str:
    """Each floor as one line of a box: a room imports from its own floor and from the floors below."""
    lines = ["   ".join(floor) for floor in floors()]
    width = max(map(len, lines)) + 2
    border = "─" * width
    drawn = f"\n├{border}┤\n".join(
        f"│ {line:<{width - 1}}│" + ("  ◀── plugins/hookline_*" if "api" in line.split() else "") for line in lines
    )
    return f"```text\n┌{border}┐\n{drawn}\n└{border}┘\n```"


def table() -> str:
    """Each room with the sentence that its `__init__` says, and the rooms inside it."""
    lines = ["| room | what it is for |", "| --- | --- |"]
    for floor in floors():
        for room in floor:
            lines += [f"| `{name}` | {sentence} |" for name, sentence in _rooms(ENGINE / room, room)]
    return "\n".join(lines)


def _rooms(folder: Path, name: str) -> list[tuple[str, str]]:
    if not folder.is_dir():
        return [(name, _sentence(folder.with_suffix(".py")))]
    found = [(name, _sentence(folder / "__init__.py"))]
    for inner in sorted(folder.iterdir()):
        if (inner / "__init__.py").exists():
            found += _rooms(inner, f"{name}/{inner.name}")
    return found


def _sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())
