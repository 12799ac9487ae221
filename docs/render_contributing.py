"""The lists of files in CONTRIBUTING.md: where an example of each kind of addition stands, found by looking for it."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One kind of addition, with something that was added as its example."""

    example: str
    """A regular expression that finds the example."""
    roles: dict[str, str]
    """From each file, or folder, to what is added to it; all files that the example is found in, and no others."""
    elsewhere: str = r"(?!)"
    """Files in which the example is only used."""


RECIPES: Final = {
    "setting": Recipe(
        r"\bmax_backlog_total\b",
        {
            "engine/hookline/config.py": "the field, with its default and its description",
            "engine/hookline/engine_options.py": "the same for an engine, which doesn't know of files and variables",
            "engine/hookline/cli/options.py": "from the one to the other",
            "engine/hookline/engine.py": "handed to the part that needs it",
            "engine/hookline/intake/intake.py": "that part",
            "docs/reference/settings.md": "generated",
            "tests/unit/intake/": "its effect",
            "tests/integration/engine/": "the same in an engine",
        },
        elsewhere=r"docs/how-to/|tests/unit/telemetry/",
    ),
}


def files(name: str) -> str:
    """The table of a recipe. Raises AssertionError if its roles aren't those of the files that have the example."""
    recipe = RECIPES[name]
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = {file for file in tracked.splitlines() if _has(ROOT / file, recipe)}
    roles = {role for role in recipe.roles if any(_is_in(file, role) for file in found)}
    missing = {file for file in found if not any(_is_in(file, role) for role in recipe.roles)}
    gone = recipe.roles.keys() - roles
    assert not missing and not gone, f"{name}: no role for {sorted(missing)}; not found in {sorted(gone)}"
    lines = [f"| `{file}` | {role} |" for file, role in recipe.roles.items()]
    return "\n".join(["| file | what is added |", "| --- | --- |", *lines])


def _is_in(file: str, place: str) -> bool:
    return file == place or (place.endswith("/") and file.startswith(place))


def _has(path: Path, recipe: Recipe) -> bool:
    file = str(path.relative_to(ROOT))
    if file.startswith(("changes/", "docs/render")) or file == "CONTRIBUTING.md" or re.match(recipe.elsewhere, file):
        return False
    try:
        return re.search(recipe.example, path.read_text(encoding="utf-8")) is not None
    except (UnicodeDecodeError, FileNotFoundError):
        return False
