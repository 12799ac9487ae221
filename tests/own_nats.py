"""NATS servers of a test's own, which may be frozen, killed and started again over their data."""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil

from tests.frozen_processes import frozen
from tests.ports import free_port
from tests.services import need_program

_PATIENCE = 30.0


class OwnNats:
    """A server with data of its own below `folder`; `routes` are the other servers of its cluster."""

    def __init__(self, folder: Path, name: str = "n1", *, cluster_port: int = 0, routes: tuple[int, ...] = ()) -> None:
        self._program = need_program("NATS", "nats-server")
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._config = self._folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._monitor = free_port()
        urls = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        # Clients know the addresses that they are given, and no others: these may be links that can be cut.
        own = f'name: test, listen: "127.0.0.1:{cluster_port}", routes: [{urls}], no_advertise: true'
        cluster = f"cluster {{ {own} }}" if routes else ""
        self._config.write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self._monitor}"\n'
            f'jetstream {{ store_dir: "{self._folder / "data"}", max_file_store: 1GB, sync_interval: always }}\n'
            f"{cluster}\n"
        )

    def start(self) -> None:
        """Start it; it listens when this returns."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, "-c", str(self._config)], stdout=log, stderr=log)
        end = time.monotonic() + _PATIENCE
        while True:
            assert self._process.poll() is None, f"nats-server ended by itself:\n{self.log()}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < end, f"nats-server doesn't listen:\n{self.log()}"
                time.sleep(0.05)
            else:
                return

    def followers(self) -> int:
        """How many other servers of its cluster are up to date, if it leads the cluster; otherwise 0."""
        with urlopen(f"http://127.0.0.1:{self._monitor}/jsz") as answer:
            replicas = json.load(answer).get("meta_cluster", {}).get("replicas", [])
        return sum(one["current"] and not one.get("offline", False) for one in replicas)

    def log(self) -> str:
        """The end of what it printed."""
        return (self._folder / "log").read_text(errors="replace")[-5000:]

    def kill(self) -> None:
        """End it like a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=_PATIENCE)
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It is stopped, so that it takes connections and answers nothing."""
        assert self._process is not None
        with frozen([psutil.Process(self._process.pid)]):
            yield

    def __enter__(self) -> "OwnNats":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


@contextlib.contextmanager
def nats_cluster(folder: Path, size: int = 3) -> Iterator[list[OwnNats]]:
    """Servers that replicate their streams."""
    ports = [free_port() for _ in range(size)]
    servers = [
        OwnNats(folder, f"n{place}", cluster_port=port, routes=tuple(other for other in ports if other != port))
        for place, port in enumerate(ports, 1)
    ]
    try:
        for server in servers:
            server.start()
        end = time.monotonic() + _PATIENCE
        # Before, a stream of several servers finds no place.
        while max(server.followers() for server in servers) < size - 1:
            assert time.monotonic() < end, f"the NATS servers don't form a cluster:\n{servers[0].log()}"
            time.sleep(0.05)
        yield servers
    finally:
        for server in servers:
            server.kill()


def url_of(servers: list[OwnNats], settings: str = "") -> str:
    """The URL of a queue on some servers."""
    return "nats://" + ",".join(f"127.0.0.1:{server.port}" for server in servers) + settings
