"""`hookline send`: signed by a running server, from the database, or with values that are given.

Each test runs on the server's own machine, and with a profile on another one.
"""

import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess
from tests.integration.cli.places import Place, elsewhere, here

SECRET = "hunter2-hunter2-hunter2"


def flow(id: str, verify: Any, **trigger: Any) -> dict[str, Any]:
    steps = [{"id": "seen", "use": "map", "with": {"body": "$.body"}}]
    return {"id": id, "trigger": {"use": "webhook", "with": {"verify": verify, **trigger}}, "steps": steps}


FLOWS = (
    flow("push", {"scheme": "github", "credential": "gh"}),
    flow("issues", {"scheme": "linear", "credential": "linear"}),
    flow("shop", {"scheme": "basic", "credential": "shop"}),
    flow("mail", {"scheme": "microsoft-graph", "credential": "graph"}),
    flow("open", "none"),
)
CREDENTIALS = {
    "gh": ("github", f"secret={SECRET}"),
    "linear": ("linear", f"secret={SECRET}"),
    "shop": ("basic", "username=u", f"password={SECRET}"),
    "graph": ("microsoft-graph", f"client_state={SECRET}"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("send")
    server = ForkedServer(folder)
    for one in FLOWS:
        server.flow(one)
    (folder / "event.json").write_text('{"action": "opened", "value": [{}]}')
    server.start()
    try:
        for name, (kind, *values) in CREDENTIALS.items():
            server.run("credentials", "set", name, "--type", kind, *values)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["here", "elsewhere"])
def place(request: pytest.FixtureRequest, server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The place from which the messages are sent."""
    if request.param == "here":
        return here(server)
    made = elsewhere(server, tmp_path_factory.mktemp("machine"))
    # The same event once more would be a duplicate.
    (made.folder / "event.json").write_text('{"action": "opened", "value": [{}], "from": "elsewhere"}')
    return made


def sent(place: Place, *arguments: str) -> dict[str, Any]:
    done = place.run("send", *arguments, "--json")
    assert done.stdout, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (1 if answer["status"] >= 400 else 0)
    return answer


@pytest.mark.parametrize(
    ("id", "status", "scheme"), [("push", 202, "github"), ("issues", 200, "linear"), ("open", 202, "none")]
)
def test_the_flows_own_credential_signs_and_the_flow_runs(place: Place, id: str, status: int, scheme: str) -> None:
    answer = sent(place, id, "event.json")
    assert (answer["status"], answer["scheme"]) == (status, scheme)
    execution = place.server.ended(answer["headers"]["hookline-execution-id"])
    assert execution["state"] == "succeeded"
    assert execution["steps"][0]["output"]["body"]["action"] == "opened"
    assert execution["trigger"]["verified_by"] == (None if scheme == "none" else scheme)


def test_without_a_signature_the_answer_is_401_and_the_exit_code_1(place: Place) -> None:
    answer = sent(place, "push", "event.json", "--sign", "none")
    assert (answer["status"], answer["body"]["code"]) == (401, "request.not_verified")
    done = place.run("send", "push", "event.json", "--sign", "none")
    assert done.exit_code == 1
    assert done.stdout.startswith("401 Unauthorized\n")


def test_a_header_of_ones_own_is_sent_and_may_name_the_delivery(place: Place) -> None:
    first, second = (sent(place, "push", "event.json", "-H", f"X-GitHub-Delivery: 17{place.remote}") for _ in range(2))
    assert (first["body"]["status"], second["body"]["status"]) == ("queued", "duplicate")


@pytest.mark.parametrize(
    ("id", "values"), [("shop", ["username=u", f"password={SECRET}"]), ("mail", [f"client_state={SECRET}"])]
)
def test_a_secret_that_would_be_shown_has_to_be_given(place: Place, id: str, values: list[str]) -> None:
    done = place.run("send", id, "event.json")
    assert done.exit_code == 2
    assert "--secret" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    options = [part for value in values for part in ("--secret", value)]
    assert sent(place, id, "event.json", *options)["status"] == 202
    wrong = [part.replace(SECRET, "another secret") for part in options]
    assert sent(place, id, "event.json", *wrong)["status"] == 401


def test_another_scheme_than_the_flows_needs_a_secret(place: Place) -> None:
    done = place.run("send", "push", "event.json", "--sign", "zoom")
    assert done.exit_code == 2
    assert "--secret" in done.stderr
    answer = sent(place, "push", "event.json", "--sign", "zoom", "--secret", f"secret={SECRET}")
    assert (answer["status"], answer["scheme"]) == (401, "zoom")


def test_the_media_type_is_the_files_or_the_one_that_is_given(place: Place) -> None:
    (place.folder / "body.xml").write_text("<a>1</a>")
    for arguments, body in (("body.xml",), {"a": "1"}), (("event.json", "--type", "text/plain"), None):
        answer = sent(place, "open", *arguments)
        output = place.server.ended(answer["headers"]["hookline-execution-id"])["steps"][0]["output"]["body"]
        assert output == (body if body is not None else (place.folder / "event.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing", "event.json"], 1, "there is no flow 'nothing'"),
        (["opeN", "event.json"], 1, "did you mean 'open'?"),
        (["push", "missing.json"], 2, "can't be read"),
        (["push", "event.json", "-H", "wrong"], 2, "NAME:VALUE"),
        (["push", "event.json", "--url", "localhost"], 2, "--url is an address"),
        (["push", "event.json", "--sign", "githb", "--secret", "secret=12345"], 1, "did you mean 'github'?"),
        (["push", "event.json", "-H", "X-GitHub-Delivery: 1", "-H", "x-github-delivery: 2"], 2, "send it once"),
        (["push", "event.json", "--secret", "sekret=12345"], 1, "did you mean 'secret'?"),
        (["push", "event.json", "--url", "http://127.0.0.1:1", "--sign", "none"], 1, "no server answers"),
    ],
)
def test_what_cannot_be_sent_is_said(place: Place, arguments: list[str], code: int, said: str) -> None:
    done = place.run("send", *arguments)
    assert done.exit_code == code
    assert said in done.stderr
    assert isinstance(done.exception, SystemExit)
    assert "12345" not in done.stderr


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[tuple[str, dict[str, str], bytes]]]]:
    """Another server, and what it was sent."""
    seen: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{other.server_port}", seen
        finally:
            other.shutdown()
            thread.join()


def test_the_server_of_this_machine_gets_the_message_unless_the_public_url_is_asked_for(
    server: ServerProcess,
) -> None:
    place = here(server)
    assert "--public takes the setting public_url" in place.error("send", "open", "event.json", "--public", code=2)
    with listening() as (public, seen):
        place.environment["HOOKLINE_PUBLIC_URL"] = public
        local = place.run("send", "open", "event.json")
        assert (local.exit_code, seen) == (0, [])
        assert local.stderr == f"hookline: POST {place.server.url}/hook/open\n"
        assert sent(place, "open", "event.json")["url"] == f"{place.server.url}/hook/open"
        asked = place.run("send", "open", "event.json", "--public")
        assert (asked.exit_code, [path for path, *_ in seen]) == (0, ["/hook/open"])
        assert asked.stderr == f"hookline: POST {public}/hook/open\n"


def test_a_server_that_does_not_answer_is_told_in_plain_words(place: Place) -> None:
    done = place.run("send", "push", "event.json", "--url", "http://127.0.0.1:1", "--sign", "none")
    (_, said) = done.stderr.splitlines()
    assert said == (
        "hookline: no server answers at http://127.0.0.1:1/hook/push: Connection refused; `hookline serve` starts one"
    )


def test_without_a_server_the_databases_credential_signs_for_another(tmp_path: Path) -> None:
    local = here(ForkedServer(tmp_path))
    local.server.flow(FLOWS[0])
    local.ok("credentials", "set", "gh", "--type", "github", f"secret={SECRET}")
    (tmp_path / "event.json").write_text('{"a": 1}')
    with listening() as (url, seen):
        answer = sent(local, "push/paid", "event.json", "--url", url, "--query", "x=%41")
    assert answer["status"] == 204
    ((path, headers, body),) = seen
    assert path == "/hook/push/paid?x=%41"
    assert headers["content-type"] == "application/json"
    assert headers["x-hub-signature-256"] == "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
