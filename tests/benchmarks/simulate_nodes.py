"""A simulation of many nodes on one PostgreSQL: how far it goes, and which part is full first.

    python -m tests.benchmarks.simulate_nodes [--nodes 100] [--rates 250000 1000000] [--claimed 0 1] [--cores 32] …
    python -m tests.benchmarks.simulate_nodes --measure postgresql://root@127.0.0.1:5432

The second form measures times that the first one takes, on a PostgreSQL of this machine, and prints them as options.
`--node` is the server's processor time for an execution, which bench_workers.py prints.

Rates are webhooks a minute. Each goes to any of the nodes, is accepted, calls a service, and ends: three commits. The
commits of a node share its one transaction, which costs PostgreSQL a fixed time for the renewal of the lease, and a
time for each commit. Transactions share its cores, and the flushes of its log. `--claimed` is the share of the messages
that any node may run: those with an order key or of a flow with `concurrency`, and all of them if other nodes accept
than run. For them, nodes send wake-ups (NOTIFY), one transaction of the whole cluster after the other, and claim.

The same options give the same output, whatever the machine.
"""

import argparse
import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from itertools import count
from typing import Any, Final

GROUP: Final = 256
"""The most commits in a transaction of a node."""
PAGE: Final = 64
"""The most executions that a node claims at a time."""
PAUSE: Final = 0.05
"""Seconds between two wake-ups of a node."""
LOOK: Final = 1.0
"""Seconds between two looks of a node."""
LIMIT: Final = 5.0
"""Seconds after which a message that can't be stored is rejected."""
SESSIONS: Final = 6
"""Of each node."""
COMMITS: Final = 3
"""Of each execution: it is accepted, its step's result is stored, it ends."""


@dataclass(frozen=True)
class Times:
    """What things take, in seconds unless it says something else. `PostgreSQL`: time of its processor."""

    node: float = field(default=650e-6, metadata={"help": "processor time of a node for an execution"})
    begin: float = field(default=900e-6, metadata={"help": "PostgreSQL: a transaction without commits"})
    change: float = field(default=42e-6, metadata={"help": "PostgreSQL: one commit of an execution"})
    claim: float = field(default=40e-6, metadata={"help": "PostgreSQL: to claim one execution"})
    skip: float = field(default=2e-6, metadata={"help": "PostgreSQL: to pass a row that another node just claims"})
    notify: float = field(default=40e-6, metadata={"help": "PostgreSQL: to send a wake-up"})
    hear: float = field(default=12e-6, metadata={"help": "PostgreSQL: to hand a wake-up to one node"})
    look: float = field(default=900e-6, metadata={"help": "PostgreSQL: what an idle node asks in a second"})
    flush: float = field(default=2e-3, metadata={"help": "a flush of the log to the disk"})
    trips: float = field(default=2e-3, metadata={"help": "the messages of a transaction on their way"})
    action: float = field(default=50e-3, metadata={"help": "the call of a service"})
    log: float = field(default=4400.0, metadata={"help": "bytes of the log for an execution"})


@dataclass(frozen=True)
class Machine:
    """The machine of PostgreSQL."""

    cores: int = 32
    disk: float = 1e9
    """Bytes a second."""
    connections: int = 1000


class Simulation:
    """Events in the order of their times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = count()

    def at(self, time: float, then: Callable[..., None], *given: Any) -> None:
        """Call `then` at a time."""
        heapq.heappush(self._events, (time, next(self._numbers), then, given))

    def after(self, seconds: float, then: Callable[..., None], *given: Any) -> None:
        """Call `then` after some time."""
        self.at(self.now + seconds, then, *given)

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, then, given = heapq.heappop(self._events)
            then(*given)
        self.now = until


class Cores:
    """Some servers of one queue: the cores of PostgreSQL's machine, the core of a node, a lock."""

    def __init__(self, simulation: Simulation, number: int = 1) -> None:
        self._simulation = simulation
        self._free = [0.0] * number
        self.busy = 0.0
        """Seconds, of all together."""

    def use(self, seconds: float, then: Callable[..., None], *given: Any) -> None:
        """Call `then` when a core was used for so long."""
        end = max(self._simulation.now, heapq.heappop(self._free)) + seconds
        heapq.heappush(self._free, end)
        self.busy += seconds
        self._simulation.at(end, then, *given)


class Log:
    """PostgreSQL's log on the disk: all who come during a flush share the next one."""

    def __init__(self, simulation: Simulation, flush: float, disk: float) -> None:
        self._simulation, self._flush, self._disk = simulation, flush, disk
        self._waiting: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []
        self._flushing = False
        self.written = 0.0
        self.busy = 0.0

    def write(self, size: float, then: Callable[..., None], *given: Any) -> None:
        """Call `then` when so many bytes are on the disk."""
        self._waiting.append((size, then, given))
        if not self._flushing:
            self._begin()

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        size = sum(one[0] for one in waiting)
        seconds = self._flush + size / self._disk
        self._flushing = True
        self.written += size
        self.busy += seconds
        self._simulation.after(seconds, self._end, waiting)

    def _end(self, waiting: Iterable[tuple[float, Callable[..., None], tuple[Any, ...]]]) -> None:
        self._flushing = False
        for _, then, given in waiting:
            then(*given)
        if self._waiting and not self._flushing:
            self._begin()


class WakeUps:
    """NOTIFY: the commit of one waits for that of the one before, in the whole database."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._waiting: deque[Node] = deque()
        self._held_since: float | None = None
        self.sent = 0
        self.busy = 0.0

    def send(self, sender: "Node") -> None:
        """Wake all nodes, as soon as it is its turn."""
        self._waiting.append(sender)
        if self._held_since is None:
            self._begin()

    def _begin(self) -> None:
        sender = self._waiting.popleft()
        self._held_since = self._cluster.simulation.now
        self._cluster.cores.use(self._cluster.times.notify, self._cluster.log.write, 200.0, self._committed, sender)

    def _committed(self, sender: "Node") -> None:
        assert self._held_since is not None
        sender.told()
        self.busy += self._cluster.simulation.now - self._held_since
        self._held_since = None
        self.sent += 1
        nodes = self._cluster.nodes
        self._cluster.cores.use(self._cluster.times.hear * len(nodes), self._hear)
        if self._waiting:
            self._begin()

    def _hear(self) -> None:
        for node in self._cluster.nodes:
            node.claim()


@dataclass(slots=True)
class Commit:
    """Of one execution."""

    step: int
    """0: its acceptance."""
    arrived: float
    since: float = 0.0
    """When it was given to the writer."""


class Node:
    """One process: a core, and a writer with one transaction at a time."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._simulation = cluster.simulation
        self.core = Cores(cluster.simulation)
        self._waiting: deque[Commit] = deque()
        self._writing = False
        self._wants = False
        """It has heard that there is something to claim."""
        self._telling = False
        """A wake-up is under way, or the pause after it."""
        self._more = False

    def receive(self) -> None:
        """A webhook has arrived."""
        commit = Commit(0, self._simulation.now)
        self.core.use(self._cluster.times.node / COMMITS, self._commit, commit)

    def claim(self) -> None:
        """Claim what there is, in the next transaction."""
        if self._cluster.ready:
            self._wants = True
            self._write()

    def look(self) -> None:
        """What a node does every second."""
        self._cluster.cores.use(self._cluster.times.look, self.claim)
        self._simulation.after(LOOK, self.look)

    def _commit(self, commit: Commit) -> None:
        commit.since = self._simulation.now
        self._waiting.append(commit)
        self._write()

    def _write(self) -> None:
        if self._writing or not (self._waiting or self._wants):
            return
        self._writing = True
        self._simulation.after(self._cluster.times.trips, self._apply)

    def _apply(self) -> None:
        times, cluster = self._cluster.times, self._cluster
        while self._waiting and self._waiting[0].step == 0 and self._simulation.now - self._waiting[0].since > LIMIT:
            self._waiting.popleft()
            cluster.rejected += 1
        group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
        claimed = list[Commit]()
        seconds = times.begin + times.change * len(group)
        if self._wants:
            self._wants = False
            claimed = [cluster.ready.popleft() for _ in range(min(PAGE, len(cluster.ready)))]
            seconds += times.claim * len(claimed) + times.skip * cluster.claiming
            cluster.claiming += len(claimed)
        cluster.transactions += 1
        cluster.commits += len(group)
        size = 500 + times.log / COMMITS * len(group) + 200 * len(claimed)
        cluster.cores.use(seconds, cluster.log.write, size, self._durable, group, claimed)

    def _durable(self, group: list[Commit], claimed: list[Commit]) -> None:
        cluster = self._cluster
        cluster.claiming -= len(claimed)
        self._writing = False
        for commit in group:
            if commit.step == 0:
                cluster.accepted(self._simulation.now - commit.arrived)
                if cluster.random.random() < cluster.claimed:
                    cluster.ready.append(commit)
                    self._tell()
                    self._wants = True
                    continue
            if commit.step == COMMITS - 1:
                cluster.ended(self._simulation.now - commit.arrived)
            else:
                self._go_on(commit)
        for commit in claimed:
            self._go_on(commit)
        if len(claimed) == PAGE:
            self._wants = True
        self._wants = self._wants and bool(cluster.ready)
        self._write()

    def _go_on(self, commit: Commit) -> None:
        following = Commit(commit.step + 1, commit.arrived)
        used = self._cluster.times.node / COMMITS
        if commit.step == 0:
            call = self._cluster.random.expovariate(1 / self._cluster.times.action)
            self._simulation.after(call, self.core.use, used, self._commit, following)
        else:
            self.core.use(used, self._commit, following)

    def _tell(self) -> None:
        if self._telling:
            self._more = True
        else:
            self._telling = True
            self._cluster.wake_ups.send(self)

    def told(self) -> None:
        """A wake-up of this node is sent; there may be another one after the pause."""
        self._simulation.after(PAUSE, self._may_tell)

    def _may_tell(self) -> None:
        self._telling = False
        if self._more:
            self._more = False
            self._tell()


class Cluster:
    """Nodes, their PostgreSQL, and the messages."""

    def __init__(self, nodes: int, rate: float, claimed: float, times: Times, machine: Machine, seed: int) -> None:
        """`rate`: webhooks a second."""
        self.simulation = Simulation()
        self.times, self.machine = times, machine
        self.claimed, self._rate = claimed, rate
        self.random = random.Random(seed)
        self.cores = Cores(self.simulation, machine.cores)
        self.log = Log(self.simulation, times.flush, machine.disk)
        self.wake_ups = WakeUps(self)
        self.nodes = [Node(self) for _ in range(nodes)]
        self.ready: deque[Commit] = deque()
        """Accepted, and to be claimed."""
        self.claiming = 0
        """Executions that transactions which are open have claimed."""
        self.transactions = self.commits = self.rejected = 0
        self._latencies: list[float] = []
        self._times_of_ends: list[float] = []

    def accepted(self, seconds: float) -> None:
        """A message got its 202."""
        self._latencies.append(seconds)

    def ended(self, seconds: float) -> None:
        """An execution has ended, so long after its message came."""
        self._times_of_ends.append(seconds)

    def _arrive(self) -> None:
        self.random.choice(self.nodes).receive()
        self.simulation.after(self.random.expovariate(self._rate), self._arrive)

    def run(self, seconds: float) -> "Outcome":
        """Let it run, and look at the time after the first third."""
        for node in self.nodes:
            self.simulation.at(self.random.random() * LOOK, node.look)
        self._arrive()
        self.simulation.run(seconds / 3)
        before = self._counts()
        for found in (self._latencies, self._times_of_ends):
            found.clear()
        self.simulation.run(seconds)
        took = seconds - seconds / 3
        each = [(now - then) / took for now, then in zip(self._counts(), before, strict=True)]
        cores, log, flushing, lock, node, transactions, commits, sent, rejected = each
        return Outcome(
            accepted=len(self._latencies) / took,
            ran=len(self._times_of_ends) / took,
            p99=_p99(self._latencies),
            end=_p99(self._times_of_ends),
            rejected=rejected,
            transactions=transactions,
            group=commits / transactions if transactions else 0.0,
            wake_ups=sent,
            full={
                "nodes' processors": node / len(self.nodes),
                "PostgreSQL's processor": cores / self.machine.cores,
                "bytes of the log": log / self.machine.disk,
                "NOTIFY, one at a time": lock,
            },
            flushing=flushing,
        )

    def _counts(self) -> tuple[float, ...]:
        used = sum(node.core.busy for node in self.nodes)
        wake_ups = self.wake_ups
        return (
            self.cores.busy, self.log.written, self.log.busy, wake_ups.busy, used,
            self.transactions, self.commits, wake_ups.sent, self.rejected,
        )  # fmt: skip


def _p99(found: list[float]) -> float:
    return sorted(found)[int(len(found) * 0.99)] if found else float("nan")


@dataclass(frozen=True)
class Outcome:
    """What came of a run; a second, unless it says something else."""

    accepted: float
    ran: float
    p99: float
    """Seconds until a message was accepted."""
    end: float
    """Seconds until its execution had ended."""
    rejected: float
    transactions: float
    """Each updates the row of a lease."""
    group: float
    """Commits in a transaction."""
    wake_ups: float
    full: dict[str, float]
    """By part, how much of it is used. More than 1: work comes faster than it is done."""
    flushing: float
    """The share of time in which the log is being flushed, which is no limit: more commits share a flush."""


def simulate(given: argparse.Namespace, times: Times) -> None:
    """Print a table for each share of claimed messages."""
    machine = Machine(given.cores, given.disk, given.connections)
    for claimed in given.claimed:
        print(f"\n{given.nodes} nodes, {machine.cores} cores, {claimed:.0%} of the messages for any node\n")
        if SESSIONS * given.nodes > machine.connections:
            print(f"{SESSIONS * given.nodes} sessions are more than PostgreSQL takes: they need a pooler.\n")
        print(
            "| webhooks a minute | accepted/s | run/s | p99 of the 202, ms | p99 of the end, ms | rejected/s"
            " | lease rows/s | commits each | wake-ups/s | fullest part |"
        )
        print(f"|{' --- |' * 10}")
        for rate in given.rates:
            one = Cluster(given.nodes, rate / 60, claimed, times, machine, given.seed).run(given.seconds)
            part, share = max(one.full.items(), key=lambda item: item[1])
            print(
                f"| {rate:,.0f} | {one.accepted:,.0f} | {one.ran:,.0f} | {one.p99 * 1000:,.0f} | {one.end * 1000:,.0f}"
                f" | {one.rejected:,.0f} | {one.transactions:,.0f} | {one.group:.1f} | {one.wake_ups:,.0f}"
                f" | {part}: {share:.0%} |",
                flush=True,
            )
            if given.parts:
                print("  " + ", ".join(f"{name} {value:.0%}" for name, value in one.full.items()))


def measure(server: str) -> Times:
    """Measure what can be measured alone, with one node."""
    from tests.benchmarks.bench_server import postgres_database

    with postgres_database(server) as db:
        return asyncio.run(_measured(db))


async def _measured(db: str) -> Times:
    import time

    import asyncpg

    from hookline.kernel.clocks import SystemClock
    from hookline.model.execution import Outcome as Result
    from hookline.model.execution import State
    from hookline.storage.change_declarations import Accept, End, RecordSteps, Start
    from hookline.testing.envelopes import Envelopes
    from hookline_sqlstore.backend_makers import postgresql

    backend, clock = postgresql(db, clock=SystemClock()), SystemClock()
    await backend.open()
    session = await asyncpg.connect(db)
    envelopes, store = Envelopes(clock), backend.store

    async def used() -> float:
        from bench_workers import processor_time

        rows = await session.fetch("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        return sum(processor_time(row["pid"]) for row in rows)

    async def life() -> None:
        envelope = envelopes.make(body={"note": "x" * 400})
        id_, now = envelope.execution_id, clock.now()
        await store.commit([Accept(envelope)])
        await store.commit([Start(id_, "v1", now), RecordSteps(id_, (envelopes.record(1),))])
        await store.commit([RecordSteps(id_, (envelopes.record(2),)), End(id_, State.SUCCEEDED, Result.COMPLETED, now)])

    async def cost(lives: int, together: int) -> float:
        before = await used()
        for _ in range(lives // together):
            await asyncio.gather(*(life() for _ in range(together)))
        return (await used() - before) / lives / COMMITS

    await cost(64, 64)
    alone, shared = await cost(600, 1), await cost(6400, 64)
    # Alone, each commit has a transaction; together, 64 share one.
    begin = (alone - shared) / (1 - 1 / 64)
    position = await session.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'")
    await cost(1280, 64)
    log = float(await session.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'") - position) / 1280

    async def seconds(statement: str, times: int = 300) -> float:
        began = time.perf_counter()
        for _ in range(times):
            await session.execute(statement)
        return (time.perf_counter() - began) / times

    await session.execute("CREATE TABLE one (n integer); INSERT INTO one VALUES (1)")
    flushed = await seconds("UPDATE one SET n = n + 1")
    await session.execute("SET synchronous_commit = off")
    flush = max(flushed - await seconds("UPDATE one SET n = n + 1"), 1e-5)

    async def notified(times: int = 2000) -> float:
        before = await used()
        await seconds("NOTIFY a_channel, 'orders'", times)
        await asyncio.sleep(0.5)
        return (await used() - before) / times

    notify, listeners = await notified(), [await asyncpg.connect(db) for _ in range(20)]
    for listener in listeners:
        await listener.add_listener("a_channel", lambda *_: None)
    hear = max((await notified() - notify) / len(listeners), 1e-6)
    for one in (*listeners, session):
        await one.close()
    await backend.close()
    return replace(Times(), begin=begin, change=shared - begin / 64, notify=notify, hear=hear, flush=flush, log=log)


def main() -> None:
    """Print the tables, or the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", metavar="URL", help="a server of PostgreSQL, without a database")
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--rates", type=float, nargs="+", default=[250_000, 500_000, 1_000_000, 2_000_000])
    parser.add_argument("--claimed", type=float, nargs="+", default=[0.0, 1.0])
    parser.add_argument("--seconds", type=float, default=4.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", action="store_true", help="show how much of each part is used")
    for limit in fields(Machine):
        parser.add_argument(f"--{limit.name}", type=type(limit.default), default=limit.default)
    for one in fields(Times):
        parser.add_argument(f"--{one.name}", type=float, default=one.default, help=one.metadata["help"])
    given = parser.parse_args()
    if given.measure is not None:
        found = measure(given.measure)
        print(
            " ".join(f"--{one.name} {getattr(found, one.name):.3g}" for one in fields(Times) if one.name not in _GIVEN)
        )
        return
    simulate(given, Times(**{one.name: getattr(given, one.name) for one in fields(Times)}))


#: Not measured by this program.
_GIVEN: Final = ("node", "claim", "skip", "look", "trips", "action")

if __name__ == "__main__":
    main()
