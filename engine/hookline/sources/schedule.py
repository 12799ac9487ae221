"""The source of a flow with a schedule: it fires at the times, and makes up for missed ones as the flow says."""

import hashlib
from datetime import datetime

import msgspec

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import schedule_envelope
from hookline.kernel.clocks import rfc3339
from hookline.kernel.json import canonical
from hookline.model.sources import MISSED_KEPT, ONE_AT_A_TIME, PUNCTUAL, Schedule, ScheduleSettings
from hookline.sources.source import SourceProgress, SourceServices, SourceStatus, sleep_until


class ScheduleSource:
    """Starts executions of one flow at the times of its schedule."""

    def __init__(
        self, flow: CompiledFlow, schedule: Schedule, settings: ScheduleSettings, services: SourceServices
    ) -> None:
        self.status = SourceStatus()
        self._flow = flow
        self._schedule = schedule
        self._settings = settings
        self._services = services
        self._clock = services.engine.clock
        times = settings.model_dump(mode="json", exclude=set(ScheduleSettings.model_fields))
        self._identity = hashlib.sha256(canonical(times)).hexdigest()[:16]

    def try_again(self) -> None:
        """Do nothing: a schedule never waits for anything but its time."""

    async def run(self) -> None:
        """See `Source`."""
        progress = await self._begin()
        while (next_at := self._schedule.after(progress.at)) is not None:
            self.status.next_at = next_at
            await sleep_until(self._clock, next_at)
            progress = await self._catch_up(progress)
            self.status.error, self.status.failures = None, 0
        self.status.next_at = None
        self._services.engine.log.warning("a schedule has no further times", flow_id=self._flow.id)

    async def _begin(self) -> SourceProgress:
        """Return the progress. The times before a schedule was new or changed don't count as missed."""
        known = await self._services.progress(self._flow)
        if known is not None and known.identity == self._identity:
            self.status.last_at = known.previous
            return known
        previous = None if known is None else known.previous
        progress = SourceProgress(self._flow.trigger.use, self._identity, self._clock.now(), previous)
        await self._services.store(self._flow, (), progress)
        return progress

    async def _catch_up(self, progress: SourceProgress) -> SourceProgress:
        """Fire for the times that are due."""
        now = self._clock.now()
        last = self._schedule.until(now)
        if last is None or last <= progress.at:
            # The clock was put back.
            return progress
        for at in self._due(progress.at, last, now):
            if await self._may_fire():
                progress = await self._fire(progress, at)
        if progress.at < last:
            log = self._services.engine.log
            log.warning("runs of a schedule are left out", flow_id=self._flow.id, until=rfc3339(last))
            progress = msgspec.structs.replace(progress, at=last)
            await self._services.store(self._flow, (), progress)
        return progress

    def _due(self, after: datetime, last: datetime, now: datetime) -> list[datetime]:
        """The times after `after` and up to `last` for which the schedule fires."""
        if self._settings.missed == "once":
            return [last]
        if self._settings.missed == "skip":
            return [last] if (now - last).total_seconds() <= PUNCTUAL else []
        times: list[datetime] = []
        at: datetime | None = last
        while at is not None and at > after and len(times) < MISSED_KEPT:
            times.append(at)
            at = self._schedule.until(at - datetime.resolution)
        return times[::-1]

    async def _may_fire(self) -> bool:
        """True unless runs must not overlap and enough of them are queued. The order key keeps them apart."""
        if self._settings.overlap or self._settings.missed == "all":
            return True
        room = 1 if self._settings.missed == "skip" else 2
        store = self._services.engine.store
        return await store.queue_depth(self._flow.id, ONE_AT_A_TIME, room) < room

    async def _fire(self, progress: SourceProgress, at: datetime) -> SourceProgress:
        now = self._clock.now()
        envelope = schedule_envelope(self._flow, scheduled_at=at, previous_at=progress.previous, now=now)
        progress = msgspec.structs.replace(progress, at=at, previous=at)
        await self._services.store(self._flow, (envelope,), progress)
        self.status.last_at = at
        return progress
