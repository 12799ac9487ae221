"""`hookline fmt`, `diff` and `flows`, where no server runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.flows.authoring.formatter import format_flow
from hookline.secrets.encryption import generate_key, read_keys

KEYS = read_keys(generate_key())

FLOW = {
    "id": "greet",
    "title": "Greet",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "hello", "use": "map", "with": {"body": {"z": "$.body.name", "a": 1}}}],
}
OTHER = {**FLOW, "steps": [{"id": "hello", "use": "map", "with": {"body": {"z": "$.body.title", "a": 1}}}]}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    file = tmp_path / "flows" / "greet.json"
    file.write_text(format_flow(FLOW), encoding="utf-8")
    return file


def hookline(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def given(*arguments: str, code: int = 0) -> Any:
    return json.loads(hookline(*arguments, "--json", code=code))


def published(*documents: dict[str, Any]) -> None:
    """Let a server have served the documents, one after the other."""

    async def serve() -> None:
        options = EngineOptions("sqlite:///.hookline/hookline.db", "file:blobs", Path("flows"), KEYS, watch=False)
        async with Engine(load_plugins(), options) as engine:
            for document in documents:
                Path("flows/greet.json").write_text(format_flow(document), encoding="utf-8")
                await engine.version_switch.refresh()

    Path(".hookline").mkdir(exist_ok=True)
    asyncio.run(serve())


def test_fmt_writes_the_canonical_form_and_check_notes_what_is_not(file: Path) -> None:
    canonical = file.read_text(encoding="utf-8")
    assert hookline("fmt", "--check") == "1 flow: 0 would change\n"
    file.write_text(json.dumps(dict(reversed(FLOW.items()))), encoding="utf-8")
    noted = given("check", "--no-credentials", "--json")["problems"]
    assert [one["code"] for one in noted if one["severity"] == "note"] == ["not_canonical"]
    assert ", 1 note" in hookline("check", "--no-credentials")
    assert hookline("fmt", "--check", code=1) == "flows/greet.json\n1 flow: 1 would change\n"
    assert given("fmt", "flows/greet.json")["changed"] == ["flows/greet.json"]
    assert file.read_text(encoding="utf-8") == canonical


def test_a_note_is_no_error_even_to_the_strict(file: Path) -> None:
    verified = {**FLOW, "trigger": {"use": "webhook", "with": {"verify": {"scheme": "github", "credential": "gh"}}}}
    file.write_text(json.dumps(verified), encoding="utf-8")
    assert "0 errors, 0 warnings, 1 note" in hookline("check", "--no-credentials", "--strict")


@pytest.mark.parametrize("text", ["{", "[]", '{"id": "a", "id": "b"}'])
def test_fmt_leaves_alone_what_has_no_canonical_form(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert "flows/greet.json" in hookline("fmt", code=1)
    assert file.read_text(encoding="utf-8") == text


def test_diff_compares_files_and_ends_as_diff_does(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(OTHER), encoding="utf-8")
    assert "no difference" in hookline("diff", "flows/greet.json", "greet")
    shown = hookline("diff", "greet", "other.json", code=1)
    assert '~ steps.hello.with.body.z: "$.body.name" → "$.body.title"' in shown
    (compared,) = given("diff", "greet", "other.json", code=1)["compared"]
    assert compared["differences"] == [
        {"kind": "mapping", "at": "steps.hello.with.body.z", "old": "$.body.name", "new": "$.body.title"}
    ]
    for wrong in (["nowhere.json", "greet"], ["greet@abcd", "greet"], ["greet"]):
        hookline("diff", *wrong, code=2)
    other.write_text("{", encoding="utf-8")
    hookline("diff", "greet", "other.json", code=2)


def test_diff_compares_a_flow_with_the_version_that_serves(file: Path) -> None:
    published(FLOW, OTHER)
    assert "no difference" in hookline("diff")
    assert "no difference" in hookline("diff", "greet")
    old, new = (one["version"] for one in reversed(given("flows", "versions", "greet")["items"]))
    assert given("diff", f"greet@{old[:5]}", "greet", code=1)["compared"][0]["new_version"] == new
    file.write_text(format_flow(FLOW), encoding="utf-8")
    assert "1 difference" in hookline("diff", "greet", code=1)
    assert "1 difference" in hookline("diff", code=1)
    assert "no difference" in hookline("diff", f"greet@{old}")


def test_a_version_is_rolled_back_into_the_file_which_keeps_its_title(file: Path) -> None:
    published(FLOW, {**OTHER, "title": "Another title"})
    done = given("flows", "rollback", "greet")
    text = file.read_text(encoding="utf-8")
    assert text == format_flow({**FLOW, "title": "Another title"})
    assert list(json.loads(text)["steps"][0]["with"]["body"]) == ["z", "a"]
    assert done["version"] == given("flows", "versions", "greet")["items"][0]["version"]
    hookline("flows", "rollback", "greet", "0000", code=1)


@pytest.mark.parametrize("text", ['{"id": "greet", "steps": []}', "{"])
def test_what_never_served_is_given_up_only_by_force(file: Path, text: str) -> None:
    published(FLOW, OTHER)
    file.write_text(text, encoding="utf-8")
    assert "--force" in hookline("flows", "rollback", "greet", code=1)
    assert file.read_text(encoding="utf-8") == text
    hookline("flows", "rollback", "greet", "--force")
    assert json.loads(file.read_text(encoding="utf-8"))["steps"] == FLOW["steps"]


POLL = {"use": "file.new", "with": {"folder": "in"}}


@pytest.fixture
def polled(file: Path, tmp_path: Path) -> Path:
    """A flow whose poll has begun on one folder after another."""

    async def serve() -> None:
        url = "sqlite:///.hookline/hookline.db"
        options = EngineOptions(url, "file:blobs", Path("flows"), KEYS, files_root=tmp_path, watch=False)
        async with Engine(load_plugins(), options) as engine:
            for folder in ("in", "out"):
                (tmp_path / folder).mkdir()
                trigger = {**POLL, "with": {"folder": folder}}
                file.write_text(format_flow({**FLOW, "trigger": trigger}), encoding="utf-8")
                before = json.loads(await engine.store.cursor("greet") or b"{}").get("identity")
                await engine.version_switch.refresh()
                identity = before
                while identity == before:
                    await asyncio.sleep(0.01)
                    identity = json.loads(await engine.store.cursor("greet") or b"{}").get("identity")

    Path(".hookline").mkdir(exist_ok=True)
    asyncio.run(serve())
    return file


def answered(file: Path) -> Any:
    """What the plan says about the poll of the file."""
    return given("flows", "plan", "greet", "--file", str(file))["poll"]


@pytest.mark.rule(45)
def test_a_plan_says_that_a_poll_starts_anew_and_keeps_the_answer(
    polled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text(format_flow({**FLOW, "trigger": POLL}), encoding="utf-8")
    assert answered(polled) is None
    known = {"trigger": "file.new", "changed": ["folder"]}
    assert answered(other) == {**known, "existing": False, "answered": False}
    shown = hookline("flows", "plan", "greet", "--file", "other.json")
    assert "the poll file.new starts anew, because of folder; the items that exist then count as seen (say" in shown
    monkeypatch.setattr("hookline.cli.deploy.flows.can_ask", lambda: True)
    result = CliRunner().invoke(main, ["flows", "plan", "greet", "--file", "other.json"], input="y\n")
    assert "Shall the items that exist start executions?" in result.output
    assert answered(other) == {**known, "existing": True, "answered": True}
    hookline("flows", "plan", "greet", "--file", "other.json", "--no-existing")
    assert answered(other) == {**known, "existing": False, "answered": True}


@pytest.mark.rule(45)
def test_a_rollback_after_which_a_poll_starts_anew_asks_what_to_do_with_existing_items(
    polled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = polled.read_text(encoding="utf-8")
    assert "--existing" in hookline("flows", "rollback", "greet", code=2)
    assert polled.read_text(encoding="utf-8") == before
    monkeypatch.setattr("hookline.cli.deploy.flows.can_ask", lambda: True)
    result = CliRunner().invoke(main, ["flows", "rollback", "greet"], input="y\n")
    assert (result.exit_code, "starts anew. Shall the items" in result.output) == (0, True)
    assert json.loads(polled.read_text(encoding="utf-8"))["trigger"] == POLL
    assert answered(polled)["existing"] is True


def test_a_rollback_keeps_the_files_mode_and_a_link(file: Path, tmp_path: Path) -> None:
    published(FLOW, OTHER)
    real = file.rename(tmp_path / "real.json")
    real.chmod(0o640)
    file.symlink_to(real)
    hookline("flows", "rollback", "greet")
    assert file.is_symlink()
    assert (real.stat().st_mode & 0o777, json.loads(real.read_text(encoding="utf-8"))["steps"]) == (
        0o640,
        FLOW["steps"],
    )
    assert [found.name for found in file.parent.iterdir()] == ["greet.json"]


def test_a_decision_about_a_flow_is_shown_beside_what_its_file_says(file: Path) -> None:
    published(FLOW)
    assert hookline("flows", "pause", "greet") == "flow greet is paused (its file says active)\n"
    assert "paused (its file says active)" in hookline("flows", "list")
    shown = hookline("flows", "show", "greet")
    assert "hookline flows reset greet" in shown
    assert given("flows", "show", "greet")["override"]["file_state"] == "active"
    assert hookline("flows", "stop", "greet") == "flow greet is stopped (its file says active)\n"
    assert hookline("flows", "resume", "greet") == "flow greet is active\n"
    file.write_text(format_flow({**FLOW, "state": "paused"}), encoding="utf-8")
    assert hookline("flows", "resume", "greet") == "flow greet is active (its file says paused)\n"
    assert hookline("flows", "reset", "greet") == "flow greet is paused\n"
    assert "greet" in hookline("flows", "pause", "gret", code=1)


def test_what_runs_no_flow_takes_no_server() -> None:
    published(FLOW)
    assert given("flows", "plan", "greet")["items"] == []
    (moved,) = given("executions", "move", "x", "--to", "current", code=1)["items"]
    assert (moved["moved"], moved["code"]) == (False, "execution.not_found")
    assert "hookline serve" in hookline("start", "greet", code=1)


def test_a_command_that_reads_creates_no_database(file: Path) -> None:
    listed = CliRunner().invoke(main, ["flows", "list", "--json"])
    assert [one["id"] for one in json.loads(listed.stdout)["items"]] == ["greet"]
    assert listed.stderr == "hookline: there is no database .hookline/hookline.db yet\n"
    assert not Path(".hookline").exists()
