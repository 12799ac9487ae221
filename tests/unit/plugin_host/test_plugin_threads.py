"""The threads of plugins."""

import asyncio
from threading import Event, current_thread

from hookline.plugin_host.plugin_threads import DefaultThreads, running_plugin


async def test_each_plugin_fills_its_own_threads() -> None:
    threads, hold = DefaultThreads(), Event()
    asyncio.get_running_loop().set_default_executor(threads)
    outside = running_plugin.set("one")
    # The tasks take the plugin with them.
    full = [asyncio.ensure_future(asyncio.to_thread(hold.wait, 30)) for _ in range(100)]
    await asyncio.sleep(0)
    running_plugin.set("two")
    assert (await asyncio.to_thread(current_thread)).name == "hookline plugin two"
    running_plugin.reset(outside)
    assert (await asyncio.to_thread(current_thread)).name == "hookline"
    assert not any(one.done() for one in full)
    hold.set()
    assert all(await asyncio.gather(*full))
