"""The system under test: nodes that are real `hookline serve` processes, on one PostgreSQL, by links of their own.

Three NATS servers may stand in front of the database, with a link for each node and server.
"""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from hookline.secrets.encryption import generate_key
from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.test_set_clock import LIBRARY, set_clock
from tests.chaos.history import EXIT, Disturbance, History
from tests.chaos.proxy import Link, Links
from tests.own_nats import OwnNats, nats_cluster

FLOWS: Final = Path(__file__).parent / "flows"
_START_LIMIT: Final = 300.0
"""Seconds in which all nodes have to be ready, on a busy machine."""


class Node:
    """A process of Hookline with a folder, a port and a clock of its own. It may be killed and started many times."""

    def __init__(
        self, name: str, folder: Path, link: Link, queue_links: Sequence[Link], environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.link = link
        """To PostgreSQL."""
        self.queue_links = queue_links
        """To the NATS servers, if there are any."""
        folder.mkdir()
        self._clock = folder / "clock"
        set_clock(self._clock, "+0")
        self._server = ServerProcess(folder, environment={**environment, **self._clock_environment()})
        self.url = self._server.url
        self.life = 0
        """The number of its present process, counted from 1."""
        self.wanted = False
        """It is to run: if it doesn't, it has ended by itself."""
        self.was_ready = False
        """Its present process has been ready."""

    def _clock_environment(self) -> dict[str, str]:
        if LIBRARY is None:
            return {}
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def launch(self) -> None:
        self.life += 1
        self.wanted, self.was_ready = True, False
        self._server.launch()

    def kill(self) -> None:
        self.wanted = False
        self._server.kill()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._server.pid, number)

    def set_clock(self, offset: int) -> None:
        """`offset`: seconds."""
        set_clock(self._clock, f"{offset:+d}")

    def ended(self) -> int | None:
        """The exit code of a process that has ended by itself."""
        return self._server.died(1) if self.wanted and not self._server.running else None

    def look(self) -> bool:
        """Whether it is ready now."""
        try:
            with urlopen(f"{self.url}/readyz", timeout=1):
                self.was_ready = True
        except (OSError, URLError):
            return False
        return True

    def has_port(self, port: int) -> bool:
        """Whether its process has a TCP connection from this port."""
        if not self._server.running:
            return False
        try:
            connections = psutil.Process(self._server.pid).net_connections("tcp4")
        except psutil.Error:
            return False
        return any(one.laddr and one.laddr.port == port for one in connections)

    def get(self, path: str) -> tuple[int, Any]:
        """Ask its admin API: the status, and the decoded body. Raises OSError."""
        return self._server.get(path)

    def log(self) -> str:
        return self._server.log()

    def stop(self) -> None:
        """End its process, whatever its state is."""
        self.wanted = False
        if self._server.running:
            self.go_on()
            self._server.kill()


class Cluster:
    """`with Cluster(…) as cluster:` gives nodes that are ready, and at the end stops all that it started."""

    def __init__(self, folder: Path, history: History, *, nodes: int, server: str, queue: str) -> None:
        self.folder = folder
        self._history = history
        self._count = nodes
        self._server = server
        self._queue = queue
        self._stack = ExitStack()
        self.nodes: list[Node] = []
        self.nats: list[OwnNats] = []

    def __enter__(self) -> "Cluster":
        with ExitStack() as stack:
            self.postgres = stack.enter_context(OwnPostgres(self.folder))
            self.postgres.run("CREATE DATABASE books")
            if self._queue == "nats":
                self.nats = stack.enter_context(nats_cluster(self.folder / "nats"))
            links = stack.enter_context(Links())
            self.books_link = links.open(self.postgres.port)
            self.links = links
            self._stack = stack.pop_all()
        return self

    def start(self, sink: str) -> None:
        """Start the nodes and wait until they are ready. `sink`: the URL of the HTTP sink."""
        key = generate_key()
        # Deployments write into it.
        flows = shutil.copytree(FLOWS, self.folder / "flows")
        books = f"postgresql://hookline@127.0.0.1:{self.books_link.port}/books"
        shared = {
            "HOOKLINE_FLOWS": str(flows),
            "HOOKLINE_BLOBS": f"file://{self.folder / 'blobs'}",
            "HOOKLINE_SECRET_KEY": key,
            "HOOKLINE_SERVER": self._server,
            "HOOKLINE_PUBLIC_URL": "http://hooks.example",
            **{
                f"HOOKLINE_VARS_{flow.stem.upper()}__{name}": value
                for flow in FLOWS.glob("*.json")
                for name, value in (("SINK", sink), ("BOOKS", books))
            },
        }
        for number in range(1, self._count + 1):
            link = self.links.open(self.postgres.port)
            queue_links = [self.links.open(server.port) for server in self.nats]
            own = {"HOOKLINE_DB": f"postgresql://hookline@127.0.0.1:{link.port}/postgres"}
            if queue_links:
                servers = ",".join(f"127.0.0.1:{one.port}" for one in queue_links)
                own["HOOKLINE_QUEUE"] = f"nats://{servers}?max_bytes=500MB"
            node = Node(f"node{number}", self.folder / f"node{number}", link, queue_links, shared | own)
            self.nodes.append(node)
            self._stack.callback(node.stop)
            node.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait until each node is ready, and start those again that end meanwhile."""

        def ready() -> bool:
            self.tend()
            return all(node.look() for node in self.nodes)

        eventually("all nodes are ready", ready, _START_LIMIT)

    def tend(self) -> None:
        """Start each node again that has ended by itself, as a supervisor does, and write that down."""
        for node in self.nodes:
            code = node.ended()
            if code is None:
                if not node.was_ready:
                    node.look()
                continue
            now = time.monotonic()
            state = "after it was ready" if node.was_ready else "while it started"
            detail = f"exit code {code} {state}: {node.log()[-400:]}"
            self._history.add(Disturbance(kind=EXIT, target=node.name, detail=detail, started=now, ended=now))
            node.launch()

    def owner(self, port: int) -> tuple[str | None, int]:
        """The name and the life of the node that has a connection from a port."""
        return next(((node.name, node.life) for node in self.nodes if node.has_port(port)), (None, 0))

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stack.close()
