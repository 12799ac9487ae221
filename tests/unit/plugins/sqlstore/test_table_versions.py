"""The migrations make the tables that the code says there are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from hookline.kernel.errors import StoreError
from hookline_sqlstore.databases.table_versions import upgrade
from hookline_sqlstore.tables import metadata


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    yield engine
    engine.dispose()


def _partial(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"))
        return {row.name: " ".join(row.sql.split()) for row in rows}


def test_migrations_and_tables_say_the_same(engine: Engine, tmp_path: Path) -> None:
    with engine.connect() as connection:
        upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    # Alembic doesn't compare the conditions of partial indexes, nor how a table is kept.
    direct = create_engine(f"sqlite:///{tmp_path}/direct.db")
    metadata.create_all(direct)
    assert _partial(engine) == _partial(direct)
    kept = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql LIKE '%WITHOUT ROWID%'"
    for made in (engine, direct):
        with made.connect() as connection:
            assert {row.name for row in connection.execute(text(kept))} == {
                "journal",
                "progress",
                "item_results",
                "blob_refs",
                "waits",
                "tags",
                "batches",
                "dedupe_keys",
                "statistics_minutes",
                "statistics_hours",
            }
    direct.dispose()


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        upgrade(connection)
        upgrade(connection)
        assert "executions" in inspect(connection).get_table_names()


def test_tables_of_a_version_that_is_not_known_and_that_name_no_release_are_rejected(engine: Engine) -> None:
    with engine.connect() as connection:
        upgrade(connection)
        with connection.begin():
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            connection.execute(text("UPDATE cluster SET oldest_release = NULL"))
        with pytest.raises(StoreError, match="version 9999"):
            upgrade(connection)
