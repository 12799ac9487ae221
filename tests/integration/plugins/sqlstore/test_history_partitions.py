"""The history on PostgreSQL is partitioned: what has ended moves there, and leaves with its partition."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.migrated_schema import connected
from tests.integration.plugins.sqlstore.conftest import clock_of_today

from hookline.kernel.errors import IllegalStateChange
from hookline.maintenance.retention import Purger, Retention
from hookline.model.execution import ErrorInfo, ExecutionFilter, Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Cancel,
    DismissDeadLetter,
    Duplicate,
    End,
    Park,
    Purge,
    RecordSteps,
    ReleaseOrderKey,
    Reopen,
    Resume,
    Start,
)
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes, attachment
from hookline_sqlstore.backend_makers import postgresql
from hookline_sqlstore.column_values import first_id, key_hash
from hookline_sqlstore.databases import history_partitions
from hookline_sqlstore.databases.history_partitions import Partition, missing, partition_length

MONTH = timedelta(days=30)

pytestmark = pytest.mark.postgres


@pytest.fixture
def clock() -> ManualClock:
    return clock_of_today()


@pytest.fixture
async def backend(tables: str, clock: ManualClock) -> AsyncIterator[Backend]:
    backend = postgresql(tables, clock=clock)
    await backend.open()
    yield backend
    await backend.close()


@pytest.fixture
def store(backend: Backend) -> Store:
    return backend.store


@pytest.fixture
async def other(tables: str, backend: Backend) -> AsyncIterator[Any]:
    connection = await connected(tables)
    yield connection
    await connection.close()


@pytest.fixture
async def session(tables: str, backend: Backend) -> AsyncIterator[Any]:
    connection = await connected(tables)
    yield connection
    await connection.close()


@pytest.fixture
def envelopes(clock: ManualClock) -> Envelopes:
    return Envelopes(clock)


async def _run(store: Store, envelopes: Envelopes, state: State | None = State.SUCCEEDED, **options: Any) -> str:
    """Bring an execution to its end, or let it run if `state` is None; its message and its journal are stored apart."""
    envelope = envelopes.make(body="x" * 20_000, **options)
    id_, now = envelope.execution_id, envelopes.clock.now()
    await store.commit([Accept(envelope), Start(id_, "v1", now)])
    await store.commit([RecordSteps(id_, (envelopes.record(1),))])
    if state is not None:
        error = ErrorInfo("x", "x") if state is State.FAILED else None
        outcome = Outcome.FAILED if state is State.FAILED else Outcome.COMPLETED
        await store.commit([End(id_, state, outcome, now, error)])
    return id_


async def _place(session: Any, id_: str, table: str = "executions") -> str | None:
    """The partition that has the row of an execution."""
    key = "id" if table == "executions" else "execution_id"
    place: str | None = await session.fetchval(f"SELECT tableoid::regclass::text FROM {table} WHERE {key} = $1", id_)
    return place


async def _is_whole(store: Store, id_: str) -> bool:
    execution, envelope, journal = await asyncio.gather(store.execution(id_), store.envelope(id_), store.journal(id_))
    assert (execution is None) == (envelope is None) == (not journal)
    return execution is not None


async def _names(session: Any, table: str = "executions_history") -> set[str]:
    rows = await session.fetch("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass", table)
    return {row[0] for row in rows}


def _purger(backend: Backend, clock: ManualClock, **ages: timedelta) -> Purger:
    class Silent:
        def info(self, *_: object, **__: object) -> None:
            pass

    return Purger(
        backend.store,
        None,  # type: ignore[arg-type]  # no files are removed
        clock,
        Silent(),  # type: ignore[arg-type]
        lambda flow_id: Retention(ages.get(flow_id, MONTH)),
    )


@pytest.mark.cluster_rule("C17")
async def test_an_execution_moves_when_it_ends_and_back_when_it_is_retried(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    id_ = await _run(store, envelopes, None)
    assert await _place(session, id_) == "executions_live"
    assert [await _place(session, id_, table) for table in ("journal", "payloads")] == [
        "journal_first",
        "payloads_first",
    ]
    await store.commit([End(id_, State.FAILED, Outcome.FAILED, clock.now(), ErrorInfo("x", "x"))])
    assert await _place(session, id_) == "executions_live", "nobody has decided on it"
    await store.commit([DismissDeadLetter(id_, clock.now())])
    assert await _place(session, id_) == "executions_history_first"
    await store.commit([Reopen(id_, clock.now())])
    assert await _place(session, id_) == "executions_live"
    assert await _is_whole(store, id_)

    succeeded, queued = await _run(store, envelopes), envelopes.make()
    await store.commit([Accept(queued)])
    await store.commit([Cancel(queued.execution_id, clock.now())])
    for ended in (succeeded, queued.execution_id):
        assert await _place(session, ended) == "executions_history_first"


@pytest.mark.cluster_rule("C17")
async def test_a_failure_that_holds_its_order_key_moves_when_the_key_is_released(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    id_ = await _run(store, envelopes, State.FAILED, order_key="k", order_holds=True)
    await store.commit([DismissDeadLetter(id_, clock.now())])
    assert await _place(session, id_) == "executions_live"
    await store.commit([ReleaseOrderKey(id_, clock.now())])
    assert await _place(session, id_) == "executions_history_first"


@pytest.mark.cluster_rule("C17")
async def test_an_id_that_has_ended_is_not_accepted_again(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    for key in (None, "k"):
        envelope = envelopes.make(key=key)
        id_ = envelope.execution_id
        await store.commit([Accept(envelope), Start(id_, "v1", clock.now())])
        await store.commit([End(id_, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        new = envelopes.make()
        assert await store.commit([Accept(envelope), Accept(new)]) == [Duplicate(id_), Accepted(new.execution_id)]
        assert await session.fetchval("SELECT count(*) FROM executions WHERE id = $1", id_) == 1


@pytest.mark.cluster_rule("C17")
async def test_an_id_that_is_just_ending_is_not_accepted_again(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    envelope = envelopes.make()
    await store.commit([Accept(envelope)])
    ending = session.transaction()
    await ending.start()
    await session.execute(
        "UPDATE executions SET state = 'succeeded', outcome = 'completed', finished_at = 1, history = true"
        " WHERE id = $1",
        envelope.execution_id,
    )
    again = asyncio.ensure_future(store.commit([Accept(envelope)]))
    done, _ = await asyncio.wait((again,), timeout=0.3)
    assert not done, "it waits for the other transaction"
    await ending.commit()
    assert await again == [Duplicate(envelope.execution_id)]


@pytest.mark.cluster_rule("C17", "C20")
async def test_a_message_that_another_node_accepts_and_runs_meanwhile_is_not_accepted_again(
    store: Store, envelopes: Envelopes, session: Any, other: Any
) -> None:
    keyed, envelope = envelopes.make(key="k"), envelopes.make()
    holding = other.transaction()
    await holding.start()
    await other.execute(
        "INSERT INTO dedupe_keys (flow_id, hash, execution_id) VALUES ($1, $2, 'other')",
        keyed.flow_id,
        key_hash("k"),
    )
    # Nothing of it is there when the statement begins, which then waits for the key.
    accepting = asyncio.ensure_future(
        store.commit([Accept(keyed, handed_over=True), Accept(envelope, handed_over=True)])
    )
    await _waits_for(session, other)
    await session.execute(
        "INSERT INTO executions (id, flow_id, state, created_at, attempt, order_holds)"
        " VALUES ($1, $2, 'queued', 1, 1, false)",
        envelope.execution_id,
        envelope.flow_id,
    )
    await session.execute(
        "UPDATE executions SET state = 'succeeded', outcome = 'completed', finished_at = 1, history = true"
        " WHERE id = $1",
        envelope.execution_id,
    )
    await holding.rollback()
    assert await accepting == [Accepted(keyed.execution_id), Duplicate(envelope.execution_id)]
    assert await session.fetchval("SELECT count(*) FROM executions WHERE id = $1", envelope.execution_id) == 1


async def _waits_for(session: Any, other: Any) -> None:
    """Return when a session waits for a lock of another one."""
    query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))"
    async with asyncio.timeout(20):
        while not await session.fetchval(query, other.get_server_pid()):  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


@pytest.mark.cluster_rule("C17")
async def test_a_change_that_meets_a_row_on_its_way_is_repeated_and_sees_where_it_went(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    id_ = await _run(store, envelopes, None)
    ending = session.transaction()
    await ending.start()
    await session.execute(
        "UPDATE executions SET state = 'succeeded', outcome = 'completed', finished_at = 1, history = true"
        " WHERE id = $1",
        id_,
    )
    cancelling = asyncio.ensure_future(store.commit([Cancel(id_, clock.now())]))
    done, _ = await asyncio.wait((cancelling,), timeout=0.3)
    assert not done, "it waits for the other transaction"
    await ending.commit()
    with pytest.raises(IllegalStateChange, match="it can't be cancelled any more"):
        await cancelling


@pytest.mark.cluster_rule("C17")
def test_partitions_are_days_unless_executions_are_kept_for_long() -> None:
    day = timedelta(days=1)
    assert [partition_length(days * day) // day for days in (1, 30, 45, 46, 315, 316, 5000)] == [1, 1, 1, 7, 7, 28, 28]


@pytest.mark.cluster_rule("C17")
def test_what_is_missing_of_the_coming_week_begins_today_and_leaves_no_gap() -> None:
    day, today = timedelta(days=1), datetime(2026, 11, 28, tzinfo=UTC)
    now = today + timedelta(hours=5)
    days = [(today + number * day, today + (number + 1) * day) for number in range(8)]
    assert list(missing([], now, day)) == days
    first = Partition("first", None, today + 2 * day)
    assert list(missing([first], now, day)) == days[2:]
    late = Partition("late", today + 3 * day, today + 5 * day)
    assert list(missing([first, late], now, day)) == [days[2], *days[5:]]
    (start, end), *_ = weeks = list(missing([first, late], now, 7 * day))
    assert (start, end) == (first.end, late.start), "they don't overlap"
    assert weeks[-1][1] >= now + 7 * day
    future = Partition("future", today + 4000 * day, today + 4001 * day)
    assert list(missing([future], now, day)) == days, "a clock that was wrong once changes nothing"


@pytest.mark.cluster_rule("C17")
async def test_partitions_are_made_a_week_ahead_and_once(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    assert await _names(session) == {"executions_history_first", "executions_history_default"}
    clock.advance(timedelta(days=9).total_seconds())
    for _ in range(2):
        await store.keep_partitions(MONTH, clock.now() - MONTH)
    today = clock.now()
    days = {f"{today + timedelta(days=number):%Y%m%d}" for number in range(8)}
    for table in ("executions_history", "journal", "payloads"):
        made = await _names(session, table) - {f"{table}_first", f"{table}_default"}
        assert {name.rpartition("_")[2] for name in made} >= days
        assert len(made) <= 10
    id_ = await _run(store, envelopes)
    assert await _place(session, id_) == f"executions_history_{today:%Y%m%d}"
    assert await _place(session, id_, "journal") == f"journal_{today:%Y%m%d}"
    assert await _is_whole(store, id_)


@pytest.mark.cluster_rule("C17")
async def test_the_default_partition_stands_by_and_is_emptied_by_a_partition_for_its_rows(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=20).total_seconds())
    ended, dead = await _run(store, envelopes), await _run(store, envelopes, State.FAILED)
    assert await _place(session, ended) == "executions_history_default"
    assert await _place(session, ended, "journal") == await _place(session, dead, "journal") == "journal_default"
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    for id_ in (ended, dead):
        assert await _place(session, id_, "journal") == f"journal_{clock.now():%Y%m%d}"
        assert await _is_whole(store, id_)
    for table in ("executions_history", "journal", "payloads"):
        assert await session.fetchval(f"SELECT count(*) FROM {table}_default") == 0


@pytest.mark.cluster_rule("C17")
async def test_a_partition_leaves_whole_and_what_somebody_still_needs_stays(
    backend: Backend, store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=9).total_seconds())
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    day = f"{clock.now():%Y%m%d}"
    ended = [await _run(store, envelopes, attachments=(attachment("gone"),)) for _ in range(3)]
    dead, open_ = await _run(store, envelopes, State.FAILED), await _run(store, envelopes, None)
    late = await _run(store, envelopes, None)
    clock.advance(timedelta(days=20).total_seconds())
    await store.commit([End(late, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
    clock.advance(timedelta(days=10, hours=1).total_seconds())
    purger = _purger(backend, clock)
    assert await purger.purge() == 0, "they leave with their partition, and it isn't its time"
    assert await _place(session, ended[0]) == f"executions_history_{day}"
    clock.advance(timedelta(days=1).total_seconds())
    assert await purger.purge() == 0, "nothing was removed one by one"
    for table in ("executions_history", "journal", "payloads"):
        assert f"{table}_{day}" not in await _names(session, table)
        assert await session.fetchval("SELECT to_regclass($1)", f"{table}_{day}") is None
    assert [await _is_whole(store, id_) for id_ in ended] == [False] * 3
    assert set(await store.referenced(["gone"])) == set()
    for id_ in (dead, open_, late):
        assert await _is_whole(store, id_)
        assert await _place(session, id_, "journal") == "journal_default"
    assert [await _place(session, id_) for id_ in (dead, open_, late)] == [
        "executions_live",
        "executions_live",
        "executions_history_default",
    ]

    await store.commit([RecordSteps(open_, (envelopes.record(2),))])
    await store.commit(
        [End(open_, State.SUCCEEDED, Outcome.COMPLETED, clock.now()), DismissDeadLetter(dead, clock.now())]
    )
    assert len(await store.journal(open_)) == 2
    clock.advance(timedelta(days=32).total_seconds())
    assert await purger.purge() == 3, "the default partition is purged one by one"
    assert await session.fetchval("SELECT count(*) FROM journal") == 0
    assert await session.fetchval("SELECT count(*) FROM payloads") == 0


@pytest.mark.cluster_rule("C17")
async def test_shorter_retentions_are_kept_by_purging(
    backend: Backend, store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=9).total_seconds())
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    short, long = await _run(store, envelopes, flow_id="short"), await _run(store, envelopes, flow_id="orders")
    clock.advance(timedelta(days=2).total_seconds())
    assert await _purger(backend, clock, short=timedelta(days=1)).purge() == 1
    assert not await _is_whole(store, short)
    assert await _is_whole(store, long)


@pytest.mark.cluster_rule("C17")
async def test_a_partition_in_which_much_is_needed_stays_and_is_purged_one_by_one(
    backend: Backend,
    store: Store,
    envelopes: Envelopes,
    session: Any,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_partitions, "MOVED", 1)
    clock.advance(timedelta(days=9).total_seconds())
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    day = f"{clock.now():%Y%m%d}"
    ended, dead = await _run(store, envelopes), [await _run(store, envelopes, State.FAILED) for _ in range(2)]
    clock.advance(timedelta(days=32).total_seconds())
    await _purger(backend, clock).purge()
    assert not await _is_whole(store, ended)
    assert [await _place(session, id_, "journal") for id_ in dead] == [f"journal_{day}"] * 2
    await store.commit([DismissDeadLetter(dead[0], clock.now())])
    clock.advance(timedelta(days=32).total_seconds())
    await _purger(backend, clock).purge()
    await _purger(backend, clock).purge()
    assert await _place(session, dead[1], "journal") == "journal_default"
    assert [await _is_whole(store, id_) for id_ in dead] == [False, True]


@pytest.mark.cluster_rule("C17")
async def test_parts_that_are_left_when_a_removal_ends_halfway_are_removed_by_the_next(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.advance(timedelta(days=9).total_seconds())
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    day = f"{clock.now():%Y%m%d}"
    ended, dead = await _run(store, envelopes), await _run(store, envelopes, State.FAILED)
    clock.advance(timedelta(days=32).total_seconds())
    with monkeypatch.context() as halfway:
        halfway.setattr(history_partitions, "_PARTS", ())
        await store.keep_partitions(MONTH, clock.now() - MONTH)
    assert await store.execution(ended) is None
    assert await _place(session, ended, "journal") == f"journal_{day}"
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    assert await _place(session, ended, "journal") is None
    assert await _place(session, dead, "payloads") == "payloads_default"
    assert await _is_whole(store, dead)


@pytest.mark.cluster_rule("C17")
async def test_a_lock_that_is_not_to_be_had_is_waited_for_a_second_and_the_detach_is_tried_again(
    backend: Backend, store: Store, envelopes: Envelopes, session: Any, tables: str, clock: ManualClock
) -> None:
    clock.advance(timedelta(days=9).total_seconds())
    await store.keep_partitions(MONTH, clock.now() - MONTH)
    ended, open_ = await _run(store, envelopes), await _run(store, envelopes, None)
    clock.advance(timedelta(days=32).total_seconds())
    await store.keep_partitions(MONTH, clock.now() - 2 * MONTH)
    reading = session.transaction()
    await reading.start()
    await session.fetch("SELECT count(*) FROM journal")
    keeping = asyncio.ensure_future(store.keep_partitions(MONTH, clock.now() - MONTH))
    watching = await connected(tables)
    waits = (
        "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
        " WHERE NOT granted AND relname = 'journal' AND relnamespace = current_schema()::regnamespace"
    )
    async with asyncio.timeout(20):
        while not await watching.fetchval(waits):  # noqa: ASYNC110 - another session does it
            await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await store.commit([RecordSteps(open_, (envelopes.record(2),))])
    assert loop.time() - began < 2.5, "a writer waits for as long as the detach waits, and no longer"
    assert not keeping.done()
    await reading.rollback()
    await watching.close()
    assert (await keeping).removed > 0
    assert not await _is_whole(store, ended)
    assert len(await store.journal(open_)) == 2
    assert await _place(session, open_, "journal") == "journal_default"


@pytest.mark.long
@pytest.mark.cluster_rule("C17")
async def test_lists_and_repairs_work_over_a_hundred_partitions(
    store: Store, envelopes: Envelopes, session: Any, clock: ManualClock
) -> None:
    start = clock.now() + timedelta(days=9)
    for number in range(100):
        first, last = (first_id(start + timedelta(hours=hours)) for hours in (number, number + 1))
        for table in ("executions_history", "journal", "payloads"):
            await session.execute(
                f"CREATE TABLE {table}_n{number} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{last}')"
            )
    clock.advance(timedelta(days=9).total_seconds())
    ids: list[str] = []
    for _ in range(100):
        ids.append(await _run(store, envelopes))
        clock.advance(3600)
    for id_ in ids[::7]:
        place = await _place(session, id_)
        assert place == f"executions_history_n{ids.index(id_)}"
    dead = await _run(store, envelopes, State.FAILED)

    listed: list[str] = []
    for chosen in (ExecutionFilter(flow_id="orders"), ExecutionFilter(state=State.SUCCEEDED), ExecutionFilter()):
        listed, cursor = [], None
        while True:
            page = await store.executions(chosen, cursor=cursor, limit=30)
            listed += [one.execution.id for one in page.items]
            if (cursor := page.next) is None:
                break
        expected: Sequence[str] = ids if chosen.state is not None else [*ids, dead]
        assert listed == list(reversed(expected))
    assert await store.matching_ids(ids[3], 5) == [ids[3]]
    assert await store.execution_count() == 101
    assert list(await store.purgeable("orders", clock.now(), 10)) == ids[:10]
    (usage,) = (await store.row_usage("", 1000)).items
    assert 0 < usage.purgeable < usage.used
    assert usage.dead_letters > 0
    await store.commit([Reopen(dead, clock.now())])
    assert await _place(session, dead) == "executions_live"
    await store.commit([Purge((ids[0], ids[50]), clock.now())])
    assert [await _is_whole(store, ids[place]) for place in (0, 49, 50)] == [False, True, False]


@pytest.mark.cluster_rule("C17")
async def test_statements_about_what_has_not_ended_read_no_partition_of_the_history(
    backend: Backend, session: Any, envelopes: Envelopes, clock: ManualClock, store: Store
) -> None:
    id_, queued = await _run(store, envelopes, None), envelopes.make(order_key="k")
    await store.commit([Accept(queued)])
    holding = session.transaction()
    await holding.start()
    # A statement that opened one of these would wait for it.
    await session.execute("LOCK TABLE executions_history, executions_history_first, executions_history_default")
    async with asyncio.timeout(10):
        for started in (envelopes.make(), envelopes.make(key="k")):
            start = Start(started.execution_id, "v1", clock.now())
            assert await store.commit([Accept(started, start=start)]) == [Accepted(started.execution_id)]
        await store.commit([RecordSteps(id_, (envelopes.record(2),))])
        await store.commit([Park(id_, clock.now(), None, "it waits")])
        await store.commit([Resume(id_, clock.now())])
        deliveries = backend.queue.deliveries("orders")
        assert (await anext(deliveries)).execution_id == queued.execution_id
        await deliveries.aclose()  # type: ignore[attr-defined]  # it is a generator
        await store.commit([End(id_, State.FAILED, Outcome.FAILED, clock.now(), ErrorInfo("x", "x"))])
        await store.counts()
        await store.backlog()
        await store.next_due(clock.now())
        await store.due(None, clock.now(), 10)
        await store.flows_with_work()
        await store.dead_letters()
        await store.queue_depth("orders", "k", 10)
    await holding.rollback()
    await store.commit([DismissDeadLetter(id_, clock.now())])
    assert await _place(session, id_) == "executions_history_first"
