"""The disk budget purges where that makes room, never what nobody has decided on, and stops only who is to blame."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.integration.engine_harness import Harness, act, fails

from hookline.engine import Engine
from hookline.kernel.errors import ServiceUnavailable
from hookline.maintenance import disk_budget
from hookline.maintenance.disk_budget import DiskBudget
from hookline.maintenance.retention import Freed, Purger
from hookline.maintenance.usage import measure_usage
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter, State
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.testing.contracts.blobs import put
from hookline.testing.eventually import assert_eventually

AUTH = {"Authorization": "Bearer a-token-of-the-tests"}
MB = 1_000_000


@pytest.fixture(autouse=True)
def checked_by_the_tests_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checks at once would each purge enough."""
    monkeypatch.setattr(disk_budget, "_EVERY", 1e9)


async def ended(harness: Harness, engine: Engine, flow_id: str, body: Any = None, key: str | None = None) -> str:
    id_ = await harness.send(engine, flow_id, body, key)
    await harness.until(engine, id_)
    harness.clock.advance(1)
    return id_


async def waiting(harness: Harness, engine: Engine, flow_id: str, body: Any = None) -> str:
    id_ = await harness.send(engine, flow_id, body)
    await harness.until(engine, id_, State.WAITING)
    return id_


async def upload(harness: Harness, engine: Engine, flow_id: str, size: int) -> str:
    """Accept a message with a file of random bytes, which is younger than an hour."""
    blob = await put(engine.blobs, bytes(size))
    now = harness.clock.now()
    file = Attachment(blob.id, "file", "a.bin", "application/octet-stream", blob.size, blob.sha256)
    envelope = Envelope(
        execution_id=engine.ids.new(),
        flow_id=flow_id,
        message=Message(None, {}, (file,)),
        arrival=Arrival("webhook", method="POST", received_at=now),
        accepted_at=now,
    )
    await engine.intake.accept(engine.intake.flow(flow_id), envelope)
    return envelope.execution_id


async def kept(engine: Engine, flow_id: str) -> list[str]:
    return sorted(one.execution.id for one in (await engine.store.executions(ExecutionFilter(flow_id=flow_id))).items)


async def check(engine: Engine) -> None:
    assert engine.disk_budget is not None
    await engine.disk_budget.check()


@pytest.mark.promise(9)
@pytest.mark.rule(39)
async def test_the_oldest_of_the_flow_with_most_purgeable_data_go_until_the_rest_fits(harness: Harness) -> None:
    harness.flow("large", [act("see", None)])
    harness.flow("small", [act("look", None)])
    async with harness.engine(disk_budget=2 * MB) as engine:
        small = [await ended(harness, engine, "small", "x" * 30_000) for _ in range(10)]
        large = [await ended(harness, engine, "large", "x" * 100_000) for _ in range(20)]
        await check(engine)
        left = await kept(engine, "large")
        assert 10 < len(left) < 20
        assert left == large[-len(left) :]
        assert await kept(engine, "small") == small
        usage = await measure_usage(engine.store, engine.blobs)
        assert 1.8 * MB < usage.total <= 2 * MB
        assert (engine.intake.full, engine.intake.full_flows) == (None, {})
        assert await ended(harness, engine, "large")


@pytest.mark.rule(39)
async def test_files_that_are_younger_than_an_hour_go_with_their_executions_and_spare_other_flows(
    harness: Harness,
) -> None:
    harness.flow("files", [act("see", None)])
    harness.flow("others", [act("bad", retry={"attempts": 1}, when="{{ body }}")])
    harness.probe.does["bad"] = fails(5)
    async with harness.engine(disk_budget=10 * MB) as engine:
        others = [await ended(harness, engine, "others", number < 5) for number in range(10)]
        files = [await upload(harness, engine, "files", 2 * MB) for _ in range(8)]
        for id_ in files:
            await harness.until(engine, id_)
        harness.clock.advance(1)
        await check(engine)
        assert await kept(engine, "others") == others
        assert await kept(engine, "files") == files[-4:]
        assert await engine.blobs.disk_usage() < 10 * MB
        assert engine.intake.full is None
        assert await harness.send(engine, "others", False)


@pytest.mark.promise(7)
@pytest.mark.rule(39)
async def test_nothing_is_purged_that_frees_too_little_and_no_dead_letter_at_all(harness: Harness) -> None:
    harness.flow("others", [act("see", None)])
    harness.flow("dead", [act("bad", retry={"attempts": 1})])
    harness.probe.does["bad"] = fails(100)
    async with harness.engine(disk_budget=10 * MB) as engine:
        others = [await ended(harness, engine, "others") for _ in range(5)]
        dead = [await upload(harness, engine, "dead", 3 * MB) for _ in range(4)]
        for id_ in dead:
            await harness.until(engine, id_)
        harness.clock.advance(1)
        with structlog.testing.capture_logs() as logs:
            await check(engine)
            await check(engine)
        assert await kept(engine, "others") == others, "purging them would not make enough room"
        assert await kept(engine, "dead") == dead
        warned = [one for one in logs if "quarter" in one["event"]]
        assert [(one["log_level"], one["most_of"]) for one in warned] == [("warning", "dead")], "once"
        with pytest.raises(ServiceUnavailable, match="no space"):
            await harness.send(engine, "others", None)

        await engine.operations.discard(dead[0], by=SYSTEM)
        harness.clock.advance(1)
        await check(engine)
        assert await kept(engine, "dead") == dead[1:]
        assert await kept(engine, "others") == others
        assert await harness.send(engine, "others", None)


@pytest.mark.promise(9)
@pytest.mark.rule(39)
async def test_a_flow_that_uses_more_than_half_and_has_nothing_to_purge_gets_503_alone(harness: Harness) -> None:
    harness.flow("stuck", [act("one", None, retry={"attempts": 2, "wait": "1h"})])
    harness.flow("others", [act("see", None)])
    harness.probe.does["one"] = fails(100)
    async with harness.engine(disk_budget=10 * MB) as engine:
        client = create_pages(blueprints(engine, AUTH["Authorization"][7:])).test_client()
        ids = [await upload(harness, engine, "stuck", 3 * MB) for _ in range(2)]
        for id_ in ids:
            await harness.until(engine, id_, State.WAITING)
        await check(engine)
        with pytest.raises(ServiceUnavailable, match="no space") as rejection:
            await harness.send(engine, "stuck", None)
        assert rejection.value.retry_after == 60
        assert engine.intake.room(engine.intake.called_flow("stuck"), 5) == 0
        assert engine.intake.seconds_until_room(engine.intake.called_flow("stuck"), 5) > 0
        assert await ended(harness, engine, "others")
        assert (await client.get("/readyz")).status_code == 200
        shown = await (await client.get("/api/v1/storage", headers=AUTH)).get_json()
        assert {flow["flow_id"]: bool(flow["full"]) for flow in shown["flows"]} == {"stuck": True, "others": False}

        await engine.operations.cancel(ids[0], by=SYSTEM)
        await harness.until(engine, ids[0])
        harness.clock.advance(1)
        await check(engine)
        assert await harness.send(engine, "stuck", None), "there is something to purge, once that is needed"


@pytest.mark.promise(9)
@pytest.mark.rule(39)
async def test_every_flow_gets_503_while_the_whole_budget_is_used_up_and_nothing_can_go(harness: Harness) -> None:
    for flow_id in ("a", "b", "c"):
        harness.flow(flow_id, [act("one", None, retry={"attempts": 2, "wait": "1h"})])
    harness.probe.does["one"] = fails(100)
    async with harness.engine(disk_budget=10 * MB) as engine:
        ids = [await upload(harness, engine, flow_id, 4 * MB) for flow_id in ("a", "b", "c")]
        for id_ in ids:
            await harness.until(engine, id_, State.WAITING)
        client = create_pages(blueprints(engine, AUTH["Authorization"][7:])).test_client()
        assert (await client.get("/readyz")).status_code == 200
        await check(engine)
        for flow_id in ("a", "b", "c"):
            with pytest.raises(ServiceUnavailable, match="no space"):
                await harness.send(engine, flow_id, None)
        ready = await client.get("/readyz", headers=AUTH)
        assert (ready.status_code, (await ready.get_json())["status"]) == (503, "the disk budget is used up")
        assert "10,000,000" in (await ready.get_json())["reason"]
        await engine.operations.cancel(ids[0], by=SYSTEM)
        await harness.until(engine, ids[0])
        harness.clock.advance(1)
        await check(engine)
        assert (await client.get("/readyz")).status_code == 200
        assert await kept(engine, "a") == []
        assert await harness.send(engine, "a", None)


@pytest.mark.rule(39)
async def test_what_no_execution_refers_to_does_not_count(harness: Harness) -> None:
    harness.flow("f", [act("see", None)])
    async with harness.engine(disk_budget=2 * MB) as engine:
        kept_one = await ended(harness, engine, "f")
        await put(engine.blobs, bytes(5 * MB))  # a request is about to be accepted with it
        await check(engine)
        assert await kept(engine, "f") == [kept_one]
        assert engine.intake.full is None


@pytest.mark.postgres
@pytest.mark.rule(39)
@pytest.mark.cluster_rule("C5")
async def test_a_node_that_runs_nothing_accepts_nothing_while_the_budget_is_used_up(
    tmp_path: Path, tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_budget, "_EVERY", 10)
    nodes = Harness(tmp_path, db=tables)
    nodes.flow("a", [act("see", None)])
    async with nodes.engine(role="webhook", disk_budget=10 * MB) as engine:
        for _ in range(4):
            await upload(nodes, engine, "a", 3 * MB)
        async with asyncio.timeout(20):
            while engine.intake.full is None:
                nodes.clock.advance(10)
                await asyncio.sleep(0.02)
        with pytest.raises(ServiceUnavailable, match="no space"):
            await nodes.send(engine, "a", None)


@pytest.mark.postgres
@pytest.mark.rule(39)
@pytest.mark.cluster_rule("C10")
async def test_one_node_purges_for_all(tmp_path: Path, tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_budget, "_EVERY", 10)
    nodes = Harness(tmp_path, db=tables)
    nodes.flow("a", [act("see", None)])
    purging: list[str] = []
    go_on, free = asyncio.Event(), Purger.free

    async def freed(purger: Purger, flow_id: str, wanted: float) -> Freed:
        purging.append("one" if purger is budget_of(one)._purger else "other")
        await go_on.wait()
        return await free(purger, flow_id, wanted)

    def budget_of(engine: Engine) -> DiskBudget:
        assert engine.disk_budget is not None
        return engine.disk_budget

    def sees(engine: Engine) -> bool:
        usage = budget_of(engine).usage
        return usage is not None and usage.total > 10 * MB

    monkeypatch.setattr(Purger, "free", freed)
    async with nodes.engine(node_name="one", disk_budget=10 * MB) as one:
        await assert_eventually(lambda: one._housekeeping.held)
        async with nodes.engine(node_name="other", disk_budget=10 * MB) as other:
            for id_ in [await upload(nodes, one, "a", 2 * MB) for _ in range(8)]:
                await nodes.until(one, id_)
            async with asyncio.timeout(20):
                while not ("one" in purging and (sees(other) or "other" in purging)):
                    nodes.clock.advance(10)
                    await asyncio.sleep(0.02)
            assert other.intake.full is None, "there will be room"
            go_on.set()
            async with asyncio.timeout(20):
                while sees(one) or sees(other):
                    nodes.clock.advance(10)
                    await asyncio.sleep(0.02)
            assert set(purging) == {"one"}


async def test_storage_counts_no_executions_where_only_their_dedupe_keys_are_left(harness: Harness) -> None:
    harness.flow("f", [act("see", None)], retention={"age": "1m"})
    async with harness.engine() as engine:
        for number in range(5):
            await ended(harness, engine, "f", key=str(number))
        client = create_pages(blueprints(engine, AUTH["Authorization"][7:])).test_client()

        async def count() -> int:
            shown: dict[str, int] = await (await client.get("/api/v1/storage", headers=AUTH)).get_json()
            return shown["executions"]

        assert await count() == 5
        harness.clock.advance(3600)
        await engine._sweeper._purger.purge()
        assert await count() == 0
        assert (await harness.put(engine, "f", None, "1")).execution_id
