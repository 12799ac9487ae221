"""`hookline db status`, `upgrade` and `copy` over SQLite, and what they reject."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hookline.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    hookline("credentials", "set", "gh", "--type", "github", "secret=0123456789abcdef")
    return tmp_path


def hookline(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def set_version(version: str) -> None:
    with sqlite3.connect(".hookline/hookline.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()


def test_the_status_tells_the_place_the_version_and_the_size(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    shown = hookline("db", "status")
    assert shown.exit_code == 0
    assert f"database {folder}/.hookline/hookline.db\ntables of version " in shown.output
    found = json.loads(hookline("db", "status", "--json").output)
    assert (found["reachable"], found["version"], found["problem"]) == (True, found["latest"], None)
    assert found["size"] > 0
    assert sorted(folder.rglob("*")) == before


def test_tables_of_a_newer_hookline_are_a_problem() -> None:
    set_version("9999")
    with closing(sqlite3.connect(".hookline/hookline.db")) as connection, connection:
        connection.execute("UPDATE cluster SET oldest_release = '99.0'")
    shown = hookline("db", "status")
    assert shown.exit_code == 1
    assert "tables of version '9999'; the latest is " in shown.output
    assert "need Hookline 99.0 or newer" in shown.output
    upgraded = hookline("db", "upgrade")
    assert upgraded.exit_code == 1
    assert "need Hookline 99.0 or newer" in upgraded.output


def test_older_tables_are_upgraded_and_the_status_says_so() -> None:
    with sqlite3.connect(".hookline/hookline.db") as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{table}"')
    connection.close()
    shown = hookline("db", "status")
    assert (shown.exit_code, "tables none yet" in shown.output) == (0, True)
    Path(".hookline/hookline.db.created").unlink()
    upgraded = json.loads(hookline("db", "upgrade", "--json").output)
    assert (upgraded["before"], upgraded["version"]) == (
        None,
        json.loads(hookline("db", "status", "--json").output)["latest"],
    )
    assert "the latest, already" in hookline("db", "upgrade").output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--to", "sqlite:///other.db"), "a sqlite: database can't be copied into; name a postgresql:// URL with --to"),
        (("--to", "hookline"), "no plugin gives a database for 'hookline': URLs; installed are postgresql, sqlite"),
        (("--to", "postgresql://x/y?shema=z"), "there is no shema"),
        (("--db", "postgresql://x/y", "--to", "postgresql://x/z"), "a postgresql: database can't be copied"),
    ],
)
def test_a_copy_between_other_databases_is_rejected(folder: Path, arguments: tuple[str, ...], problem: str) -> None:
    done = hookline("db", "copy", *arguments)
    assert done.exit_code in (1, 2)
    assert problem in done.output
    assert not (folder / "other.db").exists()


def test_a_copy_to_a_server_that_isnt_there_fails_with_its_address() -> None:
    done = hookline("db", "copy", "--to", "postgresql://me:hunter2@127.0.0.1:1/x")
    assert done.exit_code == 1
    assert "the database postgresql://me:***@127.0.0.1:1/x can't be opened" in done.output


def test_no_remote_server_can_be_meant() -> None:
    done = hookline("--remote", "http://127.0.0.1:1", "db", "status")
    assert done.exit_code == 2
    assert "works only on this machine" in done.output
