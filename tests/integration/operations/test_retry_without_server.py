"""`hookline executions retry` does the same where no server runs as the server does."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.integration.engine_harness import Harness, act, fails

from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.model.access import SYSTEM
from hookline.model.execution import Execution, State
from hookline.secrets.encryption import generate_key, read_keys
from hookline.testing.clock import ManualClock

KEY = generate_key()
GOOD, WRONG, RIGHT = act("good"), act("wrong"), act("right")


@pytest.fixture(autouse=True)
def _folder(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(harness.folder)
    monkeypatch.setenv("HOOKLINE_SECRET_KEY", KEY)
    monkeypatch.setattr(
        "hookline.discovery.plugin_loader.load_plugins", lambda: load_plugins(extra_plugins=[harness.probe])
    )
    harness.clock = ManualClock(datetime.now(UTC))
    harness.probe.does["wrong"] = fails(1, retryable=False)


def failed(harness: Harness, *, discarded: bool = False, **settings: Any) -> Execution:
    """An execution that has failed on a server that has stopped."""

    async def serve() -> Execution:
        harness.flow("f", [GOOD, WRONG], **settings)
        async with harness.engine(secret_keys=read_keys(KEY)) as engine:
            execution_id = await harness.send(engine, "f", {"card": "4111111111111111"})
            ended = await harness.until(engine, execution_id)
            assert ended.state is State.FAILED
            if discarded:
                await engine.operations.discard(execution_id, by=SYSTEM)
            return ended

    return asyncio.run(serve())


def run_after(harness: Harness, execution_id: str) -> Execution:
    """The execution once the next server has run it."""

    async def serve() -> Execution:
        harness.clock = ManualClock(datetime.now(UTC))
        async with harness.engine(secret_keys=read_keys(KEY)) as engine:
            return await harness.until(engine, execution_id)

    return asyncio.run(serve())


def hookline(*arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--db", "sqlite:///hookline.db", "--json"])


def shown(execution_id: str) -> Any:
    done = hookline("executions", "show", execution_id)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_erased_values_cant_be_retried(harness: Harness) -> None:
    execution = failed(harness, discarded=True, redact=["$.body.card"])
    done = hookline("executions", "retry", execution.id)
    assert done.exit_code == 1, done.output
    error = json.loads(done.stderr)["error"]
    assert (error["code"], "are erased" in error["message"]) == ("execution.not_replayable", True)
    assert shown(execution.id)["state"] == "failed"


def test_values_that_are_kept_can_be_retried(harness: Harness) -> None:
    execution = failed(harness, redact=["$.body.card"])
    harness.flow("f", [GOOD, RIGHT], redact=["$.body.card"])
    assert hookline("executions", "retry", execution.id).exit_code == 0
    assert run_after(harness, execution.id).state is State.SUCCEEDED


def test_the_deadline_is_set_anew(harness: Harness) -> None:
    execution = failed(harness, timeout="1h")
    before = datetime.now(UTC)
    assert hookline("executions", "retry", execution.id).exit_code == 0
    hour, deadline = timedelta(hours=1), run_after(harness, execution.id).deadline_at
    assert deadline is not None
    assert before + hour <= deadline <= datetime.now(UTC) + hour


def test_it_goes_on_in_the_newest_version_where_the_journal_fits(harness: Harness) -> None:
    execution = failed(harness)
    harness.flow("f", [GOOD, RIGHT])
    assert hookline("executions", "retry", execution.id).exit_code == 0
    moved = shown(execution.id)["flow_version"]
    assert moved != execution.flow_version
    # The version is kept although no server has served it yet: the file may change again.
    harness.flow("f", [GOOD, WRONG, RIGHT])
    ended = run_after(harness, execution.id)
    assert (ended.state, ended.attempt, ended.flow_version) == (State.SUCCEEDED, 2, moved)
    assert harness.probe.steps() == ["good", "wrong", "right"]


def test_it_stays_on_its_version_where_the_journal_does_not_fit(harness: Harness) -> None:
    execution = failed(harness)
    harness.flow("f", [{**GOOD, "id": "another"}, RIGHT])
    assert hookline("executions", "retry", execution.id).exit_code == 0
    assert shown(execution.id)["flow_version"] == execution.flow_version
