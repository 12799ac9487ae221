"""`hookline login`, and `hookline deploy` of a folder to a server that is elsewhere."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import TOKEN, ServerProcess, eventually
from tests.integration.cli.places import Place, elsewhere

AUTH = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
OPEN = {"use": "webhook", "with": {"verify": "none"}}
CASES = {"cases": [{"name": "it runs", "input": {"body": {}}, "expect": {"outcome": "completed"}}]}


def flow(flow_id: str, number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": flow_id,
        "trigger": OPEN,
        "steps": [{"id": "made", "use": "map", "with": {"body": {"n": number}}}],
        **more,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ForkedServer(tmp_path_factory.mktemp("server"), "--flows", "database")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def place(server: ServerProcess, tmp_path: Path) -> Iterator[Place]:
    """Another machine with a folder of flows; the server has none."""
    made = elsewhere(server, tmp_path)
    (made.folder / "flows").mkdir()
    yield made
    nothing = dict.fromkeys(served(server))
    deployed(server, nothing)


def deployed(server: ServerProcess, flows: Mapping[str, Any]) -> None:
    body = json.dumps({"flows": flows}).encode()
    status, answer, _ = server.request("POST", "/api/v1/deployments", body, AUTH)
    assert status == 200, answer


def served(server: ServerProcess) -> dict[str, str]:
    return {one["id"]: one["version"] for one in server.get("/api/v1/flows")[1]["items"]}


def write(place: Place, *documents: dict[str, Any], cases: Mapping[str, Any] | None = None) -> None:
    for one in documents:
        (place.folder / "flows" / f"{one['id']}.json").write_text(json.dumps(one), encoding="utf-8")
    for flow_id, value in (cases or {}).items():
        (place.folder / "flows" / f"{flow_id}.test.json").write_text(json.dumps(value), encoding="utf-8")


@contextlib.contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that isn't Hookline's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{other.server_port}"
        finally:
            other.shutdown()
            thread.join()


def test_a_login_checks_the_token_and_says_whose_it_is(place: Place) -> None:
    made = place.json("tokens", "create", "narrow", "--scope", "author", "--flow", "a", "--expires", "90d")
    (place.folder / "token").write_text(made["token"], encoding="utf-8")
    said = place.ok("login", place.server.url, "--token-file", "token")
    assert f"signed in to {place.server.url} with token narrow: scope author, for the flows a, until 2" in said
    name = f"127.0.0.1-{place.server.port}"
    assert f"--remote {name}" in said
    assert made["token"] not in said
    assert place.json("flows", "list", "--remote", name) == {"items": [], "next": None}
    place.environment["HOOKLINE_TOKEN"] = "hookline_wrong"
    assert "doesn't accept the token" in place.error("login", place.server.url, "--profile", "wrong")
    del place.environment["HOOKLINE_TOKEN"]
    assert "no profile 'wrong'" in place.error("flows", "list", "--remote", "wrong", code=2)
    place.json("tokens", "revoke", "narrow")


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        (200, b"<html>", {}, "is not a Hookline server"),
        (200, b"{}", {}, "is not a Hookline server"),
        (404, b"", {}, "answered 404"),
        (302, b"", {"Location": "https://elsewhere.example.com/"}, "redirects to https://elsewhere.example.com/"),
    ],
)
def test_another_kind_of_server_is_told(
    place: Place, status: int, body: bytes, headers: dict[str, str], said: str
) -> None:
    with answering(status, body, **headers) as url:
        done = place.run("login", url, "--token-file", "-", text="hookline_x")
    assert said in done.stderr
    assert done.exit_code in (1, 2)
    assert isinstance(done.exception, SystemExit)


def test_a_server_that_is_gone_is_told(place: Place) -> None:
    done = place.run("login", "http://127.0.0.1:1", "--token-file", "-", text="hookline_x")
    assert done.exit_code == 1
    assert "the server at http://127.0.0.1:1 doesn't answer: Connection refused" in done.stderr


def test_differences_are_shown_and_without_a_terminal_nothing_is_deployed(place: Place) -> None:
    deployed(place.server, {"a": flow("a"), "other": flow("other")})
    before = served(place.server)
    write(place, flow("a", 1), flow("b", title="Second"), cases={"b": CASES})
    done = place.run("deploy")
    assert done.exit_code == 2
    assert "add --yes to deploy" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"flows → {place.server.url}"
    assert lines[1].startswith(f"~ a ({before['a']} → ")
    assert "    ~ steps.made.with.body.n: 0 → 1" in lines
    assert any(line.startswith("+ b (none → ") for line in lines)
    assert "only on the server, and left there: other (--delete deletes them)" in lines
    assert "1 case passed" in lines
    assert any(line.startswith("warning: flows/b.json:1: /trigger") for line in lines)
    assert served(place.server) == before
    assert "nothing was deployed" in place.ok("deploy", "--dry-run")
    assert served(place.server) == before


def test_a_deployment_is_one_and_nothing_is_left_to_deploy(place: Place) -> None:
    write(place, flow("a"), flow("b"), cases={"b": CASES})
    done = place.json("deploy", "--yes", "-m", "the first")
    assert {one["flow_id"]: one["change"] for one in done["flows"]} == {"a": "added", "b": "added"}
    (made,) = place.json("deployments", "list", "--limit", "1")["items"]
    assert (made["id"], made["message"]) == (done["deployment"]["id"], "the first")
    assert "nothing to deploy" in place.ok("deploy", "--yes")
    assert place.server.get("/api/v1/flows/b/cases")[1] == CASES
    (place.folder / "flows" / "b.test.json").unlink()
    assert "no difference in meaning; test cases too" in place.ok("deploy", "--yes")
    assert place.server.get("/api/v1/flows/b/cases")[1] == {"cases": []}
    (place.folder / "flows" / "b.json").unlink()
    assert served(place.server).keys() == {"a", "b"}
    assert "- b (" in place.ok("deploy", "--yes", "--delete")
    assert served(place.server).keys() == {"a"}


def test_a_server_with_a_folder_writes_the_files_and_a_title_is_a_difference(tmp_path: Path) -> None:
    server = ForkedServer(tmp_path)
    server.start()
    try:
        place = elsewhere(server, tmp_path / "machine")
        (place.folder / "flows").mkdir()
        for title in ("One", "Another"):
            write(place, flow("a", title=title))
            place.ok("deploy", "--yes")
            assert "nothing to deploy" in place.ok("deploy", "--yes")
            written = json.loads((tmp_path / "flows" / "a.json").read_text(encoding="utf-8"))
            assert written == flow("a", title=title)
        write(place, flow("a"))
        assert "no difference in meaning; title too" in place.ok("deploy", "--dry-run")
    finally:
        assert server.stop() == 0


def test_numbers_and_unicode_arrive_as_they_are_written(place: Place) -> None:
    numbers = '{"n": 1.10, "big": 12345678901234567890}'
    text = f'\ufeff{{"id": "a", "title": "Grüße", "trigger": {{"use": "manual"}}, "vars": {numbers}, "steps": []}}'
    (place.folder / "flows" / "a.json").write_text(text, encoding="utf-8")
    place.ok("deploy", "--yes")
    assert "nothing to deploy" in place.ok("deploy", "--yes")
    found = place.ok("diff", "a")
    assert "no difference" in found


@pytest.mark.parametrize("option", ["--check", "--no-check"])
def test_one_wrong_flow_of_ten_is_shown_by_its_file_and_changes_nothing(place: Place, option: str) -> None:
    write(place, *(flow(f"f{number}") for number in range(10)))
    place.ok("deploy", "--yes")
    before = served(place.server)
    write(place, *(flow(f"f{number}", 1) for number in range(10)))
    wrong = {"id": "f7", "trigger": OPEN, "steps": [{"id": "a", "use": "nowhere"}]}
    (place.folder / "flows" / "f7.json").write_text(json.dumps(wrong, indent=2), encoding="utf-8")
    said = place.error("deploy", "--yes", option)
    assert "flows/f7.json:12: /steps/0/use: there is no action 'nowhere'" in said
    assert served(place.server) == before


def test_what_is_wrong_with_files_is_told_at_once(place: Place) -> None:
    write(place, flow("a"))
    (place.folder / "flows" / "b.json").write_text("{", encoding="utf-8")
    (place.folder / "flows" / "c.json").write_text(json.dumps(flow("d")), encoding="utf-8")
    said = place.error("deploy", "--yes")
    assert "flows/b.json:1: the text is not JSON" in said
    assert "flows/c.json:1: /id: its id isn't the name of its file" in said
    assert "there is no folder nowhere" in place.error("deploy", "nowhere", code=2)
    assert served(place.server) == {}


def test_a_case_that_fails_stops_the_deployment(place: Place) -> None:
    failing = {"cases": [{"name": "it fails", "input": {"body": {}}, "expect": {"outcome": "filtered"}}]}
    write(place, flow("a"), cases={"a": failing})
    said = place.error("deploy", "--yes")
    assert "1 of 1 case failed, so nothing is deployed: a: it fails; `hookline test flows` shows why" in said
    assert served(place.server) == {}
    place.ok("deploy", "--yes", "--no-check")
    assert served(place.server).keys() == {"a"}


def test_of_two_who_deploy_at_once_the_second_is_told_and_nothing_is_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, flow("a"), flow("b"))
    place.ok("deploy", "--yes")
    write(place, flow("a", 1), flow("b", 1))

    def meanwhile(*_: object, **__: object) -> bool:
        deployed(place.server, {"b": flow("b", 2)})
        return True

    monkeypatch.setattr("hookline.cli.deploy.deploy.can_ask", lambda: True)
    monkeypatch.setattr(click, "confirm", meanwhile)
    done = place.run("deploy")
    assert done.exit_code == 1
    assert "somebody has deployed meanwhile, so nothing was changed" in done.stderr
    now = {one: place.json("graph", f"{one}@current")["version"] for one in ("a", "b")}
    assert now == served(place.server)
    assert [one["flow_id"] for one in place.json("deployments", "list")["items"][0]["flows"]] == ["b"]


def test_a_question_is_asked_and_no_changes_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline.cli.deploy.deploy.can_ask", lambda: True)
    write(place, flow("a"))
    declined = place.run("deploy", text="n\n")
    assert declined.exit_code == 1
    assert f"Deploy 1 flow to {place.server.url}? [y/N]" in declined.stderr
    assert served(place.server) == {}
    assert place.run("deploy", text="y\n").exit_code == 0
    assert served(place.server).keys() == {"a"}


def test_it_is_told_where_waiting_executions_go_on(place: Place) -> None:
    steps = [{"id": "answer", "use": "webhook", "with": {"timeout": "1d"}}]
    write(place, {"id": "asks", "trigger": OPEN, "steps": steps})
    place.ok("deploy", "--yes")
    execution_id = place.server.post("asks", {})[1]["execution_id"]
    path = f"/api/v1/executions/{execution_id}"
    place.server.eventually("it waits", lambda: place.server.get(path)[1]["state"] == "waiting")
    more = [*steps, {"id": "told", "use": "log", "with": {"message": "x"}}]
    write(place, {"id": "asks", "trigger": OPEN, "steps": more})
    said = place.ok("deploy", "--yes")
    assert f"    {execution_id} continues at answer" in said
    assert f"hookline executions move --to current {execution_id}" in said
    assert place.server.get(path)[1]["flow_version"] != served(place.server)["asks"]
    place.ok("executions", "move", execution_id, "--to", "current")
    assert place.server.get(path)[1]["flow_version"] == served(place.server)["asks"]
    place.ok("executions", "cancel", execution_id)


def test_a_deployment_is_rolled_back_by_a_short_id_after_a_question(place: Place) -> None:
    write(place, flow("a"))
    first = place.json("deploy", "--yes")["deployment"]["id"]
    before = served(place.server)
    write(place, flow("a", 1), flow("b"))
    place.ok("deploy", "--yes")
    assert "add --yes to roll back" in place.error("deployments", "rollback", first[-8:], code=2)
    assert "there is no deployment" in place.error("deployments", "show", "00000000")
    shown = place.ok("deployments", "show", first[-8:])
    assert f"deployment {first} at " in shown
    place.ok("deployments", "rollback", first[-8:], "--yes")
    assert served(place.server) == before
    assert f"rollback to {first}" in place.ok("deployments", "list")


def test_the_default_folder_of_a_server_with_a_database_is_flows(place: Place) -> None:
    place.environment["HOOKLINE_FLOWS"] = "database"
    write(place, flow("a"))
    assert place.ok("deploy", "--yes").startswith("flows → ")


def test_a_watched_folder_is_deployed_again_whenever_it_changes(place: Place) -> None:
    write(place, flow("a"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
    command = [sys.executable, "-m", "hookline.cli.main", "deploy", "--watch", "--yes", "--no-check"]
    log = place.folder / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=place.folder,
            env=clean | place.environment,
            stdout=output,
            stderr=output,
            # A run of tests in the background of a shell ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
        try:
            eventually("it watches", lambda: "watching flows" in log.read_text() or process.poll() is not None)
            before = served(place.server)
            assert before.keys() == {"a"}, log.read_text()
            (place.folder / "flows" / "a.json").write_text("{", encoding="utf-8")
            eventually("the problem is shown", lambda: "flows/a.json:1: the text is not JSON" in log.read_text())
            assert served(place.server) == before
            write(place, flow("a", 1), flow("b"))
            eventually("both are deployed", lambda: served(place.server).keys() == {"a", "b"})
            assert served(place.server)["a"] != before["a"]
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            if process.poll() is None:
                process.kill()
