"""Calls of plugins' functions: how long each goes on, and which plugin is at fault.

The plugins of Hookline's own distribution are called directly. Those of others run in a task of their own, which is
abandoned if it ignores its cancellation, so that a time limit always holds.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

from hookline.discovery.loader import GROUP
from hookline.discovery.registry import PartKind, Registry
from hookline.kernel.logs import Log
from hookline.telemetry.metrics import Metrics

T = TypeVar("T")

GRACE: Final = 2.0
"""Seconds that a call has to end in, once it was cancelled."""


class PluginExit(RuntimeError):
    """A plugin raised what ends the process; it ends the call alone."""


class PluginHost:
    """Calls plugins, and says which one is at fault."""

    def __init__(self, registry: Registry, metrics: Metrics, log: Log) -> None:
        self._registry = registry
        self._metrics = metrics
        self._log = log
        #: The event loop itself keeps no task alive.
        self._abandoned: set[asyncio.Task[Any]] = set()
        self._foreign = frozenset(key for key, status in registry.origins.items() if status.distribution != GROUP)

    def describe(self, kind: PartKind, name: str) -> str:
        """The plugin that gave something, with its distribution and version."""
        return str(self._registry.origin(kind, name))

    def foreign(self, kind: PartKind, name: str) -> bool:
        """Whether it is of a plugin that isn't Hookline's own."""
        return (kind, name) in self._foreign

    def fault(self, kind: PartKind, name: str, fault: str) -> None:
        """Count what a plugin did and mustn't."""
        self._metrics.faulted(self._registry.origin(kind, name).name, fault)

    async def run(self, kind: PartKind, name: str, work: Awaitable[T], **where: str) -> T:
        """What a call of an action or a trigger gives. Raises what it raises. `where` is for the log."""
        if (kind, name) not in self._foreign:
            return await work
        task = asyncio.ensure_future(_contained(work, f"{kind} {name}"))
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait((task,), timeout=GRACE)
            if not task.done():
                self._abandon(kind, name, task, where)
            elif not task.cancelled():
                # It may have ended just before: whoever is cancelled has to end all the same, and would wait for ever.
                task.exception()
            raise
        return task.result()

    def _abandon(self, kind: PartKind, name: str, task: asyncio.Task[Any], where: Mapping[str, str]) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._ended)
        self.fault(kind, name, "abandoned_call")
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


async def _contained(work: Awaitable[T], named: str) -> T:
    try:
        return await work
    except (SystemExit, KeyboardInterrupt) as error:
        # asyncio would let it through to whoever runs the event loop.
        raise PluginExit(f"{type(error).__name__} in {named}") from error
