"""The threads of plugins."""

import asyncio
from threading import Event, current_thread

import pytest

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
