"""The supervisor that runs the sources of all flows: schedules, polls, brokers and subscriptions.

Of several nodes, one runs a source: the one that has its duty. It has it until it ends the source, stops or dies.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import StoreError
from hookline.model.sources import ConsumeSettings, PollSettings, ScheduleSettings
from hookline.sources.consume import ConsumeSource
from hookline.sources.poll import PollSource
from hookline.sources.schedule import ScheduleSource
from hookline.sources.source import Source, SourceServices, SourceStatus
from hookline.sources.subscription import SubscriptionSource, subscription_requests

#: Seconds until a source runs again that ended with a defect of the engine.
_AGAIN: Final = 60.0
#: Seconds until a node tries again to take the sources that another one runs.
_TAKE_AGAIN: Final = 5.0


_Key: TypeAlias = tuple[Literal["own", "subscription"], str]
"""The kind of a source, and the flow's id."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    version: object
    """With another version, the source is replaced."""
    make: Callable[[], Source | None]


@dataclass(slots=True)
class _Running:
    version: object
    source: Source
    task: asyncio.Task[None]


class SourceSupervisor:
    """Runs one source for each flow that has one; starts and ends them as flows are added, changed and removed."""

    def __init__(self, services: SourceServices) -> None:
        self._services = services
        self._wanted: dict[_Key, _Wanted] = {}
        self._running: dict[_Key, _Running] = {}
        self._changed = asyncio.Event()
        self._membership = services.engine.membership

    def adopt(
        self, active: Iterable[CompiledFlow], paused: Iterable[CompiledFlow] = (), broken: Collection[str] = ()
    ) -> None:
        """Set the flows that accept messages now. `broken` has the ids of flows whose files can't be read."""
        active = tuple(active)
        wanted: dict[_Key, _Wanted] = {
            ("own", flow.id): _Wanted(flow.version, partial(self._source, flow)) for flow in active if _has_source(flow)
        }
        for flow_id, request in subscription_requests(self._services, (*active, *paused), broken).items():
            make = partial(SubscriptionSource, flow_id, request, self._services)
            wanted["subscription", flow_id] = _Wanted(None if request is None else request.identity, make)
        self._wanted = wanted
        self._changed.set()

    def status(self, flow_id: str) -> SourceStatus | None:
        """Return the status of a flow's source; None if it has none, or none that runs in this process."""
        running = self._running.get(("own", flow_id)) or self._running.get(("subscription", flow_id))
        return None if running is None else running.source.status

    def statuses(self) -> Mapping[str, SourceStatus]:
        """Return the statuses of the sources that run in this process, by flow; of two of a flow, the one that fails
        comes first."""
        running = sorted(self._running.items(), key=lambda item: item[1].source.status.error is not None)
        return {flow_id: one.source.status for (_, flow_id), one in running}

    def try_again(self) -> None:
        """Let sources that failed try again at once."""
        for running in self._running.values():
            running.source.try_again()

    async def run(self) -> None:
        """Run the sources until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                await self._end_others()
                lacking = [key for key in self._wanted if key not in self._running]
                taken = await self._taken(lacking)
                for key in taken:
                    if (wanted := self._wanted.get(key)) is not None and (source := wanted.make()) is not None:
                        task = group.create_task(self._keep(key[1], source), name=f"source {key[1]}")
                        self._running[key] = _Running(wanted.version, source, task)
                await self._wait(again=len(taken) < len(lacking))

    async def drop(self) -> None:
        """End all sources, since other nodes may run them; those that this node may run begin anew."""
        await self._end(tuple(self._running))
        self._changed.set()

    async def _taken(self, keys: Collection[_Key]) -> list[_Key]:
        """The sources that this node may run, of those that it doesn't run yet."""
        if not keys:
            return []
        try:
            duties = await self._membership.take([_duty(key) for key in keys])
        except StoreError as error:
            self._services.engine.store_problem.report(error)
            return []
        return [key for key in keys if _duty(key) in duties]

    async def _wait(self, *, again: bool) -> None:
        """Return when the flows have changed; `again`: also after a while, since another node may be gone."""
        try:
            async with asyncio.timeout(_TAKE_AGAIN if again else None):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _end_others(self) -> None:
        """End the sources that are no longer wanted, or belong to another version."""
        ending = [
            key
            for key, running in self._running.items()
            if key not in self._wanted or self._wanted[key].version != running.version
        ]
        await self._end(ending)
        for key in ending:
            if key not in self._wanted:
                with contextlib.suppress(StoreError):
                    await self._membership.give(_duty(key))

    async def _end(self, keys: Collection[_Key]) -> None:
        tasks = [self._running.pop(key).task for key in keys]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for kind, flow_id in keys:
            if kind == "subscription":
                self._services.subscriptions.leave(flow_id)

    def _source(self, flow: CompiledFlow) -> Source | None:
        trigger, settings = flow.trigger, flow.trigger.settings
        if trigger.schedule is not None and isinstance(settings, ScheduleSettings):
            return ScheduleSource(flow, trigger.schedule, settings, self._services)
        if trigger.poll is not None and isinstance(settings, PollSettings):
            return PollSource(flow, trigger.poll, settings, self._services)
        if trigger.consumer is not None and isinstance(settings, ConsumeSettings):
            return ConsumeSource(flow, trigger.consumer, settings, self._services)
        return None

    async def _keep(self, flow_id: str, source: Source) -> None:
        log, clock = self._services.engine.log, self._services.engine.clock
        while True:
            try:
                await source.run()
                return
            except StoreError as error:
                self._services.engine.store_problem.report(error, flow_id=flow_id)
                await clock.sleep(STORE_RETRY)
            except Exception as error:
                # A defect of one source must not stop the others.
                log.error("defect of a trigger; trying again", flow_id=flow_id, exc_info=True)
                _note_defect(source.status, error)
                await clock.sleep(_AGAIN)


def _note_defect(status: SourceStatus, error: Exception) -> None:
    """Show a defect until the source works again. What the error says may be secret, so only the log has that."""
    status.error = f"defect of the engine ({type(error).__name__}); the log says more"
    status.failures += 1
    status.next_at = None
    if status.listening is not None:
        status.listening = False


def _duty(key: _Key) -> str:
    return f"source {key[0]} {key[1]}"


def _has_source(flow: CompiledFlow) -> bool:
    trigger = flow.trigger
    return trigger.schedule is not None or trigger.poll is not None or trigger.consumer is not None
