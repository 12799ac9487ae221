"""The things that a node has to notice: dead nodes, executions that any node may claim, requests to cancel its own."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, text

from hookline.api import StoreError
from hookline.api_storage import Clock, has_ended, host_of_process, steady_seconds
from hookline_sqlstore.cluster.interfaces import ReadyListener, TablesAccess
from hookline_sqlstore.cluster.membership import PostgresMembership
from hookline_sqlstore.cluster.wake_ups import Connect, WakeUps
from hookline_sqlstore.column_values import micros
from hookline_sqlstore.flow_ids_by_index import flow_ids
from hookline_sqlstore.node_lease import NOW
from hookline_sqlstore.reading.nodes import ASKING
from hookline_sqlstore.table_compatibility import release_problem
from hookline_sqlstore.tables import nodes
from hookline_sqlstore.writing import statements

_EVERY: Final = 1.0
"""Seconds between two looks."""
_WRONG_CLOCK: Final = 5.0
"""Seconds by which a host's clock may differ from the database's until it is reported."""

_log: Final = logging.getLogger("hookline.store")

_READY: Final = (
    f"{flow_ids('executions', 'NOT history AND ready_at IS NOT NULL AND owner IS NULL')}"  # noqa: S608 - our own texts
    " AND EXISTS (SELECT 1 FROM executions AS one WHERE NOT one.history AND one.flow_id = found.flow_id"
    " AND one.ready_at IS NOT NULL AND one.owner IS NULL AND one.ready_at <= :now)"
)
_CANCELLING: Final = (
    "SELECT id FROM executions WHERE NOT history AND owner = :lease AND cancel_asked_at IS NOT NULL"
    " AND finished_at IS NULL"
)
#: Each node asks every second, also if there is nothing to do. So it is one statement, with a row for each node whose
#: executions weren't released yet.
_LOOK: Final = text(
    f"WITH seen AS MATERIALIZED (SELECT {NOW} AS now, changes, oldest_release, ARRAY({_READY}) AS ready,"  # noqa: S608 - our own texts
    f" ARRAY({_CANCELLING}) AS cancelling, EXISTS (SELECT 1 FROM rate_parts WHERE {ASKING}) AS asks_for_parts"
    f" FROM cluster) SELECT seen.*, {', '.join(f'nodes.{column.name}' for column in nodes.c)}"
    " FROM seen LEFT JOIN nodes ON nodes.released_at IS NULL"
)


class _Seen(NamedTuple):
    nodes: list[Any]
    """The rows of nodes whose executions weren't released yet."""
    now: int
    """The database's time, in microseconds."""
    change: int
    """The last change that each node has to adopt."""
    oldest_release: str | None
    """The oldest release that may use the tables."""
    ready: list[str]
    cancelling: list[str]
    asks_for_parts: bool
    """A node asks for parts of a limit."""


class Watch:
    """Looks once a second."""

    def __init__(
        self, database: TablesAccess, listener: ReadyListener, membership: PostgresMembership, clock: Clock
    ) -> None:
        self._database = database
        self._listener = listener
        self._membership = membership
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._now = asyncio.Event()
        """Set when there is something to see before the next second."""
        self.wake_ups = WakeUps(database, self._heard, self._hint)
        membership.hints = self.wake_ups.send_hint
        membership.tell_others = partial(self.wake_ups.tell, (), more=True)
        self._failing = False
        self._outdated = False
        self._told_clocks: set[str] = set()
        self._adopted: tuple[str, int] | None = None
        """The lease of this node, and the last change that it has adopted under it."""
        self._adoption: asyncio.Task[None] | None = None
        self._probes: dict[str, asyncio.Task[None]] = {}
        """The nodes whose probes are being read."""

    async def start(self, connect: Connect) -> None:
        """Take over from nodes that are dead, and begin to look. Raises StoreError.

        `connect` opens a session that may listen.
        """
        await self._look()
        loop, me = asyncio.get_running_loop(), self._membership.lease.id
        self._tasks = [
            loop.create_task(self._run(), name="hookline-nodes"),
            loop.create_task(self.wake_ups.run(connect, me), name="hookline-wake-ups"),
        ]

    def _heard(self, flow_ids: Iterable[str], more: bool) -> None:
        self._listener.ready(flow_ids)
        if more:
            self._now.set()

    def _hint(self, hint: bytes) -> None:
        if self._membership.on_hint is not None:
            self._membership.on_hint(hint)

    async def stop(self) -> None:
        """End looking."""
        tasks = [*self._tasks, *([] if self._adoption is None else [self._adoption]), *self._probes.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks, self._adoption = [], None

    async def leave(self) -> None:
        """Give all executions of this node to the others, and end its lease. Raises StoreError."""
        await self._membership.write(statements.LEAVE, self._membership.lease.id)
        if not self._membership.alone:
            await self.wake_ups.tell_at_once()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY):
                    await self._now.wait()
            self._now.clear()
            try:
                await self._look()
                self._failing = False
            except StoreError:
                self._failing = True  # the writes report it
            except Exception:  # noqa: BLE001 - whatever it is, it is reported, and the next look may do better
                if not self._failing:
                    _log.exception("defect while looking for other nodes; trying again")
                self._failing = True

    async def _look(self) -> None:
        sent = steady_seconds()
        lease = self._membership.lease.id if self._membership.has_lease else ""
        now = micros(self._clock.now())
        seen = await self._database.read(lambda connection: _see(connection, lease, now))
        if self._stops_as_outdated(seen.oldest_release):
            return
        for node in seen.nodes:
            if node.lease != lease:
                await self._take_over(node, seen.now)
        self._report_clocks(seen.nodes)
        others = [node for node in seen.nodes if node.lease != lease and node.gone_at is None]
        serving = [node for node in others if node.role != "command"]
        self._membership.others = [node.name for node in serving]
        self._membership.size = 1 + len(serving)
        self._membership.hosts = len({self._membership.node.host, *(node.host for node in serving)})
        self._answer_probes(others)
        if seen.ready:
            self._listener.ready(seen.ready)
        if seen.cancelling and self._membership.on_cancel is not None:
            self._membership.on_cancel(seen.cancelling)
        if self._membership.on_drain is not None and any(
            node.lease == lease and node.drain_asked_at is not None for node in seen.nodes
        ):
            self._membership.on_drain()
        if lease and self._adopted == (lease, seen.change):
            self._membership.note_current(sent)
        self._begin_adoption(lease, seen.change, sent)
        if self._membership.on_look is not None:
            self._membership.on_look(seen.asks_for_parts)

    def _stops_as_outdated(self, oldest: str | None) -> bool:
        """Stop this node if a newer release has changed the tables so that this one can't use them any more.

        It can't write any more either: the migration has ended its lease.
        """
        reason = release_problem(oldest, self._membership.node.version)
        if reason is None:
            return False
        if not self._outdated:
            self._outdated = True
            _log.error("this node stops: %s", reason)
        if self._membership.on_drain is not None:
            self._membership.on_drain()
        return True

    def _answer_probes(self, others: Iterable[Any]) -> None:
        """Begin to read the blobs that starting nodes of other hosts have stored."""
        on_probe, here = self._membership.on_probe, self._membership.node.host
        if on_probe is None:
            return
        for node in others:
            asks = node.probe is not None and node.probe_read is None and node.host != here
            if asks and node.lease not in self._probes:
                answer = asyncio.get_running_loop().create_task(self._answer_probe(on_probe, node.lease, node.probe))
                self._probes[node.lease] = answer
                answer.add_done_callback(partial(self._answered, node.lease))

    def _answered(self, lease: str, _: "asyncio.Task[None]") -> None:
        self._probes.pop(lease, None)

    async def _answer_probe(self, on_probe: Callable[[str], Awaitable[bool]], lease: str, blob_id: str) -> None:
        # If that isn't known now, the next look tries again.
        with contextlib.suppress(StoreError):
            await self._membership.write(statements.ANSWER_PROBE, (lease, await on_probe(blob_id)))

    async def _take_over(self, node: Any, now: int) -> None:
        """Take over from a node if it is dead, and make its executions ready for any."""
        if node.gone_at is None:
            dead = _is_dead(node)
            if not dead and node.until > now:
                return
            if not await self._membership.take_over(node, dead=dead):
                return
        flows: Iterable[str] = await self._membership.write(statements.RELEASE, node.lease)
        self._listener.ready(flows)

    def _begin_adoption(self, lease: str, change: int, sent: float) -> None:
        """Adopt what other nodes have changed, beside the next looks."""
        on_change = self._membership.on_change
        going = self._adoption is not None and not self._adoption.done()
        if not lease or going or on_change is None or self._adopted == (lease, change):
            return
        self._adoption = asyncio.get_running_loop().create_task(self._adopt(on_change, lease, change, sent))

    async def _adopt(self, on_change: Callable[[], Awaitable[None]], lease: str, change: int, sent: float) -> None:
        """Adopt what other nodes have changed, and tell that it is adopted. The next look tries again if it fails.

        `sent`: the time of the steady clock at which the database was asked for the last change.
        """
        try:
            await on_change()
            await self._membership.write(statements.ADOPT, change)
            self._adopted = (lease, change)
            if self._membership.has_lease and self._membership.lease.id == lease:
                self._membership.note_current(sent)
        except StoreError:
            pass  # the writes report it
        except Exception:  # noqa: BLE001 - whatever it is, it is reported, and the next look may do better
            _log.exception("what other nodes have changed can't be adopted; trying again")

    def _report_clocks(self, rows: Iterable[Any]) -> None:
        """Report each node once whose host's clock is wrong. Nothing depends on it, besides what its logs say."""
        for row in rows:
            seconds = row.clock_ahead / 1_000_000
            if abs(seconds) > _WRONG_CLOCK and row.lease not in self._told_clocks and row.gone_at is None:
                self._told_clocks.add(row.lease)
                _log.warning("the clock of node %s is wrong by %.0f s", row.name, seconds)


def _see(connection: Connection, lease: str, now: int) -> _Seen:
    rows = connection.execute(_LOOK, {"now": now, "lease": lease}).all()
    found, unreleased = rows[0], [row for row in rows if row.lease is not None]
    return _Seen(
        unreleased, found.now, found.changes, found.oldest_release, found.ready, found.cancelling, found.asks_for_parts
    )


def _is_dead(node: Any) -> bool:
    """Return true if the node ran on this host, and its process has ended."""
    return bool(node.host == host_of_process() and has_ended(node.process))
