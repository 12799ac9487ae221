"""Executions go that ended long ago, or of which there are too many, or for which there is no room."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from tests.integration.engine_harness import SLEEPERS, Harness, act, fails

from hookline.cli.main import main
from hookline.engine import Engine
from hookline.maintenance import retention
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter, State
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.storage.change_declarations import Duplicate

AUTH = {"Authorization": "Bearer a-token-of-the-tests"}
DAY = 86_400.0


async def ended(harness: Harness, engine: Engine, flow_id: str = "f", body: Any = None, key: str | None = None) -> str:
    id_ = await harness.send(engine, flow_id, body, key)
    await harness.until(engine, id_)
    harness.clock.advance(1)
    return id_


async def kept(engine: Engine, flow_id: str = "f") -> list[str]:
    return sorted(one.execution.id for one in (await engine.store.executions(ExecutionFilter(flow_id=flow_id))).items)


async def pass_by(harness: Harness, seconds: float) -> None:
    """Let time pass once the sweeper waits for it."""
    await harness.clock.until_sleeping(SLEEPERS)
    harness.clock.advance(seconds)


async def becomes(holds: Callable[[], Any], expected: Any) -> None:
    async with asyncio.timeout(30):
        while await holds() != expected:  # noqa: ASYNC110 - what is waited for is several tasks away
            await asyncio.sleep(0.005)


@pytest.mark.rule(36)
async def test_executions_go_by_themselves_once_they_ended_long_enough_ago(harness: Harness) -> None:
    harness.flow("f", [act("see")])
    async with harness.engine(retention=timedelta(days=2)) as engine:
        old = await ended(harness, engine)
        await pass_by(harness, DAY)
        young = await ended(harness, engine)
        assert await kept(engine) == sorted([old, young])
        await pass_by(harness, DAY)
        await becomes(lambda: kept(engine), [young])
        assert await engine.store.journal(old) == ()


async def test_a_flow_says_how_long_and_how_many_of_its_executions_are_kept(harness: Harness) -> None:
    harness.flow("short", [act("see")], retention={"age": "1h"})
    harness.flow("few", [act("look")], retention={"count": 2})
    harness.flow("f", [act("watch")])
    async with harness.engine() as engine:
        for flow_id in ("short", "f"):
            await ended(harness, engine, flow_id)
        few = [await ended(harness, engine, "few") for _ in range(4)]
        await pass_by(harness, 3600)
        await becomes(lambda: kept(engine, "short"), [])
        await becomes(lambda: kept(engine, "few"), sorted(few[2:]))
        assert len(await kept(engine)) == 1


@pytest.mark.promise(7)
@pytest.mark.rule(36)
async def test_what_waits_and_dead_letters_are_kept_however_old_they_are_until_somebody_decides(
    harness: Harness,
) -> None:
    harness.flow("f", [act("one", "$.body", retry={"attempts": 2, "wait": "60d"}), act("two")])
    harness.flow("dead", [act("bad", retry={"attempts": 1})], retention={"age": "1h", "count": 1})
    harness.flow("done", [act("good")])
    harness.probe.does |= {"one": fails(1), "bad": fails(3)}
    async with harness.engine(retention=timedelta(days=1)) as engine:
        waiting = await harness.send(engine, "f", None)
        await harness.until(engine, waiting, State.WAITING)
        dead = [await ended(harness, engine, "dead") for _ in range(3)]
        await ended(harness, engine, "done")
        await pass_by(harness, 2 * DAY)
        await becomes(lambda: kept(engine, "done"), [])
        assert await kept(engine, "dead") == sorted(dead)
        assert [one.count for one in (await engine.store.dead_letters()).items] == [3]
        assert await kept(engine) == [waiting]

        await engine.operations.discard(dead[0], by=SYSTEM)
        await engine.operations.retry(dead[1], by=SYSTEM)
        await harness.until(engine, dead[1])
        await pass_by(harness, 3600)
        await becomes(lambda: kept(engine, "dead"), [dead[1], dead[2]])
        await pass_by(harness, 3600)
        await becomes(lambda: kept(engine, "dead"), [dead[2]])


@pytest.mark.rule(9)
async def test_a_message_that_comes_again_starts_nothing_although_its_execution_is_gone(harness: Harness) -> None:
    harness.flow("f", [act("see")])
    async with harness.engine(retention=timedelta(days=1)) as engine:
        first = await ended(harness, engine, key="k")
        await pass_by(harness, 2 * DAY)
        await becomes(lambda: kept(engine), [])
        assert await harness.put(engine, "f", None, "k") == Duplicate(first)
        assert len(harness.probe.calls) == 1


@pytest.mark.parametrize(("deployments", "left"), [(10, 20), (22, 22)])
async def test_versions_go_that_nothing_refers_to_but_for_the_last_and_those_of_the_last_deployments(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, deployments: int, left: int
) -> None:
    monkeypatch.setattr(retention, "DEPLOYMENTS_KEPT", deployments)
    async with harness.engine(retention=timedelta(days=1)) as engine:
        for number in range(25):
            harness.flow("f", [act(f"step{number}")])
            await engine.version_switch.refresh()
            if number == 0:
                await ended(harness, engine)
            harness.clock.advance(1)
        assert len(await engine.store.flow_versions("f")) == 25
        await pass_by(harness, 2 * DAY)
        await becomes(lambda: kept(engine), [])
        await ended(harness, engine)
        await pass_by(harness, DAY / 24)

        async def versions() -> int:
            return len(await engine.store.flow_versions("f"))

        await becomes(versions, left)


async def test_storage_is_shown_with_what_goes_when(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.flow("f", [act("see")], retention={"age": "1d", "count": 7})
    async with harness.engine(disk_budget=10**9) as engine:
        await ended(harness, engine)
        client = create_pages(blueprints(engine, AUTH["Authorization"][7:])).test_client()
        shown = await (await client.get("/api/v1/storage", headers=AUTH)).get_json()
        (flow,) = shown["flows"]
        execution = await engine.store.execution((await kept(engine))[0])
        assert execution is not None
        assert execution.finished_at is not None
        goes = execution.finished_at + timedelta(days=1)
        assert (flow["flow_id"], flow["age"], flow["count"], flow["next_at"][:19]) == (
            "f",
            DAY,
            7,
            goes.isoformat()[:19],
        )
        assert (shown["budget"], shown["full"], shown["executions"]) == (10**9, None, 1)
        assert shown["database"] > 4096
        assert 500 < flow["used"] == flow["purgeable"] == shown["used"] < 5000
        assert (flow["dead_letters"], flow["full"]) == (0, None)
        totals = await (await client.get("/api/v1/storage?totals=true", headers=AUTH)).get_json()
        assert (totals["executions"], totals["budget"], totals["flows"]) == (1, 10**9, [])

    monkeypatch.chdir(harness.folder)
    monkeypatch.setenv("HOOKLINE_DB", f"sqlite:///{harness.folder}/hookline.db")
    run = CliRunner().invoke
    result = await asyncio.to_thread(run, main, ["storage", "--json"], catch_exceptions=False)
    assert json.loads(result.output)["executions"] == 1
    text = (await asyncio.to_thread(run, main, ["storage"], catch_exceptions=False)).output
    assert "budget 5.0 GB" in text
    assert "30d" in text, "there is no probe there: the flow is broken, and the default holds"


async def test_totals_of_the_storage_are_shown_without_measuring_it(harness: Harness) -> None:
    harness.flow("f", [act("see")])
    async with harness.engine() as engine:
        await ended(harness, engine)
        client = create_pages(blueprints(engine, AUTH["Authorization"][7:])).test_client()
        totals = await (await client.get("/api/v1/storage?totals=true", headers=AUTH)).get_json()
        assert (totals["executions"], totals["flows"], totals["used"]) == (1, [], None)
