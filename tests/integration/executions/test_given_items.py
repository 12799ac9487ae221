"""A stream that is given to an action which takes its items one by one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import Field
from tests.integration.engine_harness import Harness, act, fails

from hookline.api import Context
from hookline.engine import Engine
from hookline.model.access import SYSTEM
from hookline.model.execution import Outcome

N = 1500


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)

    @harness.probe.connector.action
    async def rows(ctx: Context[Any], count: int) -> AsyncIterator[dict[str, Any]]:
        """Numbered rows, one by one."""
        for number in range(count):
            yield {"n": number, "secret": f"s3cret-{number}"}

    @harness.probe.connector.action
    async def total(
        ctx: Context[Any], rows: Annotated[AsyncIterator[dict[str, int | str]], Field(description="The rows.")]
    ) -> dict[str, Any]:
        """What the rows come to."""
        seen = [row async for row in rows]
        return {"count": len(seen), "sum": sum(int(row["n"]) for row in seen)}

    return harness


def rows(count: int = N) -> dict[str, Any]:
    return {"id": "rows", "use": "probe.rows", "with": {"count": count}}


def total(**settings: Any) -> dict[str, Any]:
    return {"id": "total", "use": "probe.total", "with": {"rows": "$.steps.rows.body", **settings}}


async def ran(harness: Harness, engine: Engine) -> tuple[Any, Any]:
    execution_id = await harness.send(engine, "f", {})
    execution = await harness.until(engine, execution_id)
    records = await harness.journal(engine, execution_id)
    return execution, records


async def test_what_is_redacted_of_a_stream_is_opened_for_the_action_alone(harness: Harness) -> None:
    harness.flow("f", [rows(20), total()], redact=["$.steps.rows.body[*].secret"])
    async with harness.engine() as engine:
        execution, records = await ran(harness, engine)
        assert execution.outcome is Outcome.COMPLETED, execution.error
        assert b"s3cret" not in b"".join((record.input or b"") + (record.output or b"") for record in records.values())


async def test_a_replay_reads_the_redacted_items_of_a_stream_that_is_taken_from_the_first_execution(
    harness: Harness,
) -> None:
    harness.probe.does.update(bad=fails(1, retryable=False))
    items = {"id": "each", "foreach": "$.steps.rows.body", "collect": "count", "steps": [act("bad", "$.body.secret")]}
    harness.flow("f", [rows(3), items], redact=["$.steps.rows.body[*].secret"])
    async with harness.engine() as engine:
        execution, _ = await ran(harness, engine)
        assert execution.outcome is Outcome.FAILED
        again = await engine.operations.replay(execution.id, step="each", by=SYSTEM)
        done = await harness.until(engine, again)
        assert done.outcome is Outcome.COMPLETED, done.error
    assert {value for _, _, _, value in harness.probe.calls} == {"s3cret-0", "s3cret-1", "s3cret-2"}


async def test_rows_of_a_file_go_into_a_database_in_one_step(harness: Harness) -> None:
    url = "sqlite:///shop.db"
    steps: list[dict[str, Any]] = [
        {"id": "table", "use": "sql.execute", "with": {"url": url, "sql": "CREATE TABLE t (n INTEGER, secret TEXT)"}},
        rows(),
        {"id": "write", "use": "sql.insert", "with": {"url": url, "table": "t", "rows": "$.body"}},
        {"id": "count", "use": "sql.query", "with": {"url": url, "sql": "SELECT count(*) AS n, max(n) AS m FROM t"}},
    ]
    harness.flow("f", steps)
    async with harness.engine() as engine:
        execution, records = await ran(harness, engine)
        assert execution.outcome is Outcome.COMPLETED, execution.error
        written, counted = (msgspec.json.decode(records[name].output or b"null") for name in ("write", "count"))
        assert written["body"] == {"rowcount": N}
        assert counted["body"] == [{"n": N, "m": N - 1}]
