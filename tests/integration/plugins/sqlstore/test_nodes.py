"""Many nodes on PostgreSQL: the contract, and sessions that are halted between statement and commit."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, Pool, event, text
from tests.integration.plugins.sqlstore.conftest import Connect, Join
from tests.integration.plugins.sqlstore.node_process import node_in_process

from hookline.model.execution import Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    AddState,
    BeginWait,
    CallbackStored,
    End,
    Park,
    SetState,
    Start,
    StateAdded,
    StoreCallback,
)
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.cluster import ClusterContract
from hookline.testing.contracts.queue import consuming
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore import node_lease as leases
from hookline_sqlstore.cluster import watch
from hookline_sqlstore.databases import postgres_session_upkeep as sessions
from hookline_sqlstore.node_lease import Lease, LeaseLost

pytestmark = pytest.mark.postgres


class TestPostgresNodes(ClusterContract):
    """Each node is a process of its own."""

    @pytest.fixture
    async def join(self, tables: str) -> AsyncIterator[Join]:
        async with contextlib.AsyncExitStack() as stack:
            numbers = itertools.count(1)

            async def start() -> Backend:
                node = await node_in_process(tables, f"node-{next(numbers)}")
                stack.push_async_callback(node.close)
                return node

            yield start


def _node() -> NodeDescription:
    return NodeDescription("by-hand", host="elsewhere", process="1")


async def _eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110 - other sessions do it
            await asyncio.sleep(0.05)


async def _is_gone(connection: Any) -> bool:
    gone: bool = await connection.fetchval("SELECT gone_at IS NOT NULL FROM nodes WHERE name = 'by-hand'")
    return gone


@pytest.mark.cluster_rule("C1", "C3")
async def test_nobody_takes_over_while_a_transaction_of_the_node_is_open(
    join: Join, session: Connect, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_EVERY", 0.1)
    await join()
    halted, watching = await session(), await session()
    lease = Lease(_node())
    await lease.register(halted)
    envelope = Envelopes(clock).make()
    assert await halted.execute(lease.begin(5.0)) == "UPDATE 1"
    await halted.execute(
        "INSERT INTO executions (id, flow_id, state, created_at, attempt, order_holds, owner)"
        " VALUES ($1, 'orders', 'running', 1, 1, false, $2)",
        envelope.execution_id,
        lease.id,
    )
    # Its lease would have run out long ago, had it not been renewed by the transaction that is halted now.
    await asyncio.sleep(0.5)
    assert not await _is_gone(watching)
    await halted.execute("COMMIT")
    await watching.execute("UPDATE nodes SET until = 0 WHERE name = 'by-hand'")
    await _eventually(lambda: _is_gone(watching))
    # What it committed is seen by the node that has taken over, and it can commit nothing more.
    query = "SELECT owner IS NULL AND ready_at IS NOT NULL FROM executions WHERE id = $1"
    await _eventually(lambda: watching.fetchval(query, envelope.execution_id))
    assert await halted.execute(lease.begin(5.0)) == "UPDATE 0"
    await halted.execute("ROLLBACK")
    with pytest.raises(LeaseLost):
        await lease.renew(halted)


@pytest.mark.cluster_rule("C1", "C3")
async def test_what_an_earlier_session_sends_late_changes_nothing(join: Join, session: Connect) -> None:
    await join()
    earlier, later = await session(), await session()
    lease = Lease(_node())
    await lease.register(earlier)
    late = lease.begin(5.0)
    assert await earlier.execute(lease.begin(5.0)) == "UPDATE 1"
    taking = asyncio.ensure_future(lease.take_session(later))
    # It waits until the transaction of the session before is known to have ended.
    assert not (await asyncio.wait((taking,), timeout=0.3))[0]
    await earlier.execute("ROLLBACK")
    await taking
    assert await earlier.execute(late) == "UPDATE 0"
    await earlier.execute("ROLLBACK")
    assert await later.execute(lease.begin(5.0)) == "UPDATE 1"
    await later.execute("ROLLBACK")


@pytest.mark.cluster_rule("C1", "C12")
async def test_a_lease_that_has_run_out_goes_on_unless_a_change_was_made_meanwhile(
    join: Join, session: Connect
) -> None:
    backend = await join()
    await backend.close()
    by_hand = await session()
    lease = Lease(_node())
    await lease.register(by_hand)
    await by_hand.execute("UPDATE nodes SET until = 0 WHERE name = 'by-hand'")
    await lease.renew(by_hand)
    await by_hand.execute("UPDATE nodes SET until = 0 WHERE name = 'by-hand'")
    await by_hand.execute("UPDATE cluster SET changes = changes + 1")
    with pytest.raises(LeaseLost):
        await lease.renew(by_hand)


_CHANGED = "UPDATE cluster SET changes = changes + 1"
_RUN_OUT = "UPDATE nodes SET until = 1, adopted = (SELECT changes FROM cluster) WHERE name = 'by-hand'"


@pytest.mark.cluster_rule("C12")
async def test_a_change_waits_for_a_node_whose_lease_is_being_renewed_after_it_had_run_out(
    join: Join, session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_EVERY", 3600)
    node = await join()
    halted, by_hand = await session(), await session()
    lease = Lease(_node())
    await lease.register(halted)
    await by_hand.execute(_RUN_OUT)
    # The renewal doesn't see the change that is made before it is durable.
    assert await halted.execute(lease.begin(5.0)) == "UPDATE 1"
    await by_hand.execute(_CHANGED)
    answering = asyncio.ensure_future(node.membership.adopted())
    assert not (await asyncio.wait((answering,), timeout=0.5))[0]
    await halted.execute("COMMIT")
    # Now its lease holds, and it still acts by the previous state.
    assert not (await asyncio.wait((answering,), timeout=0.5))[0]
    assert any(one.pending for one in await node.membership.nodes() if one.name == "by-hand")
    await by_hand.execute("UPDATE nodes SET adopted = (SELECT changes FROM cluster) WHERE name = 'by-hand'")
    assert await answering == ()


@pytest.mark.cluster_rule("C12")
async def test_a_change_is_answered_when_a_node_whose_lease_has_run_out_can_t_renew_it_any_more(
    join: Join, session: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_EVERY", 3600)
    node, by_hand = await join(), await session()
    await Lease(_node()).register(by_hand)
    await by_hand.execute(_RUN_OUT)
    await by_hand.execute(_CHANGED)
    assert await node.membership.adopted() == ()
    assert await _is_gone(by_hand)


@pytest.mark.cluster_rule("C1")
async def test_the_server_ends_a_session_that_is_paused_in_a_transaction(join: Join, session: Connect) -> None:
    await join()
    paused = await session()
    lease = Lease(_node())
    await lease.register(paused)
    assert await paused.execute(lease.begin(5.0)) == "UPDATE 1"
    shown = {name: await paused.fetchval(f"SHOW {name}") for name in _LIMITS}
    assert shown == _LIMITS
    await paused.execute("ROLLBACK")


_LIMITS = {"idle_in_transaction_session_timeout": "5s", "lock_timeout": "5s", "statement_timeout": "30s"}


@pytest.mark.cluster_rule("C6")
async def test_two_messages_of_one_line_get_places_in_the_order_of_their_commits(
    join: Join, session: Connect, clock: ManualClock
) -> None:
    node = await join()
    envelopes, halted = Envelopes(clock), await session()
    lease = Lease(_node())
    await lease.register(halted)
    first, second = envelopes.make(order_key="k"), envelopes.make(order_key="k")
    await halted.execute(lease.begin(5.0))
    place = "INSERT INTO lines (flow_id, order_key, last) VALUES ('orders', 'k', 1)"
    await halted.execute(f"{place} ON CONFLICT (flow_id, order_key) DO UPDATE SET last = lines.last + 1")
    await halted.execute(
        "INSERT INTO executions (id, flow_id, state, created_at, attempt, order_holds, order_key, order_seq, ready_at)"
        " VALUES ($1, 'orders', 'queued', 1, 1, false, 'k', 1, 1)",
        first.execution_id,
    )
    putting = asyncio.ensure_future(node.queue.put(second))
    # It can't know its place before the one that came first is durable, or gone.
    assert not (await asyncio.wait((putting,), timeout=0.3))[0]
    await halted.execute("COMMIT")
    await putting
    rows = await halted.fetch("SELECT id, order_seq, reason FROM executions ORDER BY order_seq")
    assert [(row["id"], row["order_seq"], row["reason"]) for row in rows] == [
        (first.execution_id, 1, None),
        (second.execution_id, 2, "order"),
    ]


async def test_two_nodes_store_the_first_number_under_a_key_and_both_count(
    join: Join, session: Connect, clock: ManualClock
) -> None:
    node = await join()
    envelopes, other, now = Envelopes(clock), await session(), clock.now()
    id_ = (message := envelopes.make()).execution_id
    await node.store.commit([Accept(message)])
    await node.store.commit([Start(id_, "v1", now)])
    await other.execute("BEGIN")
    await other.execute("INSERT INTO state (flow_id, key, updated_at, value) VALUES ('orders', 'n', 1, '5')")
    step = msgspec.structs.replace(envelopes.record(1), output=None)
    adding = asyncio.ensure_future(node.store.commit([AddState(id_, step, "orders", "n", b"1", now)]))
    assert not (await asyncio.wait((adding,), timeout=0.3))[0]
    await other.execute("COMMIT")
    assert await adding == [StateAdded(b"6")]


async def test_a_number_that_another_node_removes_meanwhile_counts_from_0(
    join: Join, session: Connect, clock: ManualClock
) -> None:
    node = await join()
    envelopes, other, now = Envelopes(clock), await session(), clock.now()
    id_ = (message := envelopes.make()).execution_id
    await node.store.commit([Accept(message), SetState("orders", "n", b"5", now)])
    await node.store.commit([Start(id_, "v1", now)])
    await other.execute("BEGIN")
    await other.execute("DELETE FROM state WHERE flow_id = 'orders' AND key = 'n'")
    step = msgspec.structs.replace(envelopes.record(1), output=None)
    adding = asyncio.ensure_future(node.store.commit([AddState(id_, step, "orders", "n", b"1", now)]))
    assert not (await asyncio.wait((adding,), timeout=0.3))[0]
    await other.execute("COMMIT")
    assert await adding == [StateAdded(b"1")]


def _callback(envelopes: Envelopes, execution_id: str | None, key: str | None) -> StoreCallback:
    now = envelopes.clock.now()
    path, until = (None, now + timedelta(hours=1)) if execution_id is None else ("paid", None)
    return StoreCallback(envelopes.ids.new(), execution_id, path, "orders", "paid", key, b"d", now, until, b"{}")


@pytest.mark.rule(29)
@pytest.mark.cluster_rule("C4")
async def test_a_callback_wakes_an_execution_that_another_node_is_just_parking(
    join: Join, session: Connect, clock: ManualClock
) -> None:
    node, halted = await join(), await session()
    envelopes = Envelopes(clock)
    execution_id = envelopes.make().execution_id
    await halted.execute(
        "INSERT INTO executions (id, flow_id, state, created_at, attempt, order_holds)"
        " VALUES ($1, 'orders', 'running', 1, 1, false)",
        execution_id,
    )
    await halted.execute("BEGIN")
    await halted.execute("UPDATE executions SET state = 'waiting' WHERE id = $1", execution_id)
    await halted.execute(
        "INSERT INTO waits (execution_id, path, flow_id, step_id, opened_at) VALUES ($1, 'paid', 'orders', 'paid', 1)",
        execution_id,
    )
    calling = asyncio.ensure_future(node.store.commit([_callback(envelopes, execution_id, None)]))
    # It can't know whether the execution waits before the parking is durable, or gone.
    assert not (await asyncio.wait((calling,), timeout=0.3))[0]
    await halted.execute("COMMIT")
    assert await calling == [CallbackStored(execution_id)]
    query = "SELECT ready_at IS NOT NULL FROM executions WHERE id = $1"
    assert await halted.fetchval(query, execution_id)


@pytest.mark.rule(29)
@pytest.mark.cluster_rule("C4")
async def test_a_callback_with_a_key_finds_a_step_that_begins_to_wait_on_another_node(
    join: Join, session: Connect, clock: ManualClock
) -> None:
    first, second = await join(), await join()
    envelopes, watching = Envelopes(clock), await session()
    executions: list[str] = []
    for number in range(20):
        envelope = envelopes.make()
        executions.append(envelope.execution_id)
        await first.queue.put(envelope)
        await first.store.commit([Start(envelope.execution_id, "v1", clock.now())])
        wait = BeginWait(envelope.execution_id, "paid", "orders", "paid", f"k{number}", clock.now())
        park = Park(envelope.execution_id, clock.now(), None, "callback")
        await asyncio.gather(
            first.store.commit([wait, park]), second.store.commit([_callback(envelopes, None, f"k{number}")])
        )
    query = "SELECT id FROM executions WHERE state = 'waiting' AND ready_at IS NULL"
    assert await watching.fetch(query) == []
    found = await watching.fetch("SELECT execution_id FROM callbacks ORDER BY execution_id")
    assert [row["execution_id"] for row in found] == sorted(executions)


@pytest.mark.cluster_rule("C5")
async def test_what_a_consumer_has_left_is_delivered_oldest_first_wherever_its_rows_are(
    join: Join, session: Connect, clock: ManualClock
) -> None:
    node, envelopes = await join(), Envelopes(clock)
    made = [envelopes.make() for _ in range(10)]
    for envelope in made:
        await node.queue.put(envelope)
    async with consuming(node) as consumer:
        await consumer.next()
    # An update moves a row to the end of the table, and a table that is known to be small is read from its beginning.
    by_hand = await session()
    for envelope in reversed(made):
        await by_hand.execute("UPDATE executions SET attempt = attempt WHERE id = $1", envelope.execution_id)
    await by_hand.execute("ANALYZE executions")
    async with consuming(node) as consumer:
        left = [delivery.execution_id for delivery in await consumer.take(9)]
    assert left == [envelope.execution_id for envelope in made[1:]]


@pytest.mark.cluster_rule("C9")
async def test_a_node_without_work_asks_the_database_a_few_times_a_second(join: Join) -> None:
    asked: list[str] = []

    def log(connection: Any, _record: Any) -> None:
        # It isn't told of the prepared statements, which are SQLAlchemy's.
        connection.driver_connection.add_query_logger(lambda record: asked.append(record.query))

    def note(_connection: Any, _cursor: Any, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(Pool, "connect", log)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        for _ in range(3):
            await join()
        await asyncio.sleep(0.5)
        before, began = len(asked), time.monotonic()
        await asyncio.sleep(2.5)
        rate = (len(asked) - before) / (time.monotonic() - began)
    finally:
        event.remove(Pool, "connect", log)
        event.remove(Engine, "before_cursor_execute", note)
    # Each node looks once a second, and renews its lease every two.
    assert 3 <= rate <= 3 * 2, asked[before:]


@pytest.mark.cluster_rule("C7")
async def test_a_claim_reads_little_of_a_long_queue(
    join: Join, session: Connect, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (leases, sessions):
        monkeypatch.setattr(module, "REPLAN", 0.5)
    node, envelopes, by_hand = await join(), Envelopes(clock), await session()

    async def run(count: int) -> None:
        for _ in range(count):
            delivery = await consumer.next()
            await node.store.commit([Start(delivery.execution_id, "v1", clock.now())])
            await node.store.commit([End(delivery.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
            await delivery.ack()

    async def read() -> int:
        """Rows of indexes that were read. A session tells after its next transaction, but not within a second."""
        await asyncio.sleep(1.1)
        await run(1)
        return int(
            await by_hand.fetchval(
                "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes"
                " WHERE schemaname = current_schema() AND relname = 'executions_live'"
            )
        )

    async with consuming(node, limit=5) as consumer:
        # PostgreSQL keeps a plan from the sixth time on.
        await asyncio.gather(*(node.queue.put(envelopes.make()) for _ in range(20)))
        await run(20)
        await asyncio.gather(*(node.queue.put(envelopes.make()) for _ in range(3000)))
        before, began = await read(), time.monotonic()
        await run(40)
        # 80 for each here; counted by the flow's queue, as many as 700. Once a second, the node counts all that wait.
        assert await read() - before < 40 * 400 + 3000 * (time.monotonic() - began)


def test_a_session_makes_its_plans_anew_after_a_while() -> None:
    now = 100.0
    lease = Lease(_node(), lambda: now)
    assert not lease.begin(5.0).startswith("DISCARD PLANS")
    now += leases.REPLAN + 1
    assert lease.begin(5.0).startswith("DISCARD PLANS")
    assert not lease.begin(5.0).startswith("DISCARD PLANS")


def _sleep(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the machine sleep: the monotonic clock of Linux stands still meanwhile."""
    clock, real = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC), time.clock_gettime
    monkeypatch.setattr(time, "clock_gettime", lambda id_: real(id_) + (seconds if id_ == clock else 0))


@pytest.mark.cluster_rule("C1")
def test_a_machine_that_has_slept_doesn_t_believe_in_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease(_node())
    lease.renewed(lease.sending())
    assert lease.held
    _sleep(monkeypatch, leases.DURATION)
    assert not lease.held


@pytest.mark.cluster_rule("C21")
async def test_a_node_whose_machine_has_slept_knows_how_long_it_has_heard_of_no_change(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await join()
    _sleep(monkeypatch, 300)
    assert node.membership.behind_for() >= 300


async def test_reads_one_after_another_use_the_session_of_the_read_before(join: Join) -> None:
    database = (await join())._database  # type: ignore[attr-defined]  # nothing else names the session

    async def session() -> Any:
        return await database.read(lambda connection: connection.scalar(text("SELECT pg_backend_pid()")))

    assert len(set(await asyncio.gather(*(session() for _ in range(3))))) == 3
    # The node may look at the database meanwhile: that takes one session, and a read a second one.
    assert len({await session() for _ in range(10)}) <= 2


async def test_a_node_that_waits_for_a_duty_of_another_node_commits_nothing(join: Join) -> None:
    one, other = await join(), await join()
    await one.membership.take(("a",))
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert await other.membership.take(("a",)) == ()
        assert not any("INSERT INTO duties" in statement for statement in statements)
        assert set(await other.membership.take(("b",))) == {"b"}
        assert any("INSERT INTO duties" in statement for statement in statements)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
