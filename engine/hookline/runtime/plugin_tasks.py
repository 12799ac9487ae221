"""Tasks that plugins' code starts: of which call each one is, and what becomes of those that outlive it.

A call into a plugin is noted in a context variable, which tasks inherit. The event loop's task factory keeps a list of
the tasks that come of a call. Those of the engine's own parts (`ctx.http`, for one), and those of what the plugin keeps
open (`ctx.resources`), may outlive the call, and aren't listed.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token, copy_context
from sys import _getframe as current_frame
from types import FrameType
from typing import Any, Final, Protocol

from hookline.registry import Kind

GRACE: Final = 2.0
"""Seconds that a task has to end in, once its call has ended or it was cancelled."""


class Faults(Protocol):
    """What is told of tasks that outlive their calls."""

    def task_left(self, call: "PluginCall", fault: str, task: str) -> None:
        """A task of a call goes on; `fault` says what is wrong with that, `task` which coroutine it runs."""
        ...

    def left(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """These tasks go on although their call has ended."""
        ...


class PluginExit(RuntimeError):
    """What a plugin raised to end the process; it ends its task alone."""


class PluginCall:
    """One call of a plugin's function. What is done `within` is of it, and so are the tasks that come of that."""

    __slots__ = ("_token", "ended", "faults", "kind", "listed", "name", "tasks", "where")

    def __init__(self, faults: Faults, kind: Kind, name: str, where: Mapping[str, str], *, listed: bool = True) -> None:
        """`kind` and `name` of what is called; `where`: which execution, for the log."""
        self.faults = faults
        self.kind = kind
        self.name = name
        self.where = where
        self.listed = listed
        self.tasks: set[asyncio.Task[Any]] = set()
        self.ended = False
        self._token: Token[PluginCall | None] | None = None

    def __enter__(self) -> "PluginCall":
        self._token = _CALL.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        """The tasks that are left get a while to end in, and are cancelled."""
        if self._token is not None:
            _CALL.reset(self._token)
        self.ended = True
        if self.tasks:
            self.faults.left(self.tasks)
            self.look_later()

    def unlisted(self) -> "PluginCall":
        """The same, of whose tasks nothing is kept."""
        return PluginCall(self.faults, self.kind, self.name, self.where, listed=False)

    def look_later(self) -> None:
        """Look for tasks that are left."""
        asyncio.get_running_loop().call_later(GRACE, self._end, False)

    def _end(self, again: bool) -> None:
        left = [task for task in self.tasks if not task.done()]
        for task in left:
            self.faults.task_left(self, "ignores its cancellation" if again else "outlived its call", _named(task))
            task.cancel()
        if left and not again:
            asyncio.get_running_loop().call_later(GRACE, self._end, True)


_CALL: Final[ContextVar[PluginCall | None]] = ContextVar("hookline plugin call", default=None)


@contextmanager
def kept_open() -> Iterator[None]:
    """Let tasks that are started within outlive the call: they are of something that is kept open."""
    call = _CALL.get()
    if call is None:
        yield
        return
    token = _CALL.set(call.unlisted())
    try:
        yield
    finally:
        _CALL.reset(token)


class TaskLists:
    """The event loop's task factory, for as long as an engine runs on it."""

    def __init__(self, kept_open: Callable[[FrameType], bool]) -> None:
        """`kept_open` says whether a frame is of something that plugins keep open."""
        self._kept_open = kept_open
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: Any = None

    def install(self) -> None:
        """Begin, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._before = self._loop.get_task_factory()
        self._loop.set_task_factory(self._make)

    def remove(self) -> None:
        """Give the event loop the factory back that it had."""
        loop, self._loop = self._loop, None
        # Another engine that began later has put its own over ours, which goes on passing tasks through.
        if loop is not None and loop.get_task_factory() == self._make:
            loop.set_task_factory(self._before)

    def _make(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        call = _CALL.get()
        if call is None or self._loop is None:
            return self._plain(loop, coro, options)
        if call.listed and self._may_stay(current_frame(1)):
            call = call.unlisted()
            context = options.pop("context", None)
            # A copy: whoever passed the context may use it for something else.
            options["context"] = copy_context() if context is None else context.copy()
            options["context"].run(_CALL.set, call)
        task = self._plain(loop, _contained(coro, call), options)
        if call.listed:
            call.tasks.add(task)
            task.add_done_callback(call.tasks.discard)
            if call.ended:
                call.look_later()
        return task

    def _plain(self, loop: asyncio.AbstractEventLoop, coro: Any, options: dict[str, Any]) -> Any:
        if self._before is not None:
            return self._before(loop, coro, **options)
        return asyncio.Task(coro, loop=loop, **options)

    def _may_stay(self, frame: FrameType | None) -> bool:
        """Whether a task is started by something that is kept open, or by a part of the engine that a plugin called."""
        ours = False
        while frame is not None:
            name: str = frame.f_globals.get("__name__", "")
            if name == _CALLS or runs_tasks(frame):
                return False
            if self._kept_open(frame):
                return True
            if name.partition(".")[0] == "hookline":
                ours = True
            elif ours and name.partition(".")[0] not in _BETWEEN:
                return True
            frame = frame.f_back
        return False


#: What calls plugins: there the walk down the stack ends.
_CALLS: Final = "hookline.runtime.plugin_calls"
_RUNNERS: Final = frozenset(
    {("asyncio.events", "_run"), ("asyncio.base_events", "run_forever"), ("asyncio.runners", "run")}
)
#: Whose frames say nothing of who called whom.
_BETWEEN: Final = frozenset({"asyncio", "contextlib", "concurrent"})


def runs_tasks(frame: FrameType) -> bool:
    """Whether it is the event loop's own, so that nothing further out says who called what."""
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) in _RUNNERS


async def _contained(coro: Coroutine[Any, Any, Any], call: PluginCall) -> Any:
    try:
        return await coro
    except (SystemExit, KeyboardInterrupt) as error:
        # asyncio would let it through to whoever runs the event loop.
        raise PluginExit(f"{type(error).__name__} in a task of {call.kind} {call.name}") from error


def _named(task: asyncio.Task[Any]) -> str:
    """The coroutine that a task runs, as its source names it: the first that isn't ours."""
    coro: Any = task.get_coro()
    while (inner := getattr(coro, "cr_await", None)) is not None and _ours(coro):
        coro = inner
    return str(getattr(coro, "__qualname__", task.get_name()))


def _ours(coro: Any) -> bool:
    frame = getattr(coro, "cr_frame", None)
    return frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "hookline"
