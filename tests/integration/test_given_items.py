"""A stream that is given to an action which takes its items one by one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import Field

from hookline.api import Context, Items, StepError
from hookline.model.execution import Outcome
from hookline.runtime.engine import Engine
from tests.integration.engine_harness import Harness, act

N = 1500


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)
    times = 0

    @harness.probe.connector.action
    async def rows(ctx: Context[Any], count: int) -> AsyncIterator[dict[str, Any]]:
        """Numbered rows, one by one."""
        for number in range(count):
            yield {"n": number, "secret": f"s3cret-{number}"}

    @harness.probe.connector.action
    async def total(
        ctx: Context[Any],
        rows: Annotated[Items[dict[str, int | str]], Field(description="The rows.")],
        fail: bool = False,
        more: Any = None,
    ) -> dict[str, Any]:
        """What the rows come to; it goes through them twice."""
        nonlocal times
        times += 1
        seen = [row["n"] async for row in rows]
        if fail and times == 1:
            raise StepError("away", code="probe.away", retryable=True)
        again = 0
        async for row in rows:
            again += int(row["n"])
            if row["n"] == 10:
                break
        return {"count": rows.count, "seen": len(seen), "sum": sum(map(int, seen)), "first": again}

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


async def test_an_action_takes_a_stream_item_by_item_as_often_as_it_likes(harness: Harness) -> None:
    harness.flow("f", [rows(), total()])
    async with harness.engine() as engine:
        execution, records = await ran(harness, engine)
        assert execution.outcome is Outcome.COMPLETED
        output = msgspec.json.decode(records["total"].output or b"null")
        assert output["body"] == {"count": N, "seen": N, "sum": sum(range(N)), "first": 55}
        given = msgspec.json.decode(records["total"].input or b"null")
        assert given["rows"]["count"] == N, "what is recorded is which stream it was"


async def test_a_list_is_taken_alike_and_checked_before(harness: Harness) -> None:
    harness.flow("f", [act("a"), {**total(rows=[{"n": 1}, {"n": 10}])}])
    harness.flow("g", [act("a", [{"n": 1}, "x"]), total(rows="$.body")])
    async with harness.engine() as engine:
        execution, records = await ran(harness, engine)
        assert execution.outcome is Outcome.COMPLETED
        output = msgspec.json.decode(records["total"].output or b"null")
        assert output["body"] == {"count": 2, "seen": 2, "sum": 11, "first": 11}
        execution = await harness.until(engine, await harness.send(engine, "g", {}))
        assert execution.error is not None
        assert (execution.error.code, "rows.1" in execution.error.message) == ("step.settings", True)


async def test_a_stream_is_read_anew_where_the_step_is_tried_again(harness: Harness) -> None:
    harness.flow("f", [rows(), {**total(fail=True), "retry": {"attempts": 2, "wait": "1s"}}])
    async with harness.engine() as engine:
        execution = await harness.advance_until(engine, await harness.send(engine, "f", {}))
        assert execution.outcome is Outcome.COMPLETED


async def test_a_stream_in_a_setting_that_takes_none_is_still_an_error(harness: Harness) -> None:
    harness.flow("f", [rows(), total(rows=[], more="$.steps.rows.body")])
    async with harness.engine() as engine:
        execution, _ = await ran(harness, engine)
        assert execution.error is not None
        assert execution.error.code == "step.stream"


async def test_what_is_redacted_of_a_stream_is_opened_for_the_action_alone(harness: Harness) -> None:
    harness.flow("f", [rows(20), total()], redact=["$.steps.rows.body[*].secret"])
    async with harness.engine() as engine:
        execution, records = await ran(harness, engine)
        assert execution.outcome is Outcome.COMPLETED, execution.error
        assert b"s3cret" not in b"".join((record.input or b"") + (record.output or b"") for record in records.values())


async def test_rows_of_a_file_go_into_a_database_in_one_step(harness: Harness, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
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
