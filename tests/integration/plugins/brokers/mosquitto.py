"""A Mosquitto of a test's own."""

import socket
import subprocess
import time
from pathlib import Path

from tests.services import need_program


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A process, which may be restarted; its sessions are kept."""

    def __init__(self, folder: Path, *lines: str) -> None:
        """`lines`: of its configuration."""
        self.port = free_port()
        self._folder = folder
        self._program = need_program("Mosquitto", "mosquitto")
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        given = [
            f"listener {self.port} 127.0.0.1",
            "user root",
            "persistence true",
            f"persistence_location {folder}/",
            *lines,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(given) + "\n")

    def start(self) -> None:
        """Start it, and wait until it listens."""
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError((self._folder / "log").read_text())

    def stop(self) -> None:
        """Stop it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None
