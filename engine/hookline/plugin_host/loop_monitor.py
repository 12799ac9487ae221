"""The monitor of the event loop, which logs the code that blocks it.

A thread schedules a callback on the loop at regular intervals. If the callback doesn't run in time, the thread reads
the stack of the loop's thread, and logs the place and the plugin of the code. The monitor can't stop that code.
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
"""The seconds after which a blocked loop is reported."""
_EVERY: Final = 0.5
_WAITING: Final = frozenset({"selectors", "asyncio.base_events"})
"""Modules whose code runs while the loop waits for events."""
_RUNNERS: Final = frozenset(
    {("asyncio.events", "_run"), ("asyncio.base_events", "run_forever"), ("asyncio.runners", "run")}
)
"""Functions of the event loop itself, by module. Frames outside of these don't help."""


@dataclass(frozen=True, slots=True)
class BlockedLoop:
    """The code that blocks the loop."""

    plugin: PluginStatus | None
    """None if no frame of the stack belongs to a plugin."""
    component: str | None
    """The action or trigger that is being called; None if it is another function of the plugin."""
    place: str
    """File, line and function of the innermost frame of the plugin, or else of the innermost frame."""
    line: str
    """The source of that line."""
    frames: frozenset[int]
    """The ids of the frames on the stack, so that two samples can be compared."""


class LoopMonitor:
    """Monitors the event loop on which it is started."""

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
        """Start monitoring the running event loop."""
        loop, ident = asyncio.get_running_loop(), threading.get_ident()
        self._thread = threading.Thread(target=self._run, args=(loop, ident), name="hookline loop monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the end of the thread."""
        self._stopped.set()
        # The monitor may be waiting for a callback in this thread.
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
                # The loop is closed.
                return
            if alive.wait(self._limit):
                continue
            self._report(alive, ident)

    def _report(self, alive: threading.Event, ident: int) -> None:
        seconds = self._limit
        first = self.look(ident)
        # After a suspend, or on an overloaded machine, the callback is late as well, but the stack then changes.
        if first is None or alive.wait(self._limit / 4):
            return
        blocked = self.look(ident)
        if blocked is None or not blocked.frames & first.frames:
            return
        seconds += self._limit / 4
        named = {} if blocked.plugin is None else {"plugin": str(blocked.plugin)}
        if blocked.component is not None:
            named["component"] = blocked.component
        if blocked.plugin is not None:
            self._metrics.faulted(blocked.plugin.name, "blocked_loop")
        self._log.error(
            "the event loop is blocked: nothing else runs meanwhile",
            **named,
            place=blocked.place,
            line=blocked.line,
            seconds=seconds,
            remedy="run the blocking code in a thread: await asyncio.to_thread(…)",
        )
        while not self._stopped.is_set() and not alive.wait(_EVERY):
            seconds += _EVERY
        self._log.warning("the event loop runs again", **named, seconds=round(seconds, 1))

    def look(self, ident: int) -> BlockedLoop | None:
        """Return the code that a thread is running; None if it waits for events or has ended."""
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
    # A frame has no line between two lines, which another thread may see.
    number = frame.f_lineno or code.co_firstlineno
    return f"{code.co_filename}:{number} in {code.co_qualname}", linecache.getline(code.co_filename, number).strip()


def _modules(registry: Registry) -> Mapping[str, PluginStatus]:
    """Return each plugin by its module, and also by its package if no other plugin is in it."""
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
