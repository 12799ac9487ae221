"""An nginx of a test's own, in front of several nodes."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

from tests.acceptance.server_process import eventually
from tests.ports import free_port
from tests.services import need_program

#: As docs/how-to/grow-to-three-nodes.md has it, besides the paths.
_SETTINGS = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 1024; }}
http {{
    log_format answers '$status $upstream_addr $upstream_status';
    access_log {folder}/access.log answers;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream hookline {{
        {servers}
        keepalive 64;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://hookline;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            {settings}
        }}
    }}
}}
"""

UNBUFFERED = "proxy_request_buffering off;"
"""The body goes on while it arrives. Then a request can't be sent to another node."""


class OwnNginx:
    """It passes requests on to the nodes on some ports of this machine."""

    def __init__(self, folder: Path, ports: Sequence[int]) -> None:
        self._program = need_program("nginx", "nginx")
        self._folder = folder
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = UNBUFFERED
        """More settings of the location, for the next start or reload."""
        self.parameters = ""
        """Parameters of each server, likewise."""
        self.down: Collection[int] = ()
        """The ports of nodes that get no requests, likewise."""

    def start(self) -> None:
        """Start it; it listens when this returns."""
        self._write()
        with (self._folder / "nginx.log").open("ab") as log:
            command = [self._program, "-p", str(self._folder), "-e", "error.log", "-c", str(self._settings_file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("nginx has a process that serves", lambda: bool(self._workers()))

    def reload(self) -> None:
        """Read the settings; when this returns, no request is under way that was passed on by the earlier ones."""
        assert self._process is not None
        before = self._workers()
        self._write()
        self._process.send_signal(signal.SIGHUP)
        eventually("nginx serves with the new settings only", lambda: self._has_changed(before))

    def _has_changed(self, before: frozenset[int]) -> bool:
        now = self._workers()
        return bool(now) and not now & before

    def _workers(self) -> frozenset[int]:
        assert self._process is not None
        assert self._process.poll() is None, f"nginx ended:\n{self.log()}"
        with contextlib.suppress(psutil.NoSuchProcess):
            return frozenset(child.pid for child in psutil.Process(self._process.pid).children())
        return frozenset()

    @property
    def _settings_file(self) -> Path:
        return self._folder / "nginx.conf"

    def _write(self) -> None:
        servers = (
            f"server 127.0.0.1:{port} {self.parameters}{' down' if port in self.down else ''};" for port in self._ports
        )
        self._settings_file.write_text(
            _SETTINGS.format(
                # Its processes read and write in this folder, which is root's then.
                user="user root;" if os.geteuid() == 0 else "",
                folder=self._folder,
                servers="\n        ".join(servers),
                port=self.port,
                settings=self.settings,
            ),
            encoding="utf-8",
        )

    def answers(self) -> list[list[str]]:
        """Of each request: its status, the addresses of the nodes that got it, and what these answered."""
        text = (self._folder / "access.log").read_text(encoding="utf-8")
        return [line.replace(", ", ",").split(" ") for line in text.splitlines()]

    def log(self) -> str:
        """What it printed, and its log of errors."""
        texts = [self._folder / name for name in ("nginx.log", "error.log")]
        return "\n".join(path.read_text(encoding="utf-8", errors="replace")[-5000:] for path in texts if path.exists())

    def __enter__(self) -> "OwnNginx":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
