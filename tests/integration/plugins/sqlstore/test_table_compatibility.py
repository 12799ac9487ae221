"""Tables name the oldest release that may use them: an older one doesn't start, and stops while it runs."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from tests.integration.migrated_schema import connected

from hookline.kernel.errors import StoreError
from hookline.storage.change_declarations import Accepted
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql
from hookline_sqlstore.databases import postgres_session_upkeep
from hookline_sqlstore.databases import table_versions as schema_versions

pytestmark = pytest.mark.postgres

MIGRATION = """
from alembic import op

revision = "9999"
down_revision = "{before}"
branch_labels = None
depends_on = None
oldest_release = "9.0.0"
indexes = [("ix_journal_new", "lines", "last", None)]


def upgrade() -> None:
    op.execute("ALTER TABLE lines RENAME COLUMN last TO newest")
    op.execute("ALTER TABLE lines ADD COLUMN last bigint")
"""


@pytest.fixture
async def session(schema: str) -> AsyncIterator[Any]:
    connection = await connected(schema)
    yield connection
    await connection.close()


def _newer_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is opened from now on be of a release with another migration."""
    migrations = tmp_path / "migrations"
    shutil.copytree(schema_versions._MIGRATIONS, migrations)
    (migrations / "versions" / "9999_new.py").write_text(MIGRATION.replace("{before}", schema_versions.latest()))
    monkeypatch.setattr(schema_versions, "_MIGRATIONS", migrations)


@pytest.mark.cluster_rule("C18")
async def test_an_older_node_stops_when_a_newer_one_migrates_and_does_not_start_again(
    schema: str, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    envelopes = Envelopes(clock)
    old = postgresql(schema, clock=clock)
    await old.open(NodeDescription("old", version="8.1.0"))
    asked = asyncio.Event()
    old.membership.on_drain = asked.set
    await old.queue.put(envelopes.make())
    _newer_release(tmp_path, monkeypatch)
    new = postgresql(schema, clock=clock)
    await new.open(NodeDescription("new", version="9.0.0"))
    assert await session.fetchval("SELECT gone_at IS NOT NULL FROM nodes WHERE name = 'old'")
    with pytest.raises(StoreError):
        await old.queue.put(envelopes.make())
    async with asyncio.timeout(10):
        await asked.wait()
        while True:
            with pytest.raises(StoreError) as failed:
                await old.queue.put(envelopes.make())
            if "need Hookline 9.0.0 or newer, and this is 8.1.0" in failed.value.message:
                break
            await asyncio.sleep(0.1)
    assert "this node stops: the database's tables need Hookline 9.0.0 or newer" in caplog.text
    await new.queue.put(envelopes.make())
    await old.close()
    again = postgresql(schema, clock=clock)
    with pytest.raises(StoreError, match=r"need Hookline 9\.0\.0 or newer, and this is 8\.1\.0: install the newer"):
        await again.open(NodeDescription("old", version="8.1.0"))
    await new.close()


@pytest.mark.cluster_rule("C18")
async def test_all_older_nodes_stop_even_if_the_node_that_migrated_has_gone(schema: str, session: Any) -> None:
    """Each of them sees that the others are gone, and can't take over from them any more."""
    clock = ManualClock()
    old = [postgresql(schema, clock=clock) for _ in range(2)]
    asked = [asyncio.Event() for _ in old]
    for number, (backend, event) in enumerate(zip(old, asked, strict=True)):
        await backend.open(NodeDescription(f"old-{number}", version="8.1.0"))
        backend.membership.on_drain = event.set
    await session.execute("UPDATE cluster SET oldest_release = '9.0.0'")
    await session.execute("UPDATE nodes SET gone_at = until")
    async with asyncio.timeout(10):
        for event in asked:
            await event.wait()
    for backend in old:
        await backend.close()


@pytest.mark.cluster_rule("C18")
async def test_a_node_that_the_tables_still_allow_goes_on(
    schema: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    envelopes = Envelopes(clock)
    old = postgresql(schema, clock=clock)
    await old.open(NodeDescription("old", version="9.0.0"))
    _newer_release(tmp_path, monkeypatch)
    new = postgresql(schema, clock=clock)
    await new.open(NodeDescription("new", version="9.1.0"))
    await old.queue.put(envelopes.make())
    assert old.membership.held
    monkeypatch.undo()
    restarted = postgresql(schema, clock=clock)
    await restarted.open(NodeDescription("restarted", version="9.0.0"))
    await restarted.queue.put(envelopes.make())
    for backend in (old, new, restarted):
        await backend.close()


@pytest.mark.cluster_rule("C18")
async def test_indexes_are_built_concurrently_and_again_after_a_build_that_failed(
    schema: str, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    first = postgresql(schema, clock=clock)
    await first.open()
    _newer_release(tmp_path, monkeypatch)
    await session.execute("CREATE INDEX ix_journal_new ON lines (last)")
    await session.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_journal_new'::regclass")
    second = postgresql(schema, clock=clock)
    await second.open(NodeDescription("new", version="9.0.0"))
    definition = (
        "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indisvalid AND indexrelid = 'ix_journal_new'::regclass"
    )
    assert "(last)" in await session.fetchval(definition)
    await first.close()
    await second.close()


@pytest.mark.cluster_rule("C18")
async def test_a_migration_that_has_to_wait_for_a_table_lets_the_nodes_that_run_go_on(
    schema: str, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_versions, "_PAUSE", 0.2)
    clock = ManualClock()
    envelopes = Envelopes(clock)
    first = postgresql(schema, clock=clock)
    await first.open(NodeDescription("first", version="9.0.0"))
    _newer_release(tmp_path, monkeypatch)
    second = postgresql(schema, clock=clock)
    backup = session.transaction()
    await backup.start()
    await session.execute("SELECT FROM lines")
    opening = asyncio.create_task(second.open(NodeDescription("second", version="9.1.0")))
    watching = await connected(schema)
    for _ in range(2):
        await _waits_for_a_lock(watching, "ALTER TABLE lines%")
        # A message with an order key needs the same table, and waits behind the migration.
        message = envelopes.make(order_key="k")
        assert await first.queue.put(message) == Accepted(message.execution_id)
    assert not opening.done()
    await backup.rollback()
    async with asyncio.timeout(20):
        await opening
    message = envelopes.make()
    assert await second.queue.put(message) == Accepted(message.execution_id)
    assert "newest" in [row["column_name"] for row in await session.fetch(_COLUMNS)]
    await watching.close()
    await first.close()
    await second.close()


@pytest.mark.cluster_rule("C18")
async def test_an_index_that_takes_longer_than_a_session_may_be_idle_is_built(
    schema: str, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    first = postgresql(schema, clock=clock)
    await first.open()
    monkeypatch.setitem(postgres_session_upkeep._SETTINGS, "idle_in_transaction_session_timeout", "1s")
    _newer_release(tmp_path, monkeypatch)
    # The build waits for each transaction that has begun to read before.
    reading = session.transaction(isolation="repeatable_read")
    await reading.start()
    await session.execute("SELECT FROM cluster")
    second = postgresql(schema, clock=clock)
    opening = asyncio.create_task(second.open(NodeDescription("new", version="9.0.0")))
    watching = await connected(schema)
    await _waits_for_a_lock(watching, "CREATE INDEX CONCURRENTLY%")
    await session.execute("SELECT pg_sleep(2)")
    assert await watching.fetchval(_BUILDERS) == 1, "no other node builds it, too"
    await reading.rollback()
    async with asyncio.timeout(20):
        await opening
    assert await watching.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_journal_new'::regclass")
    await watching.close()
    await first.close()
    await second.close()


@pytest.mark.cluster_rule("C18")
async def test_an_index_that_another_node_has_just_built_is_not_built_again(
    schema: str, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    first = postgresql(schema, clock=clock)
    await first.open()
    _newer_release(tmp_path, monkeypatch)
    missing, built = schema_versions._missing, list[int]()

    def built_afterwards(
        connection: Connection, wanted: Sequence[schema_versions.Index]
    ) -> list[schema_versions.Index]:
        found = missing(connection, wanted)
        if not built:
            with connection.begin():
                connection.exec_driver_sql("CREATE INDEX ix_journal_new ON lines (last)")
                built.append(connection.exec_driver_sql(_INDEX).scalar_one())
        return found

    monkeypatch.setattr(schema_versions, "_missing", built_afterwards)
    second = postgresql(schema, clock=clock)
    await second.open(NodeDescription("new", version="9.0.0"))
    assert [await session.fetchval(_INDEX)] == built
    await first.close()
    await second.close()


_INDEX = "SELECT 'ix_journal_new'::regclass::oid"
_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema()"
_WAITS = (
    "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)"
    " WHERE wait_event_type = 'Lock' AND relation = 'lines'::regclass AND query LIKE $1"
)
#: The sessions that hold the lock of those who build indexes here.
_BUILDERS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND classid = hashtext('hookline indexes')::bigint & 4294967295"
    " AND objid = hashtext(current_schema())::bigint & 4294967295"
)


async def _waits_for_a_lock(session: Any, statement: str) -> None:
    """Return when another session waits for a lock with a statement like this one, which concerns the table `lines`."""
    async with asyncio.timeout(20):
        while not await session.fetchval(_WAITS, statement):  # noqa: ASYNC110 - another session does it
            await asyncio.sleep(0.02)
