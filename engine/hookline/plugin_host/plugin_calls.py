"""Calls of the functions of plugins, and the classification of their errors.

A function of a plugin may raise the errors of its interface: StepError, and the engine's own errors that the engine's
parts raise inside it (StoreError, CredentialError). A cancellation from outside passes through. Every other exception
is a defect of the plugin and becomes PluginDefect, so that it can't stop the engine; that includes SystemExit and a
CancelledError that the plugin raised itself. A call that exceeds its time limit raises PluginTimeout. `contain` does
all this, except for actions: `executions/steps/attempt.py` also has to know whether an action may be called again.

Functions of Hookline's own plugins are called directly. Those of other plugins run in a task of their own. If such a
task ignores its cancellation it is abandoned, so that a time limit always holds.
"""

import asyncio
import copy
import math
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Final, TypeVar

from hookline.discovery.registry import PartKind, Registry
from hookline.kernel.cancellation import cancelled_externally
from hookline.kernel.errors import CredentialError, StepError, StoreError
from hookline.kernel.logs import Log
from hookline.plugin_host.plugin_threads import running_plugin
from hookline.secrets.masking import HiddenValues
from hookline.telemetry.metrics import Metrics

T = TypeVar("T")

GRACE: Final = 2.0
"""The seconds in which a call has to end after its cancellation."""
_ENGINE_ERRORS: Final = (StoreError, CredentialError)
_LACKING: Final = object()
_STEP_ERROR_FIELDS: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "message": ("a text", lambda value: isinstance(value, str)),
    # It is stored unchanged, and a database takes no NUL.
    "error_code": ("a text of printable characters", lambda value: isinstance(value, str) and value.isprintable()),
    "retryable": ("true or false", lambda value: isinstance(value, bool)),
    "retry_after": (
        "a number of seconds or None",
        lambda value: value is None or (isinstance(value, int | float) and abs(value) < math.inf),
    ),
    "outcome_unknown": ("true or false", lambda value: isinstance(value, bool)),
}
"""The fields of a StepError, each with what it must be, in words and as a check."""


class PluginExit(RuntimeError):
    """A plugin raised SystemExit or KeyboardInterrupt."""


class PluginDefect(Exception):
    """A function of a plugin raised an unexpected exception, or returned a value that is not allowed."""

    def __init__(self, message: str, *, plugin: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.plugin = plugin
        """The plugin, with its distribution and version."""


class PluginTimeout(Exception):
    """A call of a plugin's function exceeded its time limit."""

    def __init__(self, name: str, seconds: float) -> None:
        self.message = f"{name} took longer than {seconds:g} s"
        self.seconds = seconds
        super().__init__(self.message)


class Containment:
    """A context manager for code that calls functions of plugins. It converts their exceptions.

    The errors in `passing`, PluginDefect, PluginTimeout and a cancellation from outside pass unchanged.
    """

    __slots__ = ("_convert", "_passing")

    def __init__(
        self, convert: Callable[[BaseException], Exception], *, passing: tuple[type[BaseException], ...] = ()
    ) -> None:
        """`convert` returns the error to raise instead of an exception, or the same exception."""
        self._convert = convert
        self._passing = passing

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if error is None or isinstance(error, (*self._passing, PluginDefect, PluginTimeout, GeneratorExit)):
            return
        if isinstance(error, asyncio.CancelledError) and cancelled_externally():
            return
        converted = self._convert(error)
        if converted is not error:
            # The message of any other error may have secrets that `converted` masks.
            raise converted from (error if isinstance(converted, PluginDefect) else None)


class PluginCalls:
    """Calls the functions of plugins. Knows which plugin each part belongs to."""

    def __init__(self, registry: Registry, metrics: Metrics, log: Log) -> None:
        self.registry: Final = registry
        self._metrics = metrics
        self._log = log
        #: The event loop holds only weak references to tasks.
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._plugins = {key: status.name for key, status in registry.origins.items()}
        self._foreign = frozenset(key for key in registry.origins if registry.is_foreign(*key))

    def describe(self, kind: PartKind, name: str) -> str:
        """Return the plugin of a part, with its distribution and version."""
        return str(self.registry.origin(kind, name))

    def is_foreign(self, kind: PartKind, name: str) -> bool:
        """Return True if the part belongs to a plugin that is not one of Hookline's own."""
        return (kind, name) in self._foreign

    def defect(self, kind: PartKind, name: str, problem: str) -> PluginDefect:
        """Count a defect, and return the error for it, which names the plugin."""
        plugin = self.describe(kind, name)
        self._count_fault(kind, name, "defect")
        return PluginDefect(f"{name} of {plugin} has a defect: {problem}", plugin=plugin)

    def error_of(
        self,
        kind: PartKind,
        name: str,
        error: BaseException,
        hidden: HiddenValues | None = None,
        log: Log | None = None,
    ) -> StepError | PluginDefect:
        """Return the error for the exception that is being handled.

        A StepError stays what it is, unless one of its fields has a wrong type. That, and every other exception, is a
        defect, which is counted and logged. `hidden` masks secrets in the message.
        """
        if isinstance(error, StepError):
            fault = _fault_of(error)
            if fault is None:
                return mask_error(error, hidden)
        else:
            fault = f"{type(error).__name__}: {error}"
        found = self.defect(kind, name, fault if hidden is None else hidden.mask_text(fault))
        if log is not None:
            log.error("connector defect", plugin=found.plugin, exc_info=True, **{kind: name})
        return found

    def contain(
        self,
        kind: PartKind,
        name: str,
        *,
        passing: tuple[type[BaseException], ...] = _ENGINE_ERRORS,
        hidden: HiddenValues | None = None,
        log: Callable[[], Log] | None = None,
    ) -> Containment:
        """Return a context manager for code that calls functions of a part.

        StepError passes, with its message masked. The errors in `passing` and a cancellation from outside pass
        unchanged. Every other exception becomes PluginDefect.

        Each defect is counted, and logged if `log` is given, which makes a logger. `hidden` masks secrets in messages.
        """

        def convert(error: BaseException) -> Exception:
            return self.error_of(kind, name, error, hidden, None if log is None else log())

        return Containment(convert, passing=passing)

    async def call(
        self, kind: PartKind, name: str, work: Awaitable[T], *, timeout: float | None = None, **where: str
    ) -> T:
        """Await the call of a function of a part, for at most `timeout` seconds, and return its result.

        Raises PluginTimeout, and whatever the function raises. The caller classifies that: with `contain` or, for
        actions, in `executions/steps/attempt.py`. `where` is for the log.
        """
        outer = running_plugin.set((self._plugins.get((kind, name), ""), where.get("flow_id", "")))
        try:
            if (kind, name) in self._foreign:
                work = self._in_task(kind, name, work, where)
            if timeout is None:
                return await work
            try:
                async with asyncio.timeout(timeout) as deadline:
                    return await work
            except TimeoutError as error:
                if not deadline.expired():
                    raise
                raise PluginTimeout(name, timeout) from error
        finally:
            running_plugin.reset(outer)

    async def _in_task(self, kind: PartKind, name: str, work: Awaitable[T], where: Mapping[str, str]) -> T:
        task = asyncio.ensure_future(_without_exit(work, f"{kind} {name}"))
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait((task,), timeout=GRACE)
            if not task.done():
                self._abandon(kind, name, task, where)
            elif not task.cancelled():
                # The task may have ended just before. The caller is cancelled all the same, and nobody reads the error.
                task.exception()
            raise
        return task.result()

    def _abandon(self, kind: PartKind, name: str, task: asyncio.Task[Any], where: Mapping[str, str]) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._ended)
        self._count_fault(kind, name, "abandoned_call")
        self._log.error(
            "a call of a plugin ignores its cancellation, and is abandoned",
            plugin=self.describe(kind, name),
            seconds=GRACE,
            remedy="let asyncio.CancelledError pass",
            **{kind: name},
            **where,
        )

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            # Nobody waits for it any more.
            task.exception()

    def _count_fault(self, kind: PartKind, name: str, fault: str) -> None:
        self._metrics.faulted(self.registry.origin(kind, name).name, fault)


def _fault_of(error: StepError) -> str | None:
    """The fault in the fields of an error that a plugin has made, or None."""
    # A class whose constructor doesn't call that of StepError lacks some.
    wrong = [
        f"`{field}` must be {expected}"
        for field, (expected, fits) in _STEP_ERROR_FIELDS.items()
        if not fits(getattr(error, field, _LACKING))
    ]
    return f"in the {type(error).__name__} that it raised, {' and '.join(wrong)}" if wrong else None


def mask_error(error: StepError, hidden: HiddenValues | None) -> StepError:
    """Return the error with the secrets in its message masked; the same object if it has none."""
    shown = error.message if hidden is None else hidden.mask_text(error.message)
    if shown == error.message:
        return error
    made = copy.copy(error)
    made.message, made.args = shown, (shown,)
    return made


async def _without_exit(work: Awaitable[T], named: str) -> T:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        # asyncio would raise it in the event loop itself, and so stop the server.
        raise PluginExit(f"{type(error).__name__} in {named}") from error
