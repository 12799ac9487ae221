"""The two places from which the same commands are run: the server's own folder, and another machine."""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from click.testing import CliRunner, Result
from tests.acceptance.server_process import TOKEN, ServerProcess

from hookline.cli.main import main

PROFILE = "there"


class Place:
    """A folder in which commands run, with the variables that they have there."""

    def __init__(self, server: ServerProcess, folder: Path, environment: Mapping[str, str], *, remote: bool) -> None:
        self.server = server
        self.folder = folder
        self.environment = dict(environment)
        self.remote = remote

    def run(self, *arguments: str, text: str | None = None) -> Result:
        """Run a command in this process. `text`: its standard input."""
        others = dict.fromkeys(name for name in os.environ if name.startswith("HOOKLINE_"))
        with contextlib.chdir(self.folder), self._nothing_of_this_machine():
            return CliRunner().invoke(main, arguments, env=others | self.environment, input=text)

    def ok(self, *arguments: str, text: str | None = None) -> str:
        """Run a command that succeeds, and return what it prints."""
        done = self.run(*arguments, text=text)
        assert done.exit_code == 0, done.output
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "--json"))

    def error(self, *arguments: str, code: int = 1) -> str:
        """Run a command that fails, and return the error."""
        done = self.run(*arguments)
        assert done.exit_code == code, done.output
        assert isinstance(done.exception, SystemExit), done.exception
        return done.stderr

    @contextlib.contextmanager
    def _nothing_of_this_machine(self) -> Iterator[None]:
        """A remote command opens no database, and doesn't look for the file of a server."""
        if not self.remote:
            yield
            return
        names = ("hookline.cli.client.admin_api_choice.find", "hookline.cli.client.admin_api_choice.in_process")
        with contextlib.ExitStack() as stack:
            for name in names:
                stack.enter_context(patch(name, _forbidden))
            yield


def _forbidden(*_: object) -> NoReturn:
    raise AssertionError("a remote command used the server or the database of this machine")


def here(server: ServerProcess) -> Place:
    """The server's own folder."""
    return Place(server, server.folder, server.environment(), remote=False)


def elsewhere(server: ServerProcess, folder: Path) -> Place:
    """Another machine, with a profile: another home, another folder, and none of the server's variables."""
    home, work = folder / "home", folder / "work"
    home.mkdir(parents=True)
    work.mkdir()
    place = Place(server, work, {"HOME": str(home), "XDG_CONFIG_HOME": "", "NO_COLOR": "1"}, remote=True)
    place.ok("login", server.url, "--profile", PROFILE, "--token-file", "-", text=f"{TOKEN}\n")
    place.environment["HOOKLINE_REMOTE"] = PROFILE
    return place


_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?"), "TIME"),
    (re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), "DATE"),
    (re.compile(r"\bhookline_[A-Za-z0-9_-]+"), "TOKEN"),
    (re.compile(r"#code=[\w-]+"), "#code=…"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"/resume/[A-Za-z0-9_.-]+"), "/resume/…"),
    (re.compile(r"\d[\d,.]* ?(bytes|kB|MB|GB|ms|s)\b"), "SIZE"),
    (re.compile(r'"(used|database|files|reusable|duration|took|size|lag|age|cursor|next)":[\d.]+'), r'"\1":0'),
    (re.compile(r" {2,}"), "  "),
)


class Transcript:
    """What commands printed, without what differs from one server to another."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.lines: list[str] = []
        self.commands: list[str] = []
        self._ids: dict[str, str] = {}

    def run(self, *arguments: str, text: str | None = None) -> Result:
        done = self.place.run(*arguments, text=text)
        assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
        self.commands.append(" ".join(arguments))
        shown = " ".join(arguments)
        for part in (f"$ hookline {shown}", done.stdout, done.stderr, f"exit code {done.exit_code}"):
            self.lines.append(self._same(part))
        return done

    def _same(self, text: str) -> str:
        for folder, name in ((self.place.server.folder, "SERVER"), (self.place.folder, "SERVER")):
            text = text.replace(str(folder), name)
        text = _UUID.sub(lambda found: self._ids.setdefault(found[0], f"id{len(self._ids)}"), text)
        for full, short in self._ids.items():
            text = text.replace(full[-8:], f"end of {short}")
        for pattern, replacement in _CHANGING:
            text = pattern.sub(replacement, text)
        return text
