"""The threads of plugins: each plugin has a pool of its own, so that none can fill the threads of others."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from hookline.kernel.threads import Threads

T = TypeVar("T")

_OF_ENGINE: Final = 16
_OF_PLUGIN: Final = 8

_plugin: ContextVar[str] = ContextVar("hookline_plugin")


@contextmanager
def threads_of(plugin: str) -> Iterator[None]:
    """Within the context, work for the event loop's default threads goes to those of a plugin."""
    token = _plugin.set(plugin)
    try:
        yield
    finally:
        _plugin.reset(token)


class DefaultThreads(Threads):
    """The default executor of a server's event loop: `asyncio.to_thread` and the look-up of host names.

    Work of a plugin goes to a pool of that plugin, and other work to the engine's. A stop waits for neither.
    """

    def __init__(self) -> None:
        super().__init__(_OF_ENGINE, "hookline")
        self._pools: Final[dict[str, Threads]] = {}

    def submit(self, work: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the work in a thread of the plugin whose call this is, or else of the engine."""
        plugin = _plugin.get("")
        if not plugin:
            return super().submit(work, *args, **kwargs)
        pool = self._pools.get(plugin)
        if pool is None:
            pool = self._pools[plugin] = Threads(_OF_PLUGIN, f"hookline plugin {plugin}")
        return pool.submit(work, *args, **kwargs)
