"""`hookline open`: a sign-in link to the console of a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.integration.cli.terminal import in_terminal
from tests.integration.cli.test_serve import hookline, serving

TOKEN = "a-token-of-the-tests"
FLOW = {"id": "greet", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": []}


class Machine(NamedTuple):
    """A server, and the folder in which commands are for it."""

    folder: Path
    url: str
    opened: Path
    """The file in which the browser notes what it was told to open."""

    @property
    def browser(self) -> str:
        return str(self.folder / "browser")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = Request(
            f"{self.url}/api/v1/{path}", data, {"Content-Type": "application/json", **headers}, method=method
        )
        try:
            with urlopen(request, timeout=10) as response:
                return response.status, json.loads(response.read() or b"null")
        except HTTPError as error:
            return error.code, json.loads(error.read())

    def signs_in(self, link: str) -> tuple[int, Any]:
        """The answer to what the page does with a link."""
        return self.ask("POST", "session", {"code": link.partition("#code=")[2]})


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "greet.json").write_text(json.dumps(FLOW))
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o755)
    with serving(tmp_path, HOOKLINE_ADMIN_TOKEN=TOKEN) as (_, said):
        yield Machine(tmp_path, said["url"], opened)


@pytest.mark.console_rule("K7")
def test_it_prints_a_link_that_signs_in_once_and_opens_it_from_a_terminal(machine: Machine, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    _, started = machine.ask("POST", "flows/greet/start", {}, **headers)
    own = {"BROWSER": machine.browser, "HOOKLINE_ADMIN_TOKEN": TOKEN}
    done = hookline(machine.folder, "open", **own)
    assert done.exit_code == 0, done.output
    link, valid = done.stdout.splitlines()
    assert link.startswith(f"{machine.url}/#code=")
    assert valid.startswith("valid once, until ")
    status, me = machine.signs_in(link)
    assert (status, me["name"]) == (200, "admin")
    assert machine.signs_in(link)[0] == 401
    assert not machine.opened.exists(), "there is no terminal"

    shown = in_terminal(
        machine.folder,
        *("open", started["execution_id"][-6:]),
        columns=200,
        environment=own,
    )
    assert shown.code == 0, shown.text
    opened = machine.opened.read_text().strip()
    assert shown.lines[0] == opened
    assert opened.startswith(f"{machine.url}/executions/{started['execution_id']}#code=")
    assert machine.signs_in(opened)[0] == 200

    machine.opened.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    _, made = machine.ask("POST", "tokens", {"name": "ann", "scopes": ["read"]}, **headers)
    done = hookline(elsewhere, "open", "--json", "--remote", machine.url, HOOKLINE_TOKEN=made["token"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told.keys() == {"url", "expires_at"}
    assert machine.signs_in(told["url"])[1]["name"] == "ann"
    done = hookline(machine.folder, "open", "01234567", **own)
    assert (done.exit_code, "there is no execution" in done.output) == (1, True)
    assert not machine.opened.exists()
    log = (machine.folder / "log").read_text()
    for secret in (TOKEN, made["token"], *(one.partition("#code=")[2] for one in (link, opened, told["url"]))):
        assert secret not in log


def test_without_a_server_there_is_no_console(tmp_path: Path) -> None:
    done = hookline(tmp_path, "open")
    assert (done.exit_code, "start one with `hookline serve`" in done.output) == (1, True)
