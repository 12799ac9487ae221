"""Migrations only add: what they replace is removed one release later, and the tables name the oldest release."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

import hookline_sqlstore
from hookline import __version__
from hookline.kernel.errors import StoreError
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.table_compatibility import release, release_problem

MIGRATIONS = Path(hookline_sqlstore.__file__).parent / "migrations"
#: The migrations from before the first release; nodes never used their tables.
BEFORE_RELEASES = {"0001", "0002", "0003", "0004", "0005"}
REMOVING = {"drop_table", "drop_column", "drop_index", "drop_constraint", "rename_table", "alter_column"}
REMOVING_SQL = re.compile(r"\b(DROP\s+(TABLE|COLUMN|INDEX|CONSTRAINT)|RENAME|ALTER\s+COLUMN)\b", re.IGNORECASE)


def _scripts() -> dict[str, ModuleType]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return {script.revision: script.module for script in ScriptDirectory.from_config(config).walk_revisions()}


LATER = sorted(set(_scripts()) - BEFORE_RELEASES)


def problems(source: str) -> list[str]:
    """The places at which a migration may break a node of the release before, unless it names the oldest release."""
    found, made = [], set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            first = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
            if node.func.attr == "create_table":
                made.add(first)
            if node.func.attr in REMOVING:
                found.append(f"line {node.lineno}: {node.func.attr}")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and REMOVING_SQL.search(node.value):
            found.append(f"line {node.lineno}: {node.value}")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create_index":
            table = node.args[1].value if isinstance(node.args[1], ast.Constant) else None
            if table not in made:
                found.append(f"line {node.lineno}: an index of {table} locks it; name it in `indexes`")
    return found


@pytest.mark.parametrize("version", LATER)
@pytest.mark.cluster_rule("C18")
def test_a_migration_that_removes_something_names_the_release_that_needs_it_no_more(version: str) -> None:
    module = _scripts()[version]
    assert module.__file__ is not None
    oldest = getattr(module, "oldest_release", None)
    if oldest is None:
        assert problems(Path(module.__file__).read_text()) == []
    else:
        assert release(oldest) <= release(__version__), "a release that exists, or is about to"


@pytest.mark.parametrize(
    "body",
    [
        'op.drop_column("executions", "vars")',
        'op.execute("ALTER TABLE executions RENAME COLUMN vars TO variables")',
        'op.execute("drop table lines")',
        'op.create_index("ix", "executions", ["vars"])',
    ],
)
@pytest.mark.cluster_rule("C18")
def test_a_removal_and_a_lock_are_noticed(body: str) -> None:
    assert len(problems(f"def upgrade():\n    {body}\n")) == 1


@pytest.mark.cluster_rule("C18")
def test_an_addition_is_no_removal() -> None:
    added = 'op.create_table("new", ...)\nop.create_index("ix", "new", ["id"])\nop.add_column("executions", ...)'
    assert problems(added) == []


@pytest.mark.cluster_rule("C18")
def test_releases_are_compared_by_their_numbers() -> None:
    assert release_problem(None, "0.1.0") is None
    assert release_problem("0.9.0", "0.10.0") is None
    assert release_problem("1.0.0", "1.0.0rc1") is None
    reason = release_problem("0.10.0", "0.9.1")
    assert reason is not None
    assert "need Hookline 0.10.0 or newer, and this is 0.9.1: install the newer release" in reason


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.mark.cluster_rule("C18")
def test_tables_name_the_oldest_release_that_may_use_them(connection: Connection) -> None:
    table_versions.upgrade(connection)
    named = [module.oldest_release for module in _scripts().values() if hasattr(module, "oldest_release")]
    assert table_versions.oldest_release(connection) == max(named, key=release)
    connection.close()


@pytest.mark.parametrize(("oldest", "rejected"), [("0.0.1", False), (__version__, False), ("99.0", True)])
@pytest.mark.cluster_rule("C18")
def test_tables_of_a_newer_release_are_used_if_they_allow_it(
    connection: Connection, oldest: str, rejected: bool
) -> None:
    table_versions.upgrade(connection)
    with connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE cluster SET oldest_release = :oldest"), {"oldest": oldest})
    if rejected:
        with pytest.raises(StoreError, match=rf"need Hookline 99\.0 or newer, and this is {re.escape(__version__)}"):
            table_versions.upgrade(connection)
    else:
        table_versions.upgrade(connection)
    assert table_versions.version(connection) == "9999", "they stay as they are"
    connection.close()


@pytest.mark.cluster_rule("C18")
def test_an_index_that_a_migration_names_is_built_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    table_versions.upgrade(connection)
    monkeypatch.setattr(
        table_versions, "_indexes", lambda _scripts: [table_versions.Index("ix_new", "lines", "last", "last > 1")]
    )
    for _ in range(2):
        table_versions.upgrade(connection)
    assert "ix_new" in {index["name"] for index in inspect(connection).get_indexes("lines")}
    connection.close()
