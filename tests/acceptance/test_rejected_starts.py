"""A server doesn't start over a database that another one uses, nor instead of one that was lost."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.server_process import ServerProcess

pytestmark = [pytest.mark.promise(1), pytest.mark.rule(2)]

FLOW = {"id": "f", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": []}


def rejection(server: ServerProcess) -> str:
    """Start a server that must end by itself; return what it printed."""
    before = len(server.log())
    server.launch()
    assert server.died() == 1
    return server.log()[before:]


def test_a_second_server_is_rejected_by_each_name_of_the_file_whatever_was_deleted(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    first = make_server()
    first.flow(FLOW)
    first.start()
    folder = tmp_path / ".hookline"
    database = folder / "hookline.db"
    used = {database, folder / "hookline.db-wal", folder / "hookline.db-shm", folder / "secret.key"}
    for file in set(folder.iterdir()) - used:
        if file.is_file():
            file.unlink()
    (tmp_path / "symlink.db").symlink_to(database)
    (tmp_path / "hardlink.db").hardlink_to(database)
    (tmp_path / "linked").symlink_to(folder)
    for name in (".hookline/hookline.db", "symlink.db", "hardlink.db", "linked/hookline.db"):
        second = make_server(environment={"HOOKLINE_DB": f"sqlite:///{tmp_path}/{name}"})
        assert f"process {first.pid} " in rejection(second), name
    assert first.post("f", 1)[0] == 202


def truncate(database: Path) -> None:
    database.write_bytes(b"")


def drop_tables(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            connection.execute(f'DROP TABLE "{name}"')


@pytest.mark.parametrize("lose", [truncate, Path.unlink, drop_tables])
def test_a_database_that_was_lost_isnt_begun_anew_without_being_told(
    make_server: Callable[..., ServerProcess], lose: Callable[[Path], None]
) -> None:
    server = make_server()
    server.flow(FLOW)
    server.start()
    assert server.post("f", 1)[0] == 202
    server.stop()
    folder = server.folder / ".hookline"
    lose(folder / "hookline.db")
    said = rejection(server)
    assert "created before" in said
    assert str(folder / "hookline.db.created") in said, "what to delete"
    (folder / "hookline.db.created").unlink()
    server.start()
    assert server.executions() == []
