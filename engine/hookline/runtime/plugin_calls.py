"""Calls of plugins' functions, each contained: what it leaves behind, what it raises, and how long it goes on.

The plugins of Hookline's own distribution are called directly. Those of others run in a task of their own, which can be
left behind where it takes no notice of its cancellation.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar
from weakref import WeakSet

from hookline.discovery import GROUP
from hookline.logger import Log
from hookline.registry import Kind, Registry
from hookline.runtime.metrics import Metrics
from hookline.runtime.plugin_tasks import GRACE, PluginCall

T = TypeVar("T")


class PluginCalls:
    """Calls plugins, and says which one is at fault."""

    def __init__(self, registry: Registry, metrics: Metrics, log: Log) -> None:
        self._registry = registry
        self._metrics = metrics
        self._log = log
        self._left: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._foreign = frozenset(key for key, status in registry.origins.items() if status.distribution != GROUP)

    def describe(self, kind: Kind, name: str) -> str:
        """The plugin that gave something, with its distribution and version."""
        return str(self._registry.origin(kind, name))

    def foreign(self, kind: Kind, name: str) -> bool:
        """Whether it is of a plugin that isn't Hookline's own."""
        return (kind, name) in self._foreign

    def fault(self, kind: Kind, name: str, fault: str) -> None:
        """Count what a plugin did and mustn't."""
        self._metrics.faulted(self._registry.origin(kind, name).name, fault)

    async def run(self, kind: Kind, name: str, work: Awaitable[T], **where: str) -> T:
        """What a call of an action or a trigger gives. Raises what it raises. `where` is for the log."""
        with PluginCall(self, kind, name, where) as call:
            if (kind, name) not in self._foreign:
                return await work
            return await _apart(work, call)

    def left(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """See `Faults`."""
        self._left.update(tasks)

    async def close(self) -> None:
        """Cancel what has outlived its calls; whoever closes the event loop waits for none that doesn't end."""
        left = [task for task in self._left if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=GRACE)
        for task in left:
            if not task.done():
                # Otherwise it would be waited for without end.
                asyncio._unregister_task(task)

    def task_left(self, call: PluginCall, fault: str, task: str) -> None:
        """See `Faults`."""
        self.fault(call.kind, call.name, "leaked_task")
        self._log.error(
            f"a task of a plugin {fault}",
            plugin=self.describe(call.kind, call.name),
            task=task,
            seconds=GRACE,
            remedy="what goes on after a call belongs to a resource: ctx.resources.get(…)",
            **{call.kind: call.name},
            **call.where,
        )


async def _apart(work: Awaitable[T], call: PluginCall) -> T:
    task = asyncio.ensure_future(_awaited(work))
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait((task,), timeout=GRACE)
        if not task.done():
            # It is left behind; what looks for tasks that are left says so.
            call.tasks.add(task)
        elif not task.cancelled():
            # It may have ended just before: whoever is cancelled has to end all the same, and would wait for ever.
            task.exception()
        raise
    return task.result()


async def _awaited(work: Awaitable[T]) -> T:
    return await work
