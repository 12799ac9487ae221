"""docs/tutorial: what a newcomer copies out of its pages, file by file and command by command, over a real server."""

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from hookline.cli.main import main
from tests.acceptance.server_process import ServerProcess, eventually
from tests.integration.cli.terminal import in_terminal

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
#: In the order in which they are read: the second goes on where the first ends.
PAGES = ("first-flow.md", "tested-flow.md")
HOOKLINE = ".venv/bin/hookline "
#: Hookline is installed already where its tests run; the first page of the documentation has a test of its own.
INSTALLING = ("python3 -m venv .venv", ".venv/bin/pip install path/to/hookline")
KEY = "a key that was made up"
#: After these something is to be run.
LISTS = f"{HOOKLINE}executions list"
STARTS = ("curl ", f"{HOOKLINE}send ", f"{HOOKLINE}executions retry ", f"{HOOKLINE}executions resume ")

#: What differs from one run to the next, as the pages show it, and as it may be.
FREE = {
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}": r"[0-9a-f-]{36}",
    r"\b[0-9a-f]{8}\b": r"[0-9a-f]{8}",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": r"[\d:.T-]+Z",
    r"version [0-9a-f]{16}": r"version [0-9a-f]{16}",
    r"127\.0\.0\.1:8080": r"127\.0\.0\.1:\d+",
    r"…": r".*",
}

#: A server, and commands that run one after the other.
pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Part:
    """What stands on a page for a reader to do, or to compare with."""

    kind: Literal["file", "command", "output"]
    text: str
    path: str = ""


def parts(page: str) -> Iterator[Part]:
    """The files, commands and outputs of a page, in order; a file's name is the last one that was told before it."""
    path = ""
    language: str | None = None
    block: list[str] = []
    for line in (TUTORIAL / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if language is None:
                language, block = line[3:], []
                continue
            text = "\n".join(block)
            yield Part("file", text, path) if language == "json" else Part("output", text)
            language = None
        elif language is not None:
            block.append(line)
        elif line.startswith("    "):
            yield Part("command", line.strip())
        elif named := re.findall(r"`(flows/[\w.-]+\.json)`", line):
            path = named[-1]


def plain(text: str) -> str:
    """A text without what only lays its columns out."""
    return re.sub(r" *\n", "\n", re.sub(r" +", " ", text)).strip()


def pattern(text: str) -> re.Pattern[str]:
    """What an output has to be: ids, times, versions and ports are free, and so is what stands for `…`."""
    wanted, end = "", 0
    text = plain(text)
    for found in re.finditer("|".join(FREE), text):
        meant = next(meant for shown, meant in FREE.items() if re.fullmatch(shown, found[0]))
        wanted += re.escape(text[end : found.start()]) + meant
        end = found.end()
    return re.compile(wanted + re.escape(text[end:]), re.DOTALL)


class Newcomer:
    """Does what the pages say, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.server = ServerProcess(folder)
        (folder / "flows").rmdir()
        self.said = ""
        """What the last command said."""
        self.again: Callable[[], None] | None = None
        """Gives the last command once more, where that changes nothing."""

    def do(self, part: Part) -> None:
        """Write a file, give a command, or compare what it said."""
        if part.kind == "file":
            self._write(part)
        elif part.kind == "command":
            self._give(part.text)
        else:
            self._compare(part.text)

    def _write(self, part: Part) -> None:
        (self.server.folder / part.path).write_text(part.text, encoding="utf-8")
        title = re.search(r'"title": "(.*)"', part.text)
        if self.server.running and title is not None:
            eventually(
                f"{title[1]!r} serves",
                lambda: any(flow["title"] == title[1] for flow in self.server.get("/api/v1/flows")[1]["items"]),
            )

    def _give(self, command: str) -> None:
        if command in INSTALLING:
            return
        if command == f"{HOOKLINE}serve":
            self.server.start()
            return
        given = command.replace("<key>", KEY)
        if "<id>" in given:
            given = given.replace("<id>", self.server.executions()[0]["id"])
        run = self._hookline if command.startswith(HOOKLINE) else self._shell
        run(given)
        self.again = None if command.startswith(STARTS) else lambda: run(given)
        if command.startswith(STARTS):
            eventually("nothing runs any more", self._quiet)

    def _quiet(self) -> bool:
        """Whether whatever could run has ended, or waits for a call."""
        states = [(one["state"], one["reason"]) for one in self.server.executions()]
        return all(state in ("succeeded", "failed") or reason == "callback" for state, reason in states)

    def _hookline(self, command: str) -> None:
        clean = {name: value for name, value in self.server.environment().items() if name.startswith("HOOKLINE_")}
        if command.startswith(LISTS):
            # The page shows a list as a terminal does.
            shown = in_terminal(self.server.folder, *shlex.split(command.removeprefix(HOOKLINE)), environment=clean)
            assert shown.code == 0, f"{command}\n{shown.text}"
            self.said = shown.text
            return
        with contextlib.chdir(self.server.folder):
            done = CliRunner().invoke(main, shlex.split(command.removeprefix(HOOKLINE)), env=clean, input=KEY)
        assert done.exit_code == 0, f"{command}\n{done.output}"
        self.said = done.stdout

    def _shell(self, command: str) -> None:
        here = command.replace("127.0.0.1:8080", f"127.0.0.1:{self.server.port}")
        here = here.replace("python3 ", f"{shlex.quote(sys.executable)} ")
        done = subprocess.run(here, shell=True, cwd=self.server.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        self.said = done.stdout
        if command.startswith("curl "):
            assert " 202 " in self.said.partition("\n")[0], f"{command}\n{self.said}"

    def _compare(self, text: str) -> None:
        wanted = pattern(text)

        def holds() -> bool:
            if wanted.fullmatch(plain(self.said)):
                return True
            if self.again is not None:
                self.again()
            return False

        try:
            eventually("the page shows what is", holds, 5)
        except AssertionError:
            assert self.said == text


def test_the_tutorial_holds_file_by_file_and_command_by_command(tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path)
    kinds: list[str] = []
    try:
        for page in PAGES:
            for part in parts(page):
                newcomer.do(part)
                kinds.append(part.kind)
        done = newcomer.server.executions()
    finally:
        newcomer.server.stop()
    assert {kind for kind in kinds if kinds.count(kind) > len(PAGES)} == {"file", "command", "output"}
    assert [one["outcome"] for one in done] == ["completed"] * 4
