"""`hookline graph` of files: by id and by path, printed and written."""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import parse

import pytest
from click.testing import CliRunner, Result

from hookline.cli.main import main

FLOW: dict[str, Any] = {
    "id": "greets",
    "title": "Greet",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "hello", "use": "log", "with": {"message": "x"}}],
}
TREE = "greets: Greet\n├── on webhook\n└── hello: log\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "greets.json").write_text(json.dumps(FLOW), encoding="utf-8")
    return tmp_path


def graph(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["graph", *arguments])


@pytest.mark.parametrize("name", ["greets", "flows/greets.json"])
def test_a_flow_is_drawn_by_its_id_and_by_its_file_without_a_server(name: str, folder: Path) -> None:
    done = graph(name)
    assert (done.exit_code, done.stdout) == (0, TREE)
    assert not (folder / ".hookline").exists()


def test_a_drawing_is_written_to_a_file(folder: Path) -> None:
    done = graph("greets", "--format", "svg", "-o", "greets.svg")
    assert (done.exit_code, done.stdout) == (0, "greets.svg: flow greets as svg\n")
    assert parse(folder / "greets.svg").getroot().tag.endswith("svg")
    assert graph("greets", "-o", "nowhere/greets.txt").exit_code == 2


def test_with_json_the_drawing_is_a_text_in_it() -> None:
    shown = json.loads(graph("greets", "--json").stdout)
    assert (shown["flow_id"], shown["format"], shown["drawing"]) == ("greets", "tree", TREE.rstrip("\n"))


def test_what_cannot_be_drawn_is_told(folder: Path) -> None:
    missing = graph("nothing")
    assert (missing.exit_code, "flows/nothing.json can't be read" in missing.stderr) == (2, True)
    (folder / "flows" / "greets.json").write_text(json.dumps({**FLOW, "steps": [{"usee": "log"}]}), encoding="utf-8")
    wrong = graph("greets")
    assert wrong.exit_code == 1
    assert "flows/greets.json:1: /steps/0/usee" in wrong.stderr
