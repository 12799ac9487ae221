"""A real `hookline serve` in a folder of its own, for tests that start, stop and kill it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
from click.testing import CliRunner, Result

from hookline.cli.main import main
from tests.acceptance.database import query
from tests.ports import free_port

TOKEN = "test-admin-token"


def eventually(what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds, looking often; fail when it does not within the time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


class ServerProcess:
    """`hookline serve` over `folder`, which holds its flows, its database and its log."""

    def __init__(
        self, folder: Path, *options: str, environment: Mapping[str, str] | None = None, python: str = sys.executable
    ) -> None:
        """`python`: that of the installation whose server it is."""
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._python = python
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "flows").mkdir(exist_ok=True)

    @property
    def files(self) -> Path:
        """The folder for files, in which steps have their SQLite databases."""
        folder = self.folder / ".hookline" / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self) -> dict[str, str]:
        """The variables that commands over the same folder need."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HOOKLINE_")}
        return clean | {
            "HOOKLINE_ADMIN_TOKEN": TOKEN,
            "HOOKLINE_EGRESS_ALLOW": "127.0.0.0/8",
            "NO_COLOR": "1",
            "HOOKLINE_DRAIN_DELAY": "0",
            **self._environment,
        }

    def set(self, name: str, value: str) -> None:
        """Set a variable for its next start."""
        self._environment[name] = value

    def flow(self, document: Mapping[str, Any]) -> None:
        """Write a flow's file."""
        path = self.folder / "flows" / f"{document['id']}.json"
        path.write_text(json.dumps(document), encoding="utf-8")

    def run(self, *arguments: str) -> Result:
        """Run a `hookline` command in the folder, and in this process: one of its own spends most time on imports."""
        others = dict.fromkeys(name for name in os.environ if name.startswith("HOOKLINE_"))
        with contextlib.chdir(self.folder):
            done = CliRunner().invoke(main, arguments, env=others | self.environment())
        assert done.exit_code == 0, done.output
        return done

    def launch(self) -> None:
        """Start it, and don't wait."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._python, "-m", "hookline.cli.main", "serve", "--port", str(self.port), *self._options],
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=log,
            )

    def start(self, seconds: float = 60.0) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.eventually("the server is ready", self.is_ready, seconds)

    def eventually(self, what: str, holds: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until something holds; fail at once, and show the log, if the server ends before."""
        process = self._process
        assert process is not None

        def lives_and_holds() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{what}: the server ended with {process.returncode}:\n{self.log()[-4000:]}")
            return holds()

        eventually(what, lives_and_holds, seconds)

    def is_ready(self) -> bool:
        """Whether it can be reached and says that it is ready."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal that ends it; gives the exit code."""
        return self._end(number)

    def died(self, seconds: float = 30.0) -> int:
        """Wait until it has ended by itself; gives the exit code, negative where a signal ended it."""
        assert self._process is not None
        code = self._process.wait(timeout=seconds)
        self._process = None
        return code

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(timeout=60)
        self._process = None
        return code

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def memory(self) -> int:
        """Bytes of memory that are its own."""
        return int(psutil.Process(self.pid).memory_full_info().uss)

    def log(self) -> str:
        """What it printed."""
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    def stored(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask its database, which holds also what it stored just before it died; gives rows."""
        own = f"sqlite:///{self.folder}/.hookline/hookline.db"
        return query(self._environment.get("HOOKLINE_DB", own), statement)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request, to the API one with JSON: status, decoded JSON body, headers."""
        kind = {"Content-Type": "application/json"} if body is not None and path.startswith("/api/") else {}
        request = Request(self.url + path, data=body, method=method, headers=kind | dict(headers or {}))
        try:
            with urlopen(request, timeout=30) as response:
                content, status, found = response.read(), response.status, dict(response.headers)
        except HTTPError as error:
            content, status, found = error.read(), error.code, dict(error.headers)
        try:
            decoded = json.loads(content) if content else None
        except ValueError:
            decoded = content.decode("utf-8", "replace")
        return status, decoded, found

    def post(self, flow_id: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Send JSON to a flow."""
        status, answer, _ = self.request(
            "POST",
            f"/hook/{flow_id}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )
        return status, answer

    def get(self, path: str) -> tuple[int, Any]:
        """Ask the admin API."""
        status, answer, _ = self.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
        return status, answer

    def api(self, method: str, path: str, body: Any = None, token: str = TOKEN) -> Any:
        """Call the admin API, which must succeed; gives the decoded JSON of the response."""
        content = None if body is None else json.dumps(body).encode()
        status, answer, _ = self.request(method, path, content, {"Authorization": f"Bearer {token}"})
        assert 200 <= status < 300, answer
        return answer

    def executions(self, **query: str) -> list[dict[str, Any]]:
        """All executions that match, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            given = {**query, "limit": "200", **({"cursor": cursor} if cursor else {})}
            status, page = self.get(
                "/api/v1/executions?" + "&".join(f"{name}={value}" for name, value in given.items())
            )
            assert status == 200, page
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                return found

    def drained(self) -> bool:
        """Whether every execution has ended. Asks for one of each state, so that it may be asked often.

        It asks twice, since an execution that continues between two questions is in neither answer.
        """
        for state in ("queued", "running", "waiting") * 2:
            status, page = self.get(f"/api/v1/executions?state={state}&limit=1")
            assert status == 200, page
            if page["items"]:
                return False
        return True

    def ended(self, execution_id: str, seconds: float = 30.0) -> dict[str, Any]:
        """An execution, once it has ended."""
        found: dict[str, Any] = {}

        def over() -> bool:
            nonlocal found
            status, found = self.get(f"/api/v1/executions/{execution_id}")
            assert status == 200, found
            return found["state"] in ("succeeded", "failed", "cancelled")

        eventually(f"execution {execution_id} ends", over, seconds)
        return found
