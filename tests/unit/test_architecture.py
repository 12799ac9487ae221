"""docs/architecture.md names files that exist, in walks of at most fifteen stops; import rules name all rooms."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WALKS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S))


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_has_at_most_fifteen_stops_in_files_that_exist(name: str) -> None:
    stops = re.findall(r"^\| (\d+) \| `(.+?)` \|", WALKS[name], re.M)
    assert [int(number) for number, _ in stops] == list(range(1, len(stops) + 1))
    assert 5 <= len(stops) <= 15
    assert [file for _, file in stops if not (ROOT / "engine" / "hookline" / file).is_file()] == []


def test_there_are_four_walks() -> None:
    assert len(WALKS) == 4


def test_an_execution_is_followed_through_at_most_eight_files() -> None:
    stops = re.findall(r"^\| \d+ \| `(executions/.+?)` \|", WALKS["From a delivery to the end"], re.M)
    assert 0 < len(stops) <= 8
    assert WALKS["From a delivery to the end"].count("\n| ") == len(stops) + 2, "every stop is in `executions`"


def test_all_rooms_but_the_service_and_the_command_line_know_of_no_web_framework() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["name"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    layers = contracts["Each room imports from rooms below"]["layers"]
    rooms = [room.strip() for floor in layers for room in floor.split(":")]
    contract = contracts["Only the service and the command line know of a web framework"]
    assert contract["source_modules"] == [f"hookline.{room}" for room in rooms if room not in ("cli", "service")]
