"""The things that an execution waits for are shown, and an operator can make a call that doesn't come."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.integration.engine_harness import Harness, act

from hookline.cli.main import main
from hookline.kernel.clocks import rfc3339
from hookline.kernel.json import decode, encode
from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.service.admin import blueprints
from hookline.service.app import create_pages

TOKEN = "a-token-of-the-tests"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
APPROVE = {"id": "approve", "use": "webhook", "with": {"timeout": "2d"}}


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


async def test_an_execution_shows_what_it_waits_for_and_goes_on_when_an_operator_calls(harness: Harness) -> None:
    harness.flow("asked", [APPROVE, act("last")])
    async with harness.engine() as engine:
        client = create_pages(blueprints(engine, TOKEN)).test_client()
        execution_id = await harness.send(engine, "asked", {})
        await harness.until(engine, execution_id, State.WAITING)
        at = f"/api/v1/executions/{execution_id}"

        async def shown() -> Any:
            return decode(await (await client.get(at, headers=AUTHORISED)).get_data(as_text=False))

        async def resume(**call: Any) -> tuple[int, Any]:
            answer = await client.post(f"{at}/resume", headers=AUTHORISED, data=encode(call))
            return answer.status_code, decode(await answer.get_data(as_text=False))

        now = harness.clock.now()
        assert (await shown())["waits"] == [
            {
                "step": "approve",
                "path": "approve",
                "since": rfc3339(now),
                "until": rfc3339(now + timedelta(days=2)),
                "url": engine.resume_url(execution_id, "approve"),
            }
        ]
        status, wrong = await resume(step="aprove")
        assert (status, wrong["code"]) == (409, "execution.state")
        assert wrong["detail"].endswith("waiting steps: approve")
        assert (await resume(step="approve", bdy=1))[0] == 400
        assert (await resume(step="approve", body={"ok": Decimal("1.50")}))[0] == 202
        await harness.until(engine, execution_id)
        assert harness.probe.calls[-1][3] == {"ok": 1.5}
        ended = await shown()
        assert (ended["state"], ended["waits"]) == ("succeeded", [])
        assert ended["steps"][0]["output"]["verified_by"] == "operator"
        assert (await resume(step="approve"))[0] == 409


async def test_of_several_steps_with_one_id_the_path_names_one(harness: Harness) -> None:
    harness.flow("asked", [{"id": "lines", "foreach": "$.body", "concurrency": 2, "steps": [APPROVE, act("last")]}])
    async with harness.engine() as engine:
        client = create_pages(blueprints(engine, TOKEN)).test_client()
        execution_id = await harness.send(engine, "asked", [1, 2])
        await harness.until(engine, execution_id, State.WAITING)
        at = f"/api/v1/executions/{execution_id}/resume"
        answer = await client.post(at, headers=AUTHORISED, data=encode({"step": "approve"}))
        assert answer.status_code == 409
        assert (await answer.get_json())["detail"].startswith("2 steps 'approve' of")
        for place in (1, 0):
            call = encode({"step": f"lines[{place}]/approve", "body": place})
            assert (await client.post(at, headers=AUTHORISED, data=call)).status_code == 202
        await harness.until(engine, execution_id)
        assert sorted(call[3] for call in harness.probe.calls) == [0, 1]


def in_a_folder(monkeypatch: pytest.MonkeyPatch, harness: Harness) -> Callable[..., Result]:
    monkeypatch.chdir(harness.folder)
    for name, value in {"DB": f"sqlite:///{harness.folder}/hookline.db", "PUBLIC_URL": "https://hooks.example"}.items():
        monkeypatch.setenv(f"HOOKLINE_{name}", value)
    return lambda *arguments, **more: CliRunner().invoke(main, ["executions", *arguments], **more)


def test_without_a_server_the_command_line_calls_as_well(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.flow("asked", [APPROVE, act("last")])

    async def begin() -> str:
        async with harness.engine() as engine:
            execution_id = await harness.send(engine, "asked", {})
            await harness.until(engine, execution_id, State.WAITING)
            return execution_id

    async def end() -> State:
        # The command knows but one clock, by which the step is ready now; and what was called in time isn't late.
        harness.clock.advance((datetime.now(UTC) - harness.clock.now()).total_seconds() + 1)
        async with harness.engine() as engine:
            return (await harness.until(engine, execution_id)).state

    execution_id = asyncio.run(begin())
    executions = in_a_folder(monkeypatch, harness)
    shown = executions("show", execution_id)
    assert "waits at approve since" in shown.output
    assert "to https://hooks.example/resume/" in shown.output
    (harness.folder / "call.json").write_text('{"by": "cli"}', encoding="utf-8")
    (harness.folder / "spoilt.json").write_text("{", encoding="utf-8")
    spoilt = executions("resume", execution_id, "approve", "--input", "spoilt.json")
    assert spoilt.exit_code == 2
    assert "is not JSON" in spoilt.output
    missing = executions("resume", execution_id, "later")
    assert (missing.exit_code, "waiting steps: approve" in missing.output) == (1, True)
    done = executions("resume", execution_id, "approve", "--input", "call.json", "--json")
    assert (done.exit_code, json.loads(done.output)) == (0, {"id": execution_id, "step": "approve"})
    assert executions("resume", execution_id, "approve").exit_code == 1
    assert asyncio.run(end()) is State.SUCCEEDED
    assert harness.probe.calls[-1][3] == {"by": "cli"}


async def test_each_part_of_a_callback_can_be_read_after_an_operators_call(harness: Harness) -> None:
    parts = ("headers", "attachments", "query", "method", "received_at", "verified_by")
    read = {part: f"$.steps.approve.{part}" for part in parts}
    handled = {**APPROVE, "id": "again", "on_error": "continue", "with": {"timeout": "1h"}}
    harness.flow("asked", [APPROVE, act("last", read), handled, act("late", "$.steps.again.error.code")])
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "asked", {})
        await harness.until(engine, execution_id, State.WAITING)
        await engine.operations.resume(execution_id, "approve", b'{"ok": true}', by=SYSTEM)
        await harness.until_calls(1)
        at = rfc3339(harness.clock.now())
        assert harness.probe.calls[0][3] == {
            "headers": {},
            "attachments": [],
            "query": {},
            "method": "POST",
            "received_at": at,
            "verified_by": "operator",
        }
    # They are read from the journal, too.
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, execution_id, seconds=600)).state is State.SUCCEEDED
    assert harness.probe.calls[-1][3] == "wait_timed_out"
