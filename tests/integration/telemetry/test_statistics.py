"""The statistics of flows over a running engine: what the API tells, and what a restart and housekeeping leave."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from quart.typing import TestClientProtocol as Client
from tests.metric_samples import sample

from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.clocks import rfc3339
from hookline.maintenance.retention import Purger
from hookline.model.message import Arrival, Envelope, Message
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.storage.change_declarations import PutStatistics
from hookline.storage.statistics import ALL_FLOWS, HOUR, MINUTE, MINUTES_KEPT, Counts, FlowMinute, begin_of

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def _flow(flow_id: str, *steps: dict[str, Any], state: str = "active") -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": flow_id, "state": state, "trigger": trigger, "steps": list(steps)}


FLOWS = [
    _flow("greet", {"id": "hello", "use": "map", "with": {"body": "$.body"}}),
    _flow("broken", {"id": "no", "use": "fail", "with": {"message": "no", "code": "closed"}}),
    _flow("paused", state="paused"),
]


@pytest.fixture
def options(tmp_path: Path) -> EngineOptions:
    folder = tmp_path / "flows"
    folder.mkdir()
    for flow in FLOWS:
        (folder / f"{flow['id']}.json").write_text(json.dumps(flow))
    return EngineOptions(
        db=f"sqlite:///{tmp_path}/hookline.db",
        blobs=f"file://{tmp_path}/blobs",
        flows=folder,
        secret_keys=(b"k" * 32,),
        watch=False,
    )


@pytest.fixture
async def engine(options: EngineOptions) -> AsyncIterator[Engine]:
    async with Engine(load_plugins(), options) as engine:
        yield engine


def client_of(engine: Engine) -> Client:
    return create_pages(blueprints(engine, TOKEN)).test_client()


@pytest.fixture
def client(engine: Engine) -> Client:
    return client_of(engine)


async def accept(engine: Engine, flow_id: str) -> str:
    envelope = Envelope(
        execution_id=engine.ids.new(),
        flow_id=flow_id,
        message=Message({}),
        arrival=Arrival(use="webhook", method="POST", received_at=engine.clock.now(), verified_by="none"),
        accepted_at=engine.clock.now(),
    )
    await engine.intake.accept(engine.intake.flow(flow_id), envelope)
    return envelope.execution_id


async def get(client: Client, path: str, status: int = 200, headers: dict[str, str] = AUTH) -> Any:
    response = await client.get(f"/api/v1/{path}", headers=headers)
    assert response.status_code == status, await response.get_data()
    return await response.get_json(force=True)


async def sums(client: Client, path: str, **more: Any) -> dict[str, int]:
    """The numbers of all items, each name once; those that are 0 are left out."""
    found: dict[str, int] = {}
    for item in (await get(client, path, **more))["items"]:
        for name in ("accepted", "rejected", "succeeded", "failed", "cancelled"):
            found[name] = found.get(name, 0) + item[name]
        found["latency"] = found.get("latency", 0) + sum(item["latency"])
    return {name: number for name, number in found.items() if number}


@pytest.mark.console_rule("K9")
async def test_what_flows_do_is_counted_as_in_the_metrics_and_survives_a_restart(options: EngineOptions) -> None:
    greeted, all_flows = {"accepted": 3, "succeeded": 3, "latency": 3}, {"accepted": 6, "rejected": 2}
    all_flows |= {"succeeded": 3, "failed": 2, "cancelled": 1, "latency": 6}
    async with Engine(load_plugins(), options) as engine:
        client = client_of(engine)
        for flow_id in ("greet", "broken", "greet", "broken", "greet"):
            await accept(engine, flow_id)
        waits = await accept(engine, "paused")
        for flow_id in ("greet", "-"):
            engine.metrics.rejected(flow_id, "request.malformed")
        assert (await client.post(f"/api/v1/executions/{waits}/cancel", headers=AUTH)).status_code == 202
        async with asyncio.timeout(10):
            while await sums(client, "stats") != all_flows:  # noqa: ASYNC110 - they come with the next commit
                await asyncio.sleep(0.05)
        text = engine.metrics.exposition()
        assert sample(text, "hookline_accepted_total", flow="greet") == 3
        assert sample(text, "hookline_executions_ended_total", flow="broken", state="failed") == 2
        assert sample(text, "hookline_executions_ended_total", flow="paused", state="cancelled") == 1
        await accept(engine, "greet")
    async with Engine(load_plugins(), options) as engine:
        client = client_of(engine)
        assert (await sums(client, "stats"))["accepted"] == 7, "the last second was stored when the engine stopped"
        assert await sums(client, "flows/broken/stats") == {"accepted": 2, "failed": 2, "latency": 2}
        found = await sums(client, "stats?flow_id=greet&step=1h")
        assert found["accepted"] == greeted["accepted"] + 1


async def _put(engine: Engine, at: datetime, *flow_ids: str) -> None:
    minutes = tuple(FlowMinute(flow_id, at, Counts(accepted=1)) for flow_id in (*flow_ids, ALL_FLOWS))
    await engine.store.commit([PutStatistics("elsewhere.1", minutes)])


@pytest.mark.console_rule("K9")
async def test_the_step_fits_the_times_and_only_what_is_kept_is_shown(engine: Engine, client: Client) -> None:
    now = engine.clock.now()

    def url(before: timedelta, *, until: timedelta | None = None, more: str = "") -> str:
        end = "" if until is None else f"&until={rfc3339(now - until)}"
        return f"stats?since={rfc3339(now - before)}{end}{more}"

    assert (await get(client, "stats"))["step"] == "1m"
    assert (await get(client, url(timedelta(hours=5))))["step"] == "1m"
    assert (await get(client, url(timedelta(hours=7))))["step"] == "1h"
    assert (await get(client, url(timedelta(days=3), until=timedelta(days=2.9))))["step"] == "1h"
    found = await get(client, url(timedelta(days=3), more="&step=1m"))
    assert found["since"] >= rfc3339(begin_of(now, MINUTE) - MINUTES_KEPT)
    hours = await get(client, "stats?step=1h&until=0001-01-01T00:00:00Z")
    assert (hours["items"], hours["step"], len(hours["bounds"])) == ([], "1h", 24)
    for wrong in ("stats?step=1d", "stats?since=yesterday", url(timedelta(0), until=timedelta(hours=1)), "stats?x=1"):
        await get(client, wrong, 400)
    for unknown in ("stats?flow_id=gret", "flows/gret/stats"):
        assert (await get(client, unknown, 404))["code"] == "flow.not_found"


@pytest.mark.console_rule("K9")
async def test_the_numbers_of_all_flows_come_at_once(engine: Engine, client: Client) -> None:
    hour = begin_of(engine.clock.now(), HOUR)
    for at, flow_id in ((hour, "greet"), (hour - HOUR, "greet"), (hour - HOUR, "broken"), (hour, "deleted")):
        await _put(engine, at, flow_id)
    found = await get(client, f"stats/flows?step=1h&since={rfc3339(hour - 2 * HOUR)}")
    assert (found["step"], found["since"]) == ("1h", rfc3339(hour - 2 * HOUR))
    assert {item["flow_id"]: item["accepted"] for item in found["items"]} == {"broken": [0, 1, 0], "greet": [0, 1, 1]}
    assert found["items"][0]["failed"] == [0, 0, 0]
    last_hour = (await get(client, "stats/flows"))["items"]
    assert [sum(item["accepted"]) for item in last_hour if item["flow_id"] == "greet"] == [1]
    many = await get(client, f"stats/flows?step=1h&since={rfc3339(hour - 101 * HOUR)}")
    assert {len(flow["accepted"]) for flow in many["items"]} == {100}
    made = await client.post(
        "/api/v1/tokens", headers=AUTH, json={"name": "one", "scopes": ["read"], "flows": ["greet"]}
    )
    limited = {"Authorization": f"Bearer {(await made.get_json())['token']}"}
    seen = await get(client, "stats/flows?step=1h", headers=limited)
    assert [item["flow_id"] for item in seen["items"]] == ["greet"]


@pytest.mark.console_rule("K9")
async def test_a_limited_token_gets_the_numbers_of_its_flows(engine: Engine, client: Client) -> None:
    await _put(engine, begin_of(engine.clock.now(), MINUTE), "greet", "broken", "paused")
    made = await client.post(
        "/api/v1/tokens", headers=AUTH, json={"name": "few", "scopes": ["read"], "flows": ["greet", "broken"]}
    )
    limited = {"Authorization": f"Bearer {(await made.get_json())['token']}"}
    assert await sums(client, "stats", headers=limited) == {"accepted": 2}
    assert await sums(client, "stats?flow_id=greet", headers=limited) == {"accepted": 1}
    for hidden in ("stats?flow_id=paused", "flows/paused/stats"):
        await get(client, hidden, 404, headers=limited)


@pytest.mark.console_rule("K9")
async def test_housekeeping_keeps_old_minutes_by_the_hour(engine: Engine, client: Client) -> None:
    now = engine.clock.now()
    old = begin_of(now - MINUTES_KEPT - 3 * HOUR, HOUR)
    for place in range(3):
        await _put(engine, old + place * MINUTE, "greet")
    await _put(engine, now - timedelta(days=401), "greet")
    asked = f"flows/greet/stats?step=1h&since={rfc3339(old)}"
    before = await get(client, asked)
    purger = Purger(engine.store, engine.blobs, engine.clock, engine.log, engine.retention_of)
    await purger.purge()
    assert (await get(client, asked))["items"] == before["items"]
    assert [item["accepted"] for item in before["items"]] == [3]
    assert await engine.store.statistics(["greet"], old, now, hourly=False) == []
    assert len(await engine.store.statistics(["greet"], now - timedelta(days=500), now, hourly=True)) == 1
