"""The rooms of the engine and of the plugins are small, and each says in one sentence what it is for."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "engine" / "hookline"
#: Folders of files that are data: what `hookline new plugin` writes, and migrations, which only grow.
DATA = {"template", "versions"}


def rooms(folder: Path) -> list[Path]:
    """A package and the packages in it."""
    found = {file.parent for file in folder.rglob("*.py")}
    return sorted(room for room in found if not DATA & set(room.parts))


ROOMS = [room for room in rooms(ENGINE) if room != ENGINE]
PLUGINS = [room for room in rooms(ROOT / "plugins") if room != ROOT / "plugins"]


#: Rooms of plugins whose other files aren't modules: the front end of the console, and migrations.
MOSTLY_OTHER = {"plugins/hookline_console", "plugins/hookline_sqlstore/migrations"}


def name(room: Path) -> str:
    return str(room.relative_to(ROOT))


@pytest.mark.parametrize("room", ROOMS, ids=name)
def test_a_room_has_3_files_at_least(room: Path) -> None:
    files = list(room.glob("*.py"))
    inner = [each for each in ROOMS if each.parent == room]
    assert len(files) + len(inner) >= 3


@pytest.mark.parametrize("room", PLUGINS, ids=name)
def test_a_room_of_a_plugin_has_3_files_at_least(room: Path) -> None:
    # Two modules and their `__init__` are enough for a connector or a mapper of its own, beside others of its kind.
    files = list(room.glob("*.py"))
    inner = [each for each in PLUGINS if each.parent == room]
    assert len(files) + len(inner) >= 3 or name(room) in MOSTLY_OTHER


def test_a_room_with_other_files_has_few_modules() -> None:
    few = {name(room) for room in PLUGINS if len(list(room.glob("*.py"))) < 3}
    assert few >= MOSTLY_OTHER


@pytest.mark.parametrize("room", [*ROOMS, *PLUGINS], ids=name)
def test_a_room_says_in_one_sentence_what_it_is_for(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    sentence = text.split("\n\n", maxsplit=1)[0]
    assert sentence.endswith(".")
    assert len(sentence) <= 240


def test_fewer_than_ten_modules_stand_outside_a_room() -> None:
    assert len(list(ENGINE.glob("*.py"))) < 10


#: Folders of tests whose subject is no room: the engine as a whole, tools of the tests, and what several brokers share.
OTHER_TESTS = {"benchmarks", "chaos", "engine", "plugins", "plugins/brokers"}


def folders_without_room(tests: Path) -> list[str]:
    """The folders of a folder of tests whose names are not those of a room or a plugin."""
    rooms_of_tests = {str(room.relative_to(ENGINE)) for room in ROOMS}
    rooms_of_tests |= {str(room.relative_to(ROOT)).replace("hookline_", "") for room in PLUGINS}
    folders = {str(file.parent.relative_to(tests)) for file in tests.rglob("test_*.py")} - {"."}
    return sorted(folders - rooms_of_tests - OTHER_TESTS)


@pytest.mark.parametrize("tests", ["unit", "integration"])
def test_tests_are_in_folders_named_after_the_rooms(tests: str) -> None:
    assert folders_without_room(ROOT / "tests" / tests) == []


def test_a_folder_of_tests_without_a_room_is_noticed(tmp_path: Path) -> None:
    for folder in ("flows", "flows/check", "plugins/sql", "plugins/hookline_sql", "jobs"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "test_it.py").touch()
    assert folders_without_room(tmp_path) == ["jobs", "plugins/hookline_sql"]


@pytest.mark.parametrize("tests", ["unit", "integration"])
def test_a_folder_of_tests_has_at_most_25_files(tests: str) -> None:
    folders = {file.parent for file in (ROOT / "tests" / tests).rglob("test_*.py")}
    assert [name(folder) for folder in folders if len(list(folder.glob("*.py"))) > 25] == []
