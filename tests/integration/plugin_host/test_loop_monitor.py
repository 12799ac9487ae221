"""Who holds up the event loop is named while it does."""

import asyncio
import threading
import time
from types import ModuleType

from hookline.discovery.plugin_loader import load_plugins
from hookline.plugin_host.loop_monitor import LoopMonitor
from hookline.telemetry.metrics import Metrics
from hookline.testing.connector_harness import ListLog
from hookline.testing.eventually import assert_eventually

SOURCE = '''
import time

from hookline.api import Connector, hookimpl

slow = Connector("slow")


def inner(seconds):
    time.sleep(seconds)


@slow.action
async def wait(seconds: float) -> None:
    """Wait as nobody should."""
    inner(seconds)


@hookimpl
def register_connectors():
    return [slow]
'''


def plugin() -> ModuleType:
    module = ModuleType("slow_plugin")
    exec(compile(SOURCE, "slow_plugin.py", "exec"), module.__dict__)
    return module


async def test_the_plugin_the_action_and_the_place_are_named_and_the_end_is_told() -> None:
    registry, log = load_plugins([], extra_plugins=[plugin()]), ListLog()
    watch = LoopMonitor(registry, Metrics(), log, limit=0.1)
    watch.start()
    try:
        await registry.actions["slow.wait"].run(seconds=1.0)
        await assert_eventually(lambda: len(log.lines) == 2)
    finally:
        watch.stop()
    (level, event, fields), (_, end, after) = log.lines
    assert (level, event) == ("error", "the event loop is blocked: nothing else runs meanwhile")
    assert (fields["plugin"], fields["component"]) == ("'slow_plugin' (slow_plugin)", "slow.wait")
    assert fields["place"] == "slow_plugin.py:10 in inner"
    assert (end, after["plugin"]) == ("the event loop runs again", fields["plugin"])


async def test_a_loop_that_goes_on_is_not_reported() -> None:
    log = ListLog()
    watch = LoopMonitor(load_plugins([]), Metrics(), log, limit=0.1)
    assert watch.look(threading.get_ident()) is not None
    loop = asyncio.new_event_loop()
    idle = threading.Thread(target=loop.run_forever)
    idle.start()
    try:
        await assert_eventually(lambda: watch.look(idle.ident or 0) is None)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        idle.join()
        loop.close()
    assert log.lines == []


async def test_it_stops_at_once_and_takes_that_for_no_trouble() -> None:
    log = ListLog()
    watch = LoopMonitor(load_plugins([]), Metrics(), log, limit=3600)
    watch.start()
    # It asks for a sign of life meanwhile, which the loop can't give while it waits for the thread's end.
    began = time.monotonic()
    while time.monotonic() - began < 0.55:
        pass
    watch.stop()
    assert log.lines == []
