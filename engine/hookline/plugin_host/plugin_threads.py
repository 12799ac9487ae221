"""The threads of plugins: each plugin has a pool for each flow, so that none can fill the threads of others."""

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from hookline.kernel.unwaited_threads import Threads

T = TypeVar("T")

_OF_ENGINE: Final = 16
_OF_PLUGIN: Final = 8
_KEPT: Final = 256
"""The number of pools above which those without a thread are dropped."""

running_plugin: ContextVar[tuple[str, str]] = ContextVar("running_plugin", default=("", ""))
"""The plugin whose function is being called, and the flow for which it is: work for the event loop's default threads
goes to those of both. A flow can keep threads busy for long, such as with a name whose server doesn't answer."""


class DefaultThreads(Threads):
    """The default executor of a server's event loop: `asyncio.to_thread` and the look-up of host names.

    Work of a plugin goes to a pool of that plugin and that flow, and other work to the engine's. A stop waits for
    neither.
    """

    def __init__(self) -> None:
        super().__init__(_OF_ENGINE, "hookline")
        self._pools: dict[tuple[str, str], Threads] = {}

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the work in a thread of the plugin and the flow whose call this is, or else of the engine."""
        running = plugin, _ = running_plugin.get()
        if not plugin:
            return super().submit(work, *args, **kwargs)
        pool = self._pools.get(running)
        if pool is None:
            if len(self._pools) >= _KEPT:
                self._pools = {key: one for key, one in self._pools.items() if not one.idle}
            pool = self._pools[running] = Threads(_OF_PLUGIN, f"hookline plugin {plugin}")
        return pool.submit(work, *args, **kwargs)
