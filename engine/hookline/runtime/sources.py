"""The triggers that start flows by themselves: schedules, polls and what listens to brokers, of the active flows."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hookline.errors import StoreError
from hookline.flows.compiled import CompiledFlow
from hookline.model.consume import ConsumeSettings
from hookline.model.poll import PollSettings
from hookline.model.schedule import ScheduleSettings
from hookline.runtime.consume_source import ConsumeSource
from hookline.runtime.journal import STORE_RETRY
from hookline.runtime.poll_source import PollSource
from hookline.runtime.schedule_source import ScheduleSource
from hookline.runtime.source import Source, SourceServices, SourceStatus

#: Seconds until a source is run again that ended with a defect of ours.
_AGAIN: Final = 60.0


@dataclass(slots=True)
class _Running:
    version: str
    source: Source
    task: asyncio.Task[None]


class Sources:
    """Runs one source for each flow that has one; begins and ends them as flows come, change and go."""

    def __init__(self, services: SourceServices) -> None:
        self._services = services
        self._wanted: dict[str, CompiledFlow] = {}
        self._running: dict[str, _Running] = {}
        self._changed = asyncio.Event()

    def adopt(self, flows: Iterable[CompiledFlow]) -> None:
        """These are the flows that are active now."""
        self._wanted = {flow.id: flow for flow in flows if _starts_itself(flow)}
        self._changed.set()

    def status(self, flow_id: str) -> SourceStatus | None:
        """How a flow's source is doing; None where it has none, or none that runs here."""
        running = self._running.get(flow_id)
        return None if running is None else running.source.status

    def try_again(self) -> None:
        """What some of them lacked may be there now."""
        for running in self._running.values():
            running.source.try_again()

    async def run(self) -> None:
        """Run them, for ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._end_others()
                for flow in self._wanted.values():
                    if flow.id not in self._running and (source := self._source(flow)) is not None:
                        task = group.create_task(self._keep(flow, source), name=f"source {flow.id}")
                        self._running[flow.id] = _Running(flow.version, source, task)

    async def _end_others(self) -> None:
        """End those of flows that aren't there any more, or are of another version."""
        ending = [
            flow_id
            for flow_id, running in self._running.items()
            if flow_id not in self._wanted or self._wanted[flow_id].version != running.version
        ]
        tasks = [self._running.pop(flow_id).task for flow_id in ending]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _source(self, flow: CompiledFlow) -> Source | None:
        trigger, settings = flow.trigger, flow.trigger.settings
        if trigger.schedule is not None and isinstance(settings, ScheduleSettings):
            return ScheduleSource(flow, trigger.schedule, settings, self._services)
        if trigger.poll is not None and isinstance(settings, PollSettings):
            return PollSource(flow, trigger.poll, settings, self._services)
        if trigger.consumer is not None and isinstance(settings, ConsumeSettings):
            return ConsumeSource(flow, trigger.consumer, settings, self._services)
        return None

    async def _keep(self, flow: CompiledFlow, source: Source) -> None:
        log, clock = self._services.engine.log, self._services.engine.clock
        while True:
            try:
                await source.run()
                return
            except StoreError as error:
                log.error("a trigger can't read the store; trying again", flow_id=flow.id, error=error.message)
                await clock.sleep(STORE_RETRY)
            except Exception:
                # Whatever it is, it stops no other flow's trigger.
                log.error("defect of a trigger; trying again", flow_id=flow.id, exc_info=True)
                await clock.sleep(_AGAIN)


def _starts_itself(flow: CompiledFlow) -> bool:
    trigger = flow.trigger
    return trigger.schedule is not None or trigger.poll is not None or trigger.consumer is not None
