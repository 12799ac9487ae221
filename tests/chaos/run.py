"""One run: a cluster, its clients and its sinks, the faults, and what is left in a folder for the judge."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.app_thread import AppThread
from tests.chaos import collect
from tests.chaos.clients import Caller, Deployer, Senders
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Fault, Injector, schedule
from tests.chaos.history import History, Run
from tests.chaos.sinks import HttpSink, Listener, SqlSink

NATS_SERVERS: Final = 3
_PATIENCE: Final = 180.0
"""Seconds after the last fault in which all requests have to be accepted, and then again all executions to end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked for."""

    seed: int
    seconds: float
    nodes: int
    queue: str = "none"
    server: str = "hypercorn"
    lines: int = 8
    rate: float = 4.0
    """Messages a second without a line."""
    gap: float = 3.0
    """The mean time between the beginnings of two faults, in seconds."""
    without: tuple[str, ...] = ()
    """Kinds of faults that are left out."""

    def faults(self) -> list[Fault]:
        """The schedule of the faults."""
        return schedule(
            self.seed,
            self.seconds,
            nodes=self.nodes,
            nats=NATS_SERVERS if self.queue == "nats" else 0,
            gap=self.gap,
            without=self.without,
        )


def run(options: Options, folder: Path, say: Callable[[str], None]) -> None:
    """Run, and leave the history in `folder`. `say` is told what happens."""
    history = History(folder / "history")
    history.add(
        Run(
            seed=options.seed,
            nodes=options.nodes,
            queue=options.queue,
            server=options.server,
            seconds=options.seconds,
        )
    )
    with ExitStack() as stack:
        cluster = stack.enter_context(
            Cluster(folder, history, nodes=options.nodes, server=options.server, queue=options.queue)
        )
        books = SqlSink(cluster.postgres)
        asyncio.run(books.create())
        sink = HttpSink(history, cluster.owner)
        thread = stack.enter_context(AppThread(sink.app))
        say(f"starting {options.nodes} nodes in {folder}")
        cluster.start(f"{thread.url}/")
        clients = _Clients(thread, history, cluster, options, sink.listeners)
        stack.callback(clients.cancel)
        clients.start()
        Injector(cluster, history).run(options.faults(), options.seconds, say)
        say("all faults are over; waiting until everything is accepted and has ended")
        cluster.wait_until_ready()
        clients.finish()
        if cluster.nats:
            from tests.chaos.stream import is_stream_empty  # only these runs need the client

            _wait(cluster, lambda: asyncio.run(is_stream_empty(cluster.nats)))
        _wait(cluster, lambda: collect.is_drained(cluster.nodes[0]))
        history.add(*asyncio.run(books.rows()))
        history.add(*collect.served(cluster.nodes))
        executions = collect.executions(cluster.nodes[0])
        history.add(*executions, *collect.aliases(cluster.nodes[0], executions, history.folder))
        history.add(*asyncio.run(collect.stored(cluster.postgres)), *asyncio.run(collect.journal(cluster.postgres)))


def _wait(cluster: Cluster, holds: Callable[[], bool]) -> None:
    """Return when something holds, or when the patience is over: then the judge will say what is missing."""
    end = time.monotonic() + _PATIENCE
    while not holds() and time.monotonic() < end:
        cluster.tend()
        time.sleep(0.2)


class _Clients:
    """The clients, in the event loop of the sink that they listen to."""

    def __init__(
        self,
        thread: AppThread,
        history: History,
        cluster: Cluster,
        options: Options,
        listeners: list[Listener],
    ) -> None:
        self._thread = thread
        self._cluster = cluster
        nodes = [(node.name, node.url) for node in cluster.nodes]
        self._senders = Senders(history, nodes, seed=options.seed, lines=options.lines, rate=options.rate)
        self._caller = Caller(history, nodes, seed=options.seed)
        self._deployer = Deployer(history, nodes, seed=options.seed)
        listeners += [self._senders.hear, self._caller.hear]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        async def begin() -> None:
            clients = (self._senders, self._deployer, self._caller)
            self._tasks = [asyncio.create_task(client.run()) for client in clients]

        self._thread.run(begin())

    def finish(self) -> None:
        """Begin nothing more, and wait until what was begun is accepted, and each deployment is answered."""

        async def stop() -> None:
            self._senders.stop()
            self._deployer.stop()

        self._thread.run(stop())
        _wait(self._cluster, lambda: all(task.done() for task in self._tasks[:2]))

    def cancel(self) -> None:
        async def cancelled() -> None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._thread.run(cancelled())
