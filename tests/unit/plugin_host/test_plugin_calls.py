"""Calls of others' plugins: a task that waits for one can be cancelled, whatever the plugin does just then."""

import asyncio
import math
from typing import cast

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import RateLimited, StepError, StoreError
from hookline.plugin_host import plugin_calls
from hookline.plugin_host.plugin_calls import PluginCalls, PluginDefect, PluginExit, PluginTimeout
from hookline.sdk.connector import Connector
from hookline.secrets.masking import HiddenValues
from hookline.telemetry.metrics import Metrics
from hookline.testing.connector_harness import ListLog, plugin_of


@pytest.fixture
def log() -> ListLog:
    return ListLog()


@pytest.fixture
def calls(log: ListLog) -> PluginCalls:
    acme = Connector("acme")

    @acme.action
    async def act() -> None:
        """Do it."""

    return PluginCalls(load_plugins(extra_plugins=[plugin_of(acme)], points=[]), Metrics(), log)


@pytest.mark.parametrize("error", [None, StepError("it failed")])
async def test_one_that_ends_as_it_is_cancelled_is_cancelled(calls: PluginCalls, error: Exception | None) -> None:
    """Else a task that is told to stop goes on, and is waited for without end."""
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        if error is not None:
            raise error
        return "done"

    calling = asyncio.ensure_future(calls.call("action", "acme.act", work()))
    await asyncio.sleep(0.001)
    gate.set()
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_one_that_ignores_its_cancellation_is_named_and_abandoned(
    calls: PluginCalls, log: ListLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_calls, "GRACE", 0.02)
    begun, end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    calling = asyncio.create_task(calls.call("action", "acme.act", stubborn(), execution_id="e1"))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    ((_, event, fields),) = log.lines
    assert event == "a call of a plugin ignores its cancellation, and is abandoned"
    assert (fields["plugin"], fields["action"], fields["execution_id"]) == (
        "'Plugin' (hookline.testing.connector_harness)",
        "acme.act",
        "e1",
    )
    end.set()
    await ended.wait()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_what_would_end_the_process_ends_its_call_alone(calls: PluginCalls, error: BaseException) -> None:
    async def ends() -> None:
        raise error

    with pytest.raises(PluginExit, match=type(error).__name__):
        await calls.call("action", "acme.act", ends())


async def test_a_result_and_an_error_come_through_unchanged(calls: PluginCalls) -> None:
    async def gives() -> int:
        return 7

    async def raises() -> None:
        raise ValueError("no")

    assert await calls.call("action", "acme.act", gives()) == 7
    with pytest.raises(ValueError, match="no"):
        await calls.call("action", "acme.act", raises())


async def test_an_unexpected_exception_is_a_defect_that_is_counted_and_names_the_plugin_with_secrets_masked(
    calls: PluginCalls, log: ListLog
) -> None:
    with (
        pytest.raises(PluginDefect) as caught,
        calls.contain("action", "acme.act", hidden=HiddenValues(["s3cret-value"]), log=lambda: log),
    ):
        raise ValueError("no s3cret-value")
    assert caught.value.message.startswith(
        "acme.act of 'Plugin' (hookline.testing.connector_harness) has a defect: ValueError"
    )
    assert "s3cret-value" not in caught.value.message
    ((_, event, fields),) = log.lines
    assert (event, fields["plugin"]) == ("connector defect", "'Plugin' (hookline.testing.connector_harness)")


async def test_a_cancellation_that_a_plugin_raises_itself_is_a_defect(calls: PluginCalls) -> None:
    with pytest.raises(PluginDefect, match="CancelledError"), calls.contain("action", "acme.act"):
        raise asyncio.CancelledError


async def test_the_message_of_a_step_error_is_masked_and_other_errors_of_the_interface_pass(calls: PluginCalls) -> None:
    original = StepError("no s3cret-value", code="acme.no", retryable=True)
    with (
        pytest.raises(StepError) as caught,
        calls.contain("action", "acme.act", hidden=HiddenValues(["s3cret-value"])),
    ):
        raise original
    assert "s3cret-value" not in caught.value.message
    assert (caught.value.error_code, caught.value.retryable, caught.value.__cause__) == ("acme.no", True, None)
    with pytest.raises(StoreError), calls.contain("action", "acme.act"):
        raise StoreError("away")


class Incomplete(StepError):
    """Its constructor forgets that of StepError."""

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (RateLimited("later", retry_after=cast(float, "30")), "`retry_after`"),
        (RateLimited("later", retry_after=math.nan), "`retry_after`"),
        (StepError("no", code="acme.\0"), "`error_code`"),
        (StepError("no", code=cast(str, 404)), "`error_code`"),
        (StepError("no", retryable=cast(bool, 1)), "`retryable`"),
        (StepError("no", outcome_unknown=cast(bool, None)), "`outcome_unknown`"),
        (StepError(cast(str, ValueError("no"))), "`message`"),
        (Incomplete(), "`message` .* and `error_code` .* and `retryable` .* and `retry_after`"),
    ],
)
async def test_a_step_error_with_a_wrong_field_is_a_defect(calls: PluginCalls, error: StepError, named: str) -> None:
    with pytest.raises(PluginDefect, match=f"that it raised, {named} must be "), calls.contain("action", "acme.act"):
        raise error


async def test_a_call_that_exceeds_its_time_limit_raises_a_time_out(calls: PluginCalls) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    with pytest.raises(PluginTimeout, match=r"acme.act took longer than 0.01 s"), calls.contain("action", "acme.act"):
        await calls.call("action", "acme.act", hangs(), timeout=0.01)


async def test_a_time_out_of_the_plugins_own_is_a_defect(calls: PluginCalls) -> None:
    async def gives_up() -> None:
        raise TimeoutError

    with pytest.raises(PluginDefect, match="TimeoutError"), calls.contain("action", "acme.act"):
        await calls.call("action", "acme.act", gives_up(), timeout=5)
