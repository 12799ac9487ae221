"""A database with data of an earlier schema has the same data after its migration."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.integration.migrated_schema import connected
from tests.integration.plugins.sqlstore.conftest import clock_of_today

from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.model.message import pack
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Cancel,
    DismissDeadLetter,
    Duplicate,
    End,
    RecordSteps,
    ReleaseOrderKey,
    Reopen,
    Start,
)
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql, sqlite
from hookline_sqlstore.column_values import key_hash, micros
from hookline_sqlstore.databases import table_versions as schema_versions

MIGRATION = "0006"


@pytest.fixture
def clock() -> ManualClock:
    return clock_of_today()


def _upgrade_to(connection: Connection, version: str) -> None:
    config = schema_versions._config(schema_versions._MIGRATIONS)
    config.attributes["connection"] = connection
    with connection.begin():
        command.upgrade(config, version)


class Old:
    """The rows of an earlier schema, and what they mean."""

    def __init__(self, clock: ManualClock) -> None:
        self.envelopes = Envelopes(clock)
        self.clock = clock
        self.rows: list[dict[str, Any]] = []
        self.ids: dict[str, str] = {}
        self._messages: dict[str, bytes] = {}

    def add(self, name: str, state: str, **values: Any) -> None:
        envelope = self.envelopes.make(body="x" * 20_000)
        self.ids[name] = envelope.execution_id
        self._messages[envelope.execution_id] = pack(envelope)
        ended = state in ("succeeded", "failed", "cancelled", "purged")
        self.rows.append(
            {
                "id": envelope.execution_id,
                "flow_id": "orders",
                "flow_version": None if state == "queued" else "v1",
                "state": state,
                "outcome": {"succeeded": "completed", "failed": "failed", "cancelled": "cancelled"}.get(state),
                "created_at": micros(envelope.accepted_at),
                "finished_at": micros(envelope.accepted_at) if ended else None,
                "ready_at": micros(envelope.accepted_at) if state == "queued" else None,
                "attempt": 1,
                "error_code": "x" if state == "failed" else None,
                "error_message": "x" if state == "failed" else None,
                "error_cause": "x" if state == "failed" else None,
                "error_retryable": False if state == "failed" else None,
                "order_holds": False,
                "dedupe_key": None,
                "dedupe_hash": None,
                "dedupe_until": None,
                "discarded_at": None,
                "order_key": None,
                "order_seq": None,
                **values,
            }
        )

    def key(self, name: str) -> dict[str, Any]:
        until = micros(self.clock.now() + timedelta(days=7))
        return {"dedupe_key": name.encode(), "dedupe_hash": key_hash(name), "dedupe_until": until}

    def fill(self) -> None:
        now = micros(self.clock.now())
        self.add("queued", "queued", **self.key("queued"))
        self.add("running", "running")
        self.add("waiting", "waiting", reason="it waits")
        self.add("dead", "failed")
        self.add("discarded", "failed", discarded_at=now)
        held = {"order_key": b"k", "order_holds": True}
        self.add("held", "failed", discarded_at=now, order_seq=1, **held)
        self.add("behind", "queued", order_seq=2, ready_at=None, reason="order", **held)
        self.add("succeeded", "succeeded", **self.key("succeeded"))
        self.add("cancelled", "cancelled")
        self.add("purged", "purged", **self.key("purged"))
        self.clock.advance(timedelta(days=1000).total_seconds())
        self.add("future", "succeeded")
        self.clock.advance(-timedelta(days=1000).total_seconds())

    def insert(self, connection: Connection) -> None:
        with connection.begin():
            for row in self.rows:
                names = ", ".join(row)
                connection.execute(
                    text(f"INSERT INTO executions ({names}) VALUES ({', '.join(':' + n for n in row)})"), row
                )
                connection.execute(
                    text(
                        'INSERT INTO journal (execution_id, seq, step_id, path, "use", state, attempt, started_at,'
                        " finished_at) VALUES (:id, 1, 'a', 'a', 'x', 'succeeded', 1, 1, 1)"
                    ),
                    {"id": row["id"]},
                )
            for id_, message in self._messages.items():
                connection.execute(
                    text("INSERT INTO payloads (execution_id, payload) VALUES (:id, :message)"),
                    {"id": id_, "message": message},
                )
            connection.execute(
                text("INSERT INTO lines (flow_id, order_key, last) VALUES ('orders', :key, 2)"), {"key": b"k"}
            )


async def _check(backend: Backend, old: Old, clock: ManualClock) -> None:
    """Everything is there, and goes on as if it had always been so."""
    store, ids, now = backend.store, old.ids, clock.now()
    there = {name: id_ for name, id_ in ids.items() if name != "purged"}
    states = {
        name: execution.state.value
        for name, id_ in there.items()
        if (execution := await store.execution(id_)) is not None
    }
    assert states == {row: one["state"] for row, one in zip(ids, old.rows, strict=True) if row != "purged"}
    assert await store.execution(ids["purged"]) is None
    for id_ in there.values():
        assert len(await store.journal(id_)) == 1
        assert await store.envelope(id_) is not None
    listed = [one.execution.id for one in (await store.executions(ExecutionFilter(), limit=100)).items]
    assert listed == sorted(there.values(), reverse=True)
    assert await store.execution_count() == len(there)
    (dead,) = (await store.dead_letters()).items
    assert (dead.newest, dead.count) == (ids["dead"], 1)
    for key in ("queued", "succeeded", "purged"):
        assert await store.accepted_as("orders", key, now) == ids[key]
        assert await store.commit([Accept(old.envelopes.make(key=key))]) == [Duplicate(ids[key])]
    purgeable = await store.purgeable("orders", now + timedelta(days=2000), 100)
    assert list(purgeable) == [ids[name] for name in ("discarded", "succeeded", "cancelled", "future")]

    await store.commit([Start(ids["queued"], "v1", now), RecordSteps(ids["queued"], (old.envelopes.record(2),))])
    await store.commit([End(ids["queued"], State.SUCCEEDED, Outcome.COMPLETED, now)])
    await store.commit(
        [Cancel(ids["running"], now), Reopen(ids["discarded"], now), DismissDeadLetter(ids["dead"], now)]
    )
    await store.commit([ReleaseOrderKey(ids["held"], now)])
    assert [one.execution_id for one in await store.due(None, now, 10)] == [ids["discarded"]]
    freed = await store.execution(ids["behind"])
    assert freed is not None
    assert freed.ready_at is not None
    new = old.envelopes.make()
    assert await store.commit([Accept(new)]) == [Accepted(new.execution_id)]


@pytest.mark.cluster_rule("C17", "C18")
async def test_a_file_of_sqlite(tmp_path: Path, clock: ManualClock) -> None:
    old = Old(clock)
    old.fill()
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.connect() as connection:
        _upgrade_to(connection, f"{MIGRATION}-1")
        old.insert(connection)
    engine.dispose()
    backend = sqlite(f"sqlite:///{tmp_path}/x.db", clock=clock)
    await backend.open()
    # Opening lets what ran when the process died run again.
    running = await backend.store.execution(old.ids["running"])
    assert running is not None
    assert running.ready_at is not None
    await _check(backend, old, clock)
    await backend.close()
    connection = sqlite3.connect(tmp_path / "x.db")
    wrong = (
        "SELECT count(*) FROM executions WHERE history <> (finished_at IS NOT NULL AND order_seq IS NULL"
        " AND NOT (state = 'failed' AND discarded_at IS NULL))"
    )
    assert connection.execute(wrong).fetchone() == (0,)
    connection.close()


@pytest.mark.postgres
@pytest.mark.cluster_rule("C17", "C18")
async def test_a_schema_of_postgresql(schema: str, clock: ManualClock) -> None:
    old = Old(clock)
    old.fill()
    session = await connected(schema)
    url = make_url(schema)
    await session.execute(f"CREATE SCHEMA {url.query['schema']}")
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg", query={}),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": url.query["schema"]}},
    )
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade_to, f"{MIGRATION}-1")
        await connection.run_sync(old.insert)
    await engine.dispose()
    # A node that was killed ran it.
    await session.execute("UPDATE executions SET owner = 'gone' WHERE state = 'running'")
    backend = postgresql(schema, clock=clock)
    await backend.open()
    places = {
        row["id"]: row["place"]
        for row in await session.fetch("SELECT id, tableoid::regclass::text AS place FROM executions")
    }
    names = {name: places.get(id_) for name, id_ in old.ids.items()}
    live, first = "executions_live", "executions_history_first"
    assert names == {
        "queued": live,
        "running": live,
        "waiting": live,
        "dead": live,
        "discarded": first,
        "held": live,
        "behind": live,
        "succeeded": first,
        "cancelled": first,
        "purged": None,
        "future": "executions_history_default",
    }
    assert (
        await session.fetchval(
            "SELECT tableoid::regclass::text FROM journal WHERE execution_id = $1", old.ids["future"]
        )
        == "journal_default"
    )
    await _check(backend, old, clock)
    # The partitions that there are and those that are made later have the same indexes.
    clock.advance(timedelta(days=10).total_seconds())
    await backend.store.keep_partitions(timedelta(days=30), clock.now() - timedelta(days=30))
    shapes = await session.fetch(
        "SELECT indrelid::regclass::text AS place, array_agg(regexp_replace(pg_get_indexdef(indexrelid),"
        " '^CREATE (UNIQUE )?INDEX \\S+ ON \\S+', '\\1') ORDER BY 1) AS indexes FROM pg_index"
        " JOIN pg_inherits ON inhrelid = indrelid WHERE inhparent = 'executions_history'::regclass GROUP BY 1"
    )
    assert len(shapes) > 8
    assert len({tuple(sorted(row["indexes"])) for row in shapes}) == 1
    await backend.close()
    await session.close()
