"""The contract of connectors over `sql`, at a database that asks for a password."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from sqlalchemy.engine import make_url
from tests.integration.plugins.sql.sql_room import Room

from hookline.api import Connector
from hookline.testing.contracts.connector import ConnectorContract
from hookline_sql.connector import connector

SECRET = "hunter2-hunter2-hunter2"


class TestSql(ConnectorContract):
    connector: ClassVar[Connector] = connector
    level = "gold"
    credential: ClassVar[Mapping[str, Any] | None] = {"password": SECRET}
    calls: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "sql.insert": {"table": "t", "row": {"id": 1, "n": 1}},
        "sql.upsert": {"table": "t", "rows": [{"id": 1, "n": 2}, {"id": 2, "n": 2}]},
        "sql.update": {"table": "t", "values": {"n": 3}, "where": {"id": 1}},
        "sql.delete": {"table": "t", "where": {"id": 2}},
        "sql.execute": {"sql": "UPDATE t SET n = :n", "params": {"n": 4}},
        "sql.transaction": {"statements": ["UPDATE t SET n = :n", "DELETE FROM t"], "params": {"n": 5}},
        "sql.query": {"sql": "SELECT * FROM t"},
        "sql.rows": {"table": "t", "column": "id"},
    }

    @pytest.fixture(autouse=True)
    async def table(self, mariadb: Room) -> None:
        url = make_url(mariadb.url)
        await mariadb("execute", sql="CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
        admin = Room(url.set(username="root").render_as_string())
        for host in ("localhost", "%"):
            await admin("execute", sql=f"ALTER USER {url.username}@'{host}' IDENTIFIED BY '{SECRET}'", once=False)
        await admin.resources.close()
        place = url.render_as_string()
        # Each test has a database of its own.
        self.calls = {name: {**settings, "url": place} for name, settings in type(self).calls.items()}  # type: ignore[misc]
