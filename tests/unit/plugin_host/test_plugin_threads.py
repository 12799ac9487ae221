"""The threads of plugins."""

import asyncio
from threading import Event, current_thread

import pytest
from tests.acceptance.server_process import eventually

from hookline.kernel import unwaited_threads
from hookline.plugin_host import plugin_threads
from hookline.plugin_host.plugin_threads import DefaultThreads, running_plugin


@pytest.mark.parametrize("other", [("two", "mine"), ("one", "theirs")])
async def test_each_plugin_fills_its_own_threads_for_each_flow(other: tuple[str, str]) -> None:
    threads, hold = DefaultThreads(), Event()
    asyncio.get_running_loop().set_default_executor(threads)
    outside = running_plugin.set(("one", "mine"))
    # The tasks take the plugin with them.
    full = [asyncio.ensure_future(asyncio.to_thread(hold.wait, 30)) for _ in range(100)]
    await asyncio.sleep(0)
    running_plugin.set(other)
    assert (await asyncio.to_thread(current_thread)).name == f"hookline plugin {other[0]}"
    running_plugin.reset(outside)
    assert (await asyncio.to_thread(current_thread)).name == "hookline"
    assert not any(one.done() for one in full)
    hold.set()
    assert all(await asyncio.gather(*full))


def test_pools_without_threads_are_dropped_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwaited_threads, "_IDLE", 0.01)
    monkeypatch.setattr(plugin_threads, "_KEPT", 3)
    threads, hold = DefaultThreads(), Event()
    outside = running_plugin.set(("one", "held"))
    held = threads.submit(hold.wait, 30)
    for number in range(20):
        running_plugin.set(("one", f"flow-{number}"))
        threads.submit(int).result()
        pool = threads._pools["one", f"flow-{number}"]
        eventually("its thread has ended", lambda pool=pool: pool.idle)
    running_plugin.reset(outside)
    assert len(threads._pools) <= 4
    assert ("one", "held") in threads._pools
    hold.set()
    assert held.result()
