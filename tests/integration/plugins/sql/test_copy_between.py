"""The flow that ships for copying rows from one database into another, over real ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness
from tests.integration.plugins.sql.sql_room import Room

from hookline.model.execution import Outcome

FLOW = json.loads((Path(__file__).parents[4] / "flows" / "orders-to-mariadb.json").read_text(encoding="utf-8"))


@pytest.mark.postgres
async def test_orders_are_copied_from_postgresql_into_mariadb_and_updated_there(
    harness: Harness, postgres: Room, mariadb: Room
) -> None:
    columns = "(number INTEGER PRIMARY KEY, customer VARCHAR(40), total NUMERIC(10, 2), changed_at {})"
    await postgres("execute", sql=f"CREATE TABLE orders {columns.format('TIMESTAMPTZ')}")
    await mariadb("execute", sql=f"CREATE TABLE shop_orders {columns.format('DATETIME')}")
    await mariadb("execute", sql="CREATE TABLE imports (source VARCHAR(9), until DATETIME, orders INTEGER)")
    orders = [
        {"number": number, "customer": f"c{number}", "total": "19.50", "changed_at": "2026-11-23T10:00:00+01:00"}
        for number in range(1200)
    ]
    await postgres("insert", table="orders", rows=orders)
    await mariadb("insert", table="shop_orders", rows=[{"number": 7, "customer": "old", "total": 1}])
    steps: list[dict[str, Any]] = [
        {name: value for name, value in step.items() if name != "credential"} for step in FLOW["steps"]
    ]
    harness.flow("f", steps, vars={"shop": postgres.url, "accounting": mariadb.url})
    body = {"scheduled_at": "2026-11-24T01:30:00Z", "previous_at": "2026-11-23T01:30:00Z"}
    async with harness.engine(egress_allow=("127.0.0.0/8",)) as engine:
        execution = await harness.until(engine, await harness.send(engine, "f", body))
        assert execution.outcome is Outcome.COMPLETED, execution.error
    (row,) = await mariadb("query", sql="SELECT count(*) AS n, sum(total) AS total FROM shop_orders")
    assert row == {"n": 1200, "total": 23_400}
    found = await mariadb("query", sql="SELECT customer, changed_at FROM shop_orders WHERE number = 7")
    assert found == [{"customer": "c7", "changed_at": "2026-11-23T09:00:00"}]
    assert await mariadb("query", sql="SELECT until, orders FROM imports") == [
        {"until": "2026-11-24T01:30:00", "orders": 1200}
    ]
