"""Tables name the oldest release that may use them: an older one doesn't start, and stops while it runs."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.migrated_schema import connected

from hookline.kernel.errors import StoreError
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql
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
