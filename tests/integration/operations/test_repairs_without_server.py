"""Without a server, the operations on failed executions work on the database itself."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.integration.engine_harness import Harness, act, fails

from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.model.execution import State
from hookline.testing.clock import ManualClock


@pytest.fixture
def failed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two executions that have failed, of a server that is gone."""
    monkeypatch.chdir(harness.folder)

    async def serve() -> list[str]:
        harness.flow("f", [act("a")])
        harness.probe.does["a"] = fails(2, retryable=False)
        async with harness.engine() as engine:
            ids = [await harness.send(engine, "f", {"n": number}) for number in range(2)]
            for id_ in ids:
                assert (await harness.until(engine, id_)).state is State.FAILED
        return ids

    return asyncio.run(serve())


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--db", f"sqlite:///{folder}/hookline.db"])


def told(folder: Path, *arguments: str) -> Any:
    done = run(folder, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_dead_letters_are_read_retried_and_discarded(harness: Harness, failed: list[str]) -> None:
    folder = harness.folder
    (group,) = told(folder, "dead-letters", "list")["items"]
    assert (group["count"], group["newest"]) == (2, failed[1])
    assert [one["id"] for one in told(folder, "dead-letters", "show", group["cause"])["executions"]] == failed[::-1]
    assert told(folder, "executions", "discard", failed[0])["done"] == [{"id": failed[0], "new_id": None}]
    assert [one["id"] for one in told(folder, "dead-letters", "retry", group["cause"])["done"]] == [failed[1]]
    assert told(folder, "dead-letters", "list")["items"] == []
    assert told(folder, "executions", "show", failed[1])["state"] == "waiting"
    assert told(folder, "executions", "cancel", failed[1])["rejected"] == []


@pytest.mark.parametrize("command", [["executions", "tail"], ["start", "f"]])
def test_what_takes_a_server_says_so(harness: Harness, failed: list[str], command: list[str]) -> None:
    done = run(harness.folder, *command)
    assert done.exit_code == 1
    assert "hookline serve" in done.stderr


def test_replays_are_made_and_the_next_server_runs_them(
    harness: Harness, failed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hookline.discovery.plugin_loader.load_plugins", lambda: load_plugins(extra_plugins=[harness.probe])
    )
    (first,) = told(harness.folder, "executions", "replay", failed[0])["done"]
    cause = told(harness.folder, "executions", "show", failed[0])["cause"]
    others = told(harness.folder, "dead-letters", "replay", cause)["done"]
    assert sorted(one["id"] for one in others) == failed
    assert told(harness.folder, "dead-letters", "list")["items"] == []
    assert told(harness.folder, "executions", "show", first["new_id"])["state"] == "queued"

    async def serve() -> None:
        harness.clock = ManualClock(datetime.now(UTC))
        async with harness.engine() as engine:
            for one in (first, *others):
                assert (await harness.until(engine, one["new_id"])).state is State.SUCCEEDED

    asyncio.run(serve())


def test_what_waits_or_ended_is_told_apart(harness: Harness, failed: list[str]) -> None:
    done = run(harness.folder, "executions", "cancel", failed[0])
    assert done.exit_code == 1
    assert "is failed" in done.stderr
    nobody = run(harness.folder, "executions", "discard", "nobody")
    assert (nobody.exit_code, "no execution 'nobody'" in nobody.stderr) == (1, True)
