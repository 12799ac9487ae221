"""What others wrote doesn't act in a terminal, and JSON keeps its meaning."""

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest
from click.testing import CliRunner

from hookline.cli.main import main
from hookline.cli.printable_text import harmless, json_line

ACTS = "\x1b]0;title\x07\x1b[2J\x9b31m\x7f\u202e\u2066\r"
Said = Callable[..., str]


def acts(text: str) -> bool:
    return any(one in text for one in "\x1b\x07\x9b\x7f\u202e\u2066\r")


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Returns what a command prints that calls a server with one answer."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOOKLINE_TOKEN", "a-token")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(status: int, body: bytes, *arguments: str, headers: Mapping[str, str] = {}) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Answer) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                url = f"http://127.0.0.1:{server.server_port}"
                done = CliRunner().invoke(main, [*arguments, *([] if "login" in arguments else ["--remote"]), url])
            finally:
                server.shutdown()
                thread.join()
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.output

    return call


def flow(text: str) -> Mapping[str, Any]:
    """A flow as the API describes it."""
    names = ("id", "title", "state", "version", "trigger", "url", "file")
    problem = {"message": text, "pointer": text, "code": text, "remedy": text, "severity": "error"}
    return {**dict.fromkeys(names, text), "source": None, "override": None, "problems": [problem]}


def test_a_text_loses_what_acts_and_keeps_lines_and_styles() -> None:
    shown = harmless(f"{click.style('green', fg='green')}\n\tx{ACTS}")
    assert shown.startswith("\x1b[32mgreen\x1b[0m\n\tx\\u001b]0;title\\u0007\\u001b[2J\\u009b31m\\u007f")
    assert not acts(shown.removeprefix("\x1b[32mgreen\x1b[0m"))
    assert harmless("日本語\u3000für e\u0301") == "日本語\u3000für e\u0301"


def test_json_without_what_acts_means_the_same() -> None:
    value = {ACTS: [ACTS, "日本語", 1.5, None]}
    assert not acts(json_line(value))
    assert json.loads(json_line(value)) == value


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize("command", [("flows", "list"), ("flows", "show", "x"), ("login",)])
def test_an_error_of_a_server_does_not_act(said: Said, command: tuple[str, ...], options: tuple[str, ...]) -> None:
    problem = {"detail": ACTS, "pointer": f"/{ACTS}", "code": ACTS, "remedy": ACTS}
    for problems in ([], [problem]):
        body = json.dumps({"detail": f"wrong {ACTS}", "code": ACTS, "problems": problems}).encode()
        shown = said(422, body, *command, *options)
        assert "title" in shown
        assert not acts(shown)
    redirected = said(
        302, b"", *command, *options, headers={"Location": f"http://x/{ACTS[:-1]}".encode().decode("latin-1")}
    )
    assert "redirects to http://x/" in redirected
    assert not acts(redirected)


def test_the_title_of_a_flow_does_not_act_and_adds_no_line(said: Said) -> None:
    shown = said(200, json.dumps(flow(f"a\nstate {ACTS}")).encode(), "flows", "show", "x")
    assert shown.startswith("flow a\\x0astate \\x1b]0;title")
    assert not acts(shown)
    page = json.dumps({"items": [flow(ACTS)], "next": None}).encode()
    for options in ((), ("--json",)):
        assert not acts(said(200, page, "flows", "list", *options))


@pytest.mark.parametrize("answer", [b"", b"null", b"[1]", b'"x"', b"<html>", b"[" * 100_000], ids=range(6))
def test_an_answer_that_is_not_of_hookline_is_told(said: Said, answer: bytes) -> None:
    for command in (("flows", "list"), ("flows", "show", "x"), ("login",)):
        assert "is not a Hookline server" in said(200, answer, *command)


def test_an_address_without_the_api_is_told_with_the_remedy(said: Said) -> None:
    body = b'{"detail": "Not here.", "code": "http.404"}'
    assert "give the URL under which people reach the admin API, without /api/v1" in said(404, body, "flows", "list")
