"""Nodes of the fencing model: what they do, what they know, and what goes wrong with them.

A node here is worse than a real one. It never looks at its own clock, it tries to take over from anybody at any time,
and what it ran under a lease that it has lost still writes after it has registered anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine
from tests.integration.plugins.sqlstore.fencing_judge import Broken, Judge
from tests.integration.plugins.sqlstore.scheduled_sessions import Session, Sessions

from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import Accept, Accepted, Cancel, Change, End, Park, RecordSteps, Resume, Start
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.databases.postgres_address import database_errors
from hookline_sqlstore.dialect import met_others
from hookline_sqlstore.node_lease import Lease, LeaseLost
from hookline_sqlstore.writing import statements
from hookline_sqlstore.writing.node_agreements import ClaimRow, TakeOverRow
from hookline_sqlstore.writing.prepared_commit import Commit, Operation, prepare_commit

_FLOW: Final = "orders"
_ROOM: Final = 2
"""The most executions that a node claims at once: other nodes get some too."""
_ALL: Final = 1000
_WHOLE: Final = 20
"""More statements than a transaction has."""
_EMPTY: Final = "DELETE FROM executions; DELETE FROM journal; DELETE FROM lines; DELETE FROM nodes"
#: As if time had passed: not while a transaction that has renewed the lease is open.
_EXPIRE: Final = (
    "UPDATE nodes SET until = 0 WHERE lease IN"
    " (SELECT lease FROM nodes WHERE lease = $1 AND gone_at IS NULL FOR UPDATE SKIP LOCKED)"
)
_CHANGE: Final = "UPDATE cluster SET changes = changes + 1"
_MINE: Final = "SELECT id, flow_version IS NULL AS fresh FROM executions WHERE owner = $1 AND finished_at IS NULL"


@dataclass
class PlannedCommit:
    """A commit, and what its node knows when it is durable."""

    commit: Commit
    learn: Callable[[Commit], None] = lambda _commit: None
    forbidden: bool = False
    """It must fail."""


@dataclass(eq=False)
class Node:
    """A process."""

    name: str
    lease: Lease | None = None
    session: Session | None = None
    claimed: dict[str, bool] = field(default_factory=dict)
    """Executions that it is to run; true if they have never started."""
    running: dict[str, str] = field(default_factory=dict)
    """Executions that it runs, with its tenure."""
    zombies: dict[str, str] = field(default_factory=dict)
    """Executions that it ran under leases that it has lost, with the tenures."""

    def lose(self) -> None:
        """Drop everything, and forget to stop what runs."""
        self.zombies |= self.running
        self.claimed, self.running, self.lease = {}, {}, None

    def forget(self, execution_id: str) -> None:
        """It doesn't own an execution any more."""
        self.claimed.pop(execution_id, None)
        self.running.pop(execution_id, None)


@dataclass
class _Transaction:
    """The thing that a session does."""

    node: Node
    lease: Lease
    commits: Sequence[PlannedCommit]
    """Empty if the session continues the lease of another one."""


class Cluster:
    """Nodes on one schema, and the sessions that they have left behind."""

    def __init__(self, engine: AsyncEngine, watching: Any) -> None:
        """`watching`: a connection of asyncpg."""
        self.nodes = [Node(f"node-{place}") for place in range(3)]
        self.left: list[Session] = []
        """Sessions of nodes that have another one since, or are dead; the server doesn't know it yet."""
        self._watching = watching
        self._sessions = Sessions(engine, watching)
        self._judge = Judge(watching)
        self._doing: dict[Session, _Transaction] = {}
        self._replaced: set[Session] = set()
        """Sessions whose lease another session has continued."""
        self._dead: set[str] = set()
        """Leases of processes that are known to be dead."""
        self._known: list[str] = []
        """All executions that were accepted."""
        self._clock = ManualClock()
        self._envelopes = Envelopes(self._clock)
        self._numbers = count(1)

    async def empty(self) -> None:
        """Remove what an earlier cluster has left."""
        await self._watching.execute(_EMPTY)

    async def begin(self) -> None:
        """Begin where it is interesting: a node has lost what it ran, and has registered anew."""
        await self.empty()
        first, second, _ = self.nodes
        for node in (first, second, first):
            await self.step(node, ["accept and start"], 0, _WHOLE)
        await self.take_over(first, second, _WHOLE)
        for _ in range(2):
            await self.step(first, ["claim"], 0, _WHOLE)

    # --- What the scheduler decides

    async def step(self, node: Node, works: Sequence[str], pick: int, statements_: int) -> None:
        """Let a node do its next statements: of its transaction, or if it has none, of a new one that does `works`."""
        for _ in range(statements_):
            if node.lease is None or node.session is None:
                await self._join(node)
            elif not node.session.busy:
                self._begin(node, works, pick)
            elif node.session.halted:
                node.session.go()
            else:
                return  # it waits for another one
            await self.settle()
            if node.session is None or not node.session.busy:
                return

    async def take_over(self, node: Node, by: Node, statements_: int) -> None:
        """Let another node take over from one that was paused, as far as it comes."""
        lease = node.lease
        await self.expire(node)
        for release in (False, True):
            if lease is None or by.lease is None or by.session is None or by.session.busy:
                return
            self._start(by, [self._take_over(lease.id, release=release)])
            await self.settle()
            await self.step(by, (), 0, statements_)

    async def expire(self, node: Node) -> None:
        """Let the lease of a node run out: it was paused."""
        if node.lease is not None:
            await self._watching.execute(_EXPIRE, node.lease.id)

    async def change(self) -> None:
        """Change what each node has to adopt, such as a deployment."""
        await self._watching.execute(_CHANGE)

    async def cut(self, node: Node, works: Sequence[str], pick: int) -> None:
        """Cut a node off from its session; a transaction of it is on its way."""
        if node.lease is None or node.session is None:
            return
        if not node.session.busy:
            self._begin(node, works, pick)
        self._leave(node)
        await self.settle()

    async def kill(self, node: Node) -> None:
        """Kill the process; what it has sent may still arrive. It is started again."""
        if node.lease is None:
            return
        self._dead.add(node.lease.id)
        self._leave(node)
        node.lose()
        node.zombies.clear()
        await self.settle()

    async def late(self, pick: int, statements_: int) -> None:
        """Let statements of a session that was left arrive."""
        if not self.left:
            return
        session = self.left[pick % len(self.left)]
        for _ in range(statements_):
            session.go()
            await self.settle()
            if not session.halted:
                return

    async def end_late(self, pick: int) -> None:
        """Let the server notice that a session was left."""
        if self.left:
            await self._sessions.end([self.left[pick % len(self.left)]])
            await self.settle()

    async def drain(self) -> None:
        """Let all nodes die and another one run what they have left. Raises Broken if it can't."""
        await self._sessions.end(self._sessions.open)
        for node in self.nodes:
            node.session = None
        await self.settle()
        await self._watching.execute("UPDATE nodes SET until = 0")
        await self._judge.look()
        last = Node("last")
        await self._join(last)
        assert last.lease is not None
        for lease in self._judge.unreleased:
            await self._whole(last, [self._take_over(lease, release=False)])
            await self._whole(last, [self._take_over(lease, release=True)])
        while True:
            await self._whole(last, [self._claim(last, _ALL)])
            if not last.claimed:
                break
            for execution_id in tuple(last.claimed):
                await self._whole(last, [self._go_on(last, execution_id)])
                await self._whole(last, [self._end(last, execution_id)])
        self._judge.check_all_ended()

    async def _whole(self, node: Node, commits: Sequence[PlannedCommit]) -> None:
        assert node.session is not None
        assert node.lease is not None
        node.session.free()
        self._start(node, commits)
        await self.settle()
        assert node.lease is not None

    async def settle(self) -> None:
        """Wait until everything has come to rest, and judge what was done."""
        await self._sessions.settle()
        ended = [(session, self._doing.pop(session)) for session in tuple(self._doing) if session.done]
        # A session is continued when what went before it is known to have ended.
        ended.sort(key=lambda one: not one[1].commits)
        reported: list[str] = []
        accepted: list[str] = []
        for session, done in ended:
            await self._finish(session, done, reported, accepted)
        self._known += accepted
        if ended:
            await self._judge.look(reported, accepted)

    async def close(self) -> None:
        """End all sessions."""
        await self._sessions.close_all()

    # --- What nodes do

    async def _join(self, node: Node) -> None:
        """Register, or let a new session continue the lease."""
        node.session = await self._sessions.connect()
        if node.lease is None:
            node.lease = Lease(NodeDescription(node.name, host="elsewhere", process="1"))
            await node.lease.register(node.session.driver)
            return
        self._doing[node.session] = _Transaction(node, node.lease, ())
        node.session.begin(node.lease.take_session(node.session.driver))

    def _begin(self, node: Node, works: Sequence[str], pick: int) -> None:
        # Else it could claim in the same transaction what a zombie changes.
        works = ["zombie"] if "zombie" in works else works
        commits = [one for work in works for one in self._planned_commits(node, work, pick)]
        self._start(node, commits or [self._claim(node)])

    def _start(self, node: Node, commits: Sequence[PlannedCommit]) -> None:
        assert node.session is not None
        assert node.lease is not None
        self._doing[node.session] = _Transaction(node, node.lease, commits)
        node.session.apply(node.lease, [one.commit for one in commits])

    def _leave(self, node: Node) -> None:
        if node.session is not None:
            self.left.append(node.session)
            node.session = None

    def _planned_commits(self, node: Node, work: str, pick: int) -> Iterator[PlannedCommit]:
        assert node.lease is not None
        if work.startswith("accept"):
            yield self._accept(node, work, pick)
        elif work == "claim":
            yield self._claim(node)
        elif work == "cancel" and self._known:
            yield _commit(Cancel(_picked(self._known, pick), self._clock.now()))
        elif work in ("take over", "release"):
            others = [lease for lease in self._judge.unreleased if lease != node.lease.id]
            if others:
                yield self._take_over(_picked(others, pick), release=work == "release")
        elif work == "zombie":
            yield from self._zombie(node, pick)
        elif work == "go on" and node.claimed:
            yield self._go_on(node, _picked(list(node.claimed), pick))
        elif work == "record" and node.running:
            execution_id = _picked(list(node.running), pick)
            yield _commit(self._entry(execution_id, node.running[execution_id]))
        elif work == "park" and node.running:
            execution_id, now = _picked(list(node.running), pick), self._clock.now()
            yield _commit(Park(execution_id, now, now, "sleep"), learn=lambda _: node.forget(execution_id))
        elif work == "end" and node.running:
            yield self._end(node, _picked(list(node.running), pick))

    def _accept(self, node: Node, work: str, pick: int) -> PlannedCommit:
        order_key = f"k{pick % 2}" if work == "accept in order" else None
        envelope = self._envelopes.make(_FLOW, order_key=order_key)
        execution_id, tenure = envelope.execution_id, self._tenure(node)
        # Nodes claim nothing that has an order key: only the table knows whose turn it is.
        claimed = work == "accept" and pick % 2 == 0
        start = Start(execution_id, "v1", self._clock.now()) if work == "accept and start" else None

        def learn(_commit: Commit) -> None:
            if start is not None:
                node.running[execution_id] = tenure
            elif claimed:
                node.claimed[execution_id] = True

        changes: list[Change] = [Accept(envelope, start=start)]
        if start is not None:
            changes.append(self._entry(execution_id, tenure))
        return PlannedCommit(prepare_commit(changes, lambda _envelope: claimed), learn)

    def _claim(self, node: Node, room: int = _ROOM) -> PlannedCommit:
        taken = (*node.claimed, *node.running)
        row = ClaimRow(_FLOW, (), taken, room, self._clock.now(), begun_only=False, limit=None)

        def learn(commit: Commit) -> None:
            found: Any = commit.results[0]
            node.claimed |= {row.id: row.flow_version is None for row in found.rows}

        return PlannedCommit(_procedure(statements.CLAIM_READY, row), learn)

    def _go_on(self, node: Node, execution_id: str) -> PlannedCommit:
        now, tenure = self._clock.now(), self._tenure(node)
        going = Start(execution_id, "v1", now) if node.claimed[execution_id] else Resume(execution_id, now)

        def learn(_commit: Commit) -> None:
            node.forget(execution_id)
            node.running[execution_id] = tenure

        return _commit(going, self._entry(execution_id, tenure), learn=learn)

    def _take_over(self, lease: str, *, release: bool) -> PlannedCommit:
        if release:
            return PlannedCommit(_procedure(statements.RELEASE, lease))
        return PlannedCommit(_procedure(statements.TAKE_OVER, TakeOverRow(lease, lease in self._dead)))

    def _zombie(self, node: Node, pick: int) -> Iterator[PlannedCommit]:
        """A change to what the node ran under a lease that it has lost, and doesn't own now."""
        lost = [one for one in node.zombies if one not in node.claimed and one not in node.running]
        if not lost:
            return
        execution_id, now = _picked(lost, pick), self._clock.now()
        changes: Sequence[Change] = (
            self._entry(execution_id, node.zombies[execution_id]),
            End(execution_id, State.SUCCEEDED, Outcome.COMPLETED, now),
            Park(execution_id, now, now, "sleep"),
        )
        yield PlannedCommit(prepare_commit([changes[pick % len(changes)]]), forbidden=True)

    def _end(self, node: Node, execution_id: str) -> PlannedCommit:
        ending = End(execution_id, State.SUCCEEDED, Outcome.COMPLETED, self._clock.now())
        entry = self._entry(execution_id, node.running[execution_id])
        return _commit(entry, ending, learn=lambda _: node.forget(execution_id))

    def _entry(self, execution_id: str, tenure: str) -> RecordSteps:
        """An entry whose number nobody else takes: only the owner keeps it out."""
        return RecordSteps(execution_id, (self._envelopes.record(next(self._numbers), use=tenure),))

    def _tenure(self, node: Node) -> str:
        assert node.lease is not None
        return f"{node.lease.id}#{next(self._numbers)}"

    # --- What nodes learn

    async def _finish(self, session: Session, done: _Transaction, reported: list[str], accepted: list[str]) -> None:
        node, mine = done.node, done.node.session is session
        try:
            result = session.result()
        except LeaseLost:
            await self._drop(session, node)
            if mine:
                node.lose()
        except database_errors() as error:
            if not met_others(error):
                await self._drop(session, node)
            # Otherwise it was rolled back because it met another one; the session can go on.
        else:
            if done.commits:
                self._durable(session, done, result, reported, accepted)
            else:
                await self._continued(node, done.lease)
            if not mine:
                await self._drop(session, node)

    def _durable(
        self,
        session: Session,
        done: _Transaction,
        failures: Sequence[Exception | None],
        reported: list[str],
        accepted: list[str],
    ) -> None:
        if session in self._replaced:
            raise Broken(f"a session of {done.lease.id} was replaced, and has committed")
        reported.append(done.lease.id)
        mine = done.node.session is session
        for planned, failure in zip(done.commits, failures, strict=True):
            if failure is None:
                if planned.forbidden:
                    raise Broken(f"{done.lease.id} has changed what it had lost: {planned.commit.operations}")
                accepted += [one.execution_id for one in planned.commit.results if isinstance(one, Accepted)]
                if mine:
                    planned.learn(planned.commit)

    async def _continued(self, node: Node, lease: Lease) -> None:
        """Nothing is in doubt any more, and the stored state counts."""
        self._replaced.update(one for one, doing in self._doing.items() if doing.lease is lease)
        if node.lease is not lease:
            return
        node.claimed = {row["id"]: row["fresh"] for row in await self._watching.fetch(_MINE, lease.id)}
        node.running = {}

    async def _drop(self, session: Session, node: Node) -> None:
        if node.session is session:
            node.session = None
        elif session in self.left:
            self.left.remove(session)
        self._replaced.discard(session)
        await self._sessions.close(session)


def _commit(*changes: Change, learn: Callable[[Commit], None] = lambda _commit: None) -> PlannedCommit:
    return PlannedCommit(prepare_commit(changes), learn)


def _procedure(statement: Any, row: Any) -> Commit:
    return Commit([Operation(statement, "", row, 0)], [None])


def _picked(of: Sequence[str], pick: int) -> str:
    return of[pick % len(of)]
