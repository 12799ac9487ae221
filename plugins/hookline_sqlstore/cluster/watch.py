"""The things that a node has to notice: dead nodes, executions that any node may claim, requests to cancel its own."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, text

from hookline.api import StoreError
from hookline.api_storage import Clock, has_ended, host_of_process
from hookline_sqlstore.cluster.membership import PostgresMembership
from hookline_sqlstore.cluster.tables_access import ReadyListener, TablesAccess
from hookline_sqlstore.cluster.wake_ups import Connect, WakeUps
from hookline_sqlstore.column_values import micros
from hookline_sqlstore.reading.nodes import now_of
from hookline_sqlstore.releases import release_problem
from hookline_sqlstore.tables import cluster, nodes
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.claims import TakeOverRow

_EVERY: Final = 1.0
"""Seconds between two looks."""
_WRONG_CLOCK: Final = 5.0
"""Seconds by which a host's clock may differ from the database's until it is reported."""

_log: Final = logging.getLogger("hookline.store")

#: Goes from one flow to the next by the index, so that the number of executions doesn't matter.
_READY: Final = text(
    "WITH RECURSIVE found(flow_id) AS ("
    "SELECT min(flow_id) FROM executions WHERE NOT history AND ready_at IS NOT NULL AND owner IS NULL"
    " UNION ALL SELECT (SELECT min(flow_id) FROM executions WHERE NOT history AND ready_at IS NOT NULL"
    " AND owner IS NULL AND flow_id > found.flow_id) FROM found WHERE found.flow_id IS NOT NULL"
    ") SELECT flow_id FROM found WHERE flow_id IS NOT NULL AND EXISTS (SELECT 1 FROM executions AS one"
    " WHERE NOT one.history AND one.flow_id = found.flow_id AND one.ready_at IS NOT NULL AND one.owner IS NULL"
    " AND one.ready_at <= :now)"
)
_CANCELLING: Final = text(
    "SELECT id FROM executions WHERE NOT history AND owner = :lease AND cancel_asked_at IS NOT NULL"
    " AND finished_at IS NULL"
)
_CLUSTER: Final = select(cluster.c.changes, cluster.c.oldest_release)
_UNRELEASED: Final = select(nodes).where(nodes.c.released_at.is_(None))


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
        self.wake_ups = WakeUps(database, self._heard)
        self._failing = False
        self._outdated = False
        self._told_clocks: set[str] = set()
        self._adopted: tuple[str, int] | None = None
        """The lease of this node, and the last change that it has adopted under it."""
        self._adoption: asyncio.Task[None] | None = None

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

    async def stop(self) -> None:
        """End looking."""
        tasks = [*self._tasks, *([] if self._adoption is None else [self._adoption])]
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
        lease = self._membership.lease.id if self._membership.held else ""
        now = micros(self._clock.now())
        seen = await self._database.read(lambda connection: _see(connection, lease, now))
        for node in seen.nodes:
            if node.lease != lease:
                await self._take_over(node, seen.now)
        self._report_clocks(seen.nodes)
        others = [node for node in seen.nodes if node.lease != lease and node.gone_at is None]
        self._membership.size = 1 + sum(node.role != "command" for node in others)
        if seen.ready:
            self._listener.ready(seen.ready)
        if seen.cancelling and self._membership.on_cancel is not None:
            self._membership.on_cancel(seen.cancelling)
        if self._membership.on_drain is not None and any(
            node.lease == lease and node.drain_asked_at is not None for node in seen.nodes
        ):
            self._membership.on_drain()
        self._begin_adoption(lease, seen.change)
        self._stop_if_outdated(seen.oldest_release)

    def _stop_if_outdated(self, oldest: str | None) -> None:
        """Stop this node if a newer release has changed the tables so that this one can't use them any more.

        It can't write any more either: the migration has ended its lease.
        """
        reason = release_problem(oldest, self._membership.node.version)
        if reason is None:
            return
        if not self._outdated:
            self._outdated = True
            _log.error("this node stops: %s", reason)
        if self._membership.on_drain is not None:
            self._membership.on_drain()

    async def _take_over(self, node: Any, now: int) -> None:
        """Take over from a node if it is dead, and make its executions ready for any."""
        if node.gone_at is None:
            dead = _is_dead(node)
            if not dead and node.until > now:
                return
            if not await self._membership.write(statements.TAKE_OVER, TakeOverRow(node.lease, dead)):
                return
            _log.warning("taking over from a node that is gone: %s", node.name)
        flows: Iterable[str] = await self._membership.write(statements.RELEASE, node.lease)
        self._listener.ready(flows)

    def _begin_adoption(self, lease: str, change: int) -> None:
        """Adopt what other nodes have changed, beside the next looks."""
        on_change = self._membership.on_change
        going = self._adoption is not None and not self._adoption.done()
        if not lease or going or on_change is None or self._adopted == (lease, change):
            return
        self._adoption = asyncio.get_running_loop().create_task(self._adopt(on_change, lease, change))

    async def _adopt(self, on_change: Callable[[], Awaitable[None]], lease: str, change: int) -> None:
        """Adopt what other nodes have changed, and tell that it is adopted. The next look tries again if it fails."""
        try:
            await on_change()
            await self._membership.write(statements.ADOPT, change)
            self._adopted = (lease, change)
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
    at, (change, oldest) = now_of(connection), connection.execute(_CLUSTER).one()
    rows = list(connection.execute(_UNRELEASED))
    ready = list(connection.scalars(_READY, {"now": now}))
    cancelling = list(connection.scalars(_CANCELLING, {"lease": lease})) if lease else []
    return _Seen(rows, at, change, oldest, ready, cancelling)


def _is_dead(node: Any) -> bool:
    """Return true if the node ran on this host, and its process has ended."""
    return bool(node.host == host_of_process() and has_ended(node.process))
