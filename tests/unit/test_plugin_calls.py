"""Calls of others' plugins: whoever waits for one is cancelled for good, whatever the plugin does just then."""

import asyncio

import pytest

from hookline.connector import Connector
from hookline.discovery import discover
from hookline.errors import StepError
from hookline.runtime.metrics import Metrics
from hookline.runtime.plugin_calls import PluginCalls
from hookline.testing.harness import ListLog, plugin_of


@pytest.fixture
def calls() -> PluginCalls:
    acme = Connector("acme")

    @acme.action
    async def act() -> None:
        """Do it."""

    return PluginCalls(discover(extra_plugins=[plugin_of(acme)], found=[]), Metrics(), ListLog())


@pytest.mark.parametrize("error", [None, StepError("it failed")])
async def test_one_that_ends_as_it_is_cancelled_is_cancelled(calls: PluginCalls, error: Exception | None) -> None:
    """Else whoever is told to stop goes on, and is waited for without end."""
    gate = asyncio.Event()

    async def work() -> str:
        await gate.wait()
        if error is not None:
            raise error
        return "done"

    calling = asyncio.ensure_future(calls.run("action", "acme.act", work()))
    await asyncio.sleep(0.001)
    gate.set()
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
