"""Finding who holds up the event loop: while one function doesn't let go of it, nothing else goes on.

A thread asks the loop for a sign of life now and then. Where none comes in time, it looks at what the loop's thread is
doing, and names the plugin whose code that is. It can't be stopped from outside; whoever reads the log can uninstall
it, or have it mended.
"""

import asyncio
import linecache
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Final

from hookline.discovery.registry import PluginStatus, Registry
from hookline.kernel.logs import Log
from hookline.telemetry.metrics import Metrics

TIME_LIMIT: Final = 1.0
"""Seconds after which it is reported."""
_EVERY: Final = 0.5
_WAITING: Final = frozenset({"selectors", "asyncio.base_events"})
"""Modules in whose code the loop's thread is when it has nothing to do, or is just about to do something."""
_RUNNERS: Final = frozenset(
    {("asyncio.events", "_run"), ("asyncio.base_events", "run_forever"), ("asyncio.runners", "run")}
)
"""The event loop's own functions, by module: nothing further out says who called what."""


@dataclass(frozen=True, slots=True)
class BlockedLoop:
    """What holds the loop up."""

    plugin: PluginStatus | None
    """None where it is no plugin's code, as far as the stack shows."""
    component: str | None
    """The action or trigger whose function it is in; None where another of the plugin's functions was called."""
    place: str
    """File, line and function: the plugin's innermost, or the innermost of all."""
    line: str
    """That line."""
    frames: frozenset[int]
    """Which calls are on the stack, so that two looks can be compared."""


class LoopMonitor:
    """Watches the event loop on which it is started."""

    def __init__(self, registry: Registry, metrics: Metrics, log: Log, *, limit: float = TIME_LIMIT) -> None:
        self._log = log
        self._metrics = metrics
        self._limit = limit
        self._modules = _modules(registry)
        self._functions = _functions(registry)
        self._stopped = threading.Event()
        self._alive = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        loop, ident = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(target=self._run, args=(loop, ident), name="hookline loop watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; the thread is gone when this returns."""
        self._stopped.set()
        # It may be waiting for a sign of life of this very thread.
        self._alive.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop, ident: int) -> None:
        while True:
            alive = self._alive = threading.Event()
            if self._stopped.wait(_EVERY):
                return
            try:
                loop.call_soon_threadsafe(alive.set)
            except RuntimeError:
                # It is closed.
                return
            if alive.wait(self._limit):
                continue
            self._report(alive, ident)

    def _report(self, alive: threading.Event, ident: int) -> None:
        seconds = self._limit
        first = self.look(ident)
        # A machine that was asleep or is overloaded looks like this, too, but not twice at the same place.
        if first is None or alive.wait(self._limit / 4):
            return
        held = self.look(ident)
        if held is None or not held.frames & first.frames:
            return
        seconds += self._limit / 4
        named = {} if held.plugin is None else {"plugin": str(held.plugin)}
        if held.component is not None:
            named["component"] = held.component
        if held.plugin is not None:
            self._metrics.faulted(held.plugin.name, "blocked_loop")
        self._log.error(
            "the event loop is held up: nothing else goes on meanwhile",
            **named,
            place=held.place,
            line=held.line,
            seconds=seconds,
            remedy="await what takes long, or do it in a thread: await asyncio.to_thread(…)",
        )
        while not self._stopped.is_set() and not alive.wait(_EVERY):
            seconds += _EVERY
        self._log.warning("the event loop goes on", **named, seconds=round(seconds, 1))

    def look(self, ident: int) -> BlockedLoop | None:
        """What a thread is doing; None where it waits, or is gone."""
        stack = list(_outwards(sys._current_frames().get(ident)))
        frames = frozenset(map(id, stack))
        for frame in stack:
            plugin = self._plugin(frame)
            if plugin is not None:
                component = next((self._functions[one.f_code] for one in stack if one.f_code in self._functions), None)
                return BlockedLoop(plugin, component, *_place(frame), frames)
        if not stack or stack[0].f_globals.get("__name__") in _WAITING:
            return None
        return BlockedLoop(None, None, *_place(stack[0]), frames)

    def _plugin(self, frame: FrameType) -> PluginStatus | None:
        name = str(frame.f_globals.get("__name__", ""))
        while name:
            if name in self._modules:
                return self._modules[name]
            name = name.rpartition(".")[0]
        return None


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None and (frame.f_globals.get("__name__"), frame.f_code.co_name) not in _RUNNERS:
        yield frame
        frame = frame.f_back


def _place(frame: FrameType) -> tuple[str, str]:
    code = frame.f_code
    line = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}", line


def _modules(registry: Registry) -> Mapping[str, PluginStatus]:
    """Each plugin by its module, and by the package that this is in unless several share that."""
    found: dict[str, PluginStatus] = {}
    packages: dict[str, list[PluginStatus]] = {}
    for plugin in registry.plugins:
        found[plugin.module] = plugin
        packages.setdefault(plugin.module.partition(".")[0], []).append(plugin)
    for package, plugins in packages.items():
        if len(plugins) == 1:
            found.setdefault(package, plugins[0])
    return found


def _functions(registry: Registry) -> Mapping[CodeType, str]:
    runs = [*registry.actions.items(), *registry.triggers.items()]
    codes = ((getattr(getattr(thing, "run", None), "__code__", None), name) for name, thing in runs)
    return {code: name for code, name in codes if code is not None}
