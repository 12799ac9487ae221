"""What triggers have in common that do something by themselves: how far they got, and how their messages come in."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from hookline.executions.services import Services
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.envelopes import with_order_key
from hookline.intake.intake import Intake
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import RequestRejected, SchemaViolation, StoreError
from hookline.kernel.json import encode
from hookline.kernel.time import Clock
from hookline.model.message import Envelope
from hookline.sdk.setting_versions import plain_name
from hookline.storage.changes import SetCursor
from hookline.telemetry.rejections import RejectionRecord

#: The longest sleep: the system's clock may be set.
_LONGEST: Final = timedelta(seconds=60)


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a flow's trigger has got, as its cursor keeps it."""

    trigger: str
    """Its name."""
    identity: str
    """A hash of the settings with which it got there; with others it begins anew."""
    at: datetime
    """A schedule's times up to this one are done with; for a poll, when it last gave something."""
    previous: datetime | None = None
    """The time of a schedule's last run."""
    cursor: msgspec.Raw = msgspec.Raw(b"null")
    """Of a poll."""


@dataclass(slots=True)
class SourceStatus:
    """How a flow's trigger is doing."""

    last_at: datetime | None = None
    """When it last fired, looked, or took messages in, or was subscribed or renewed."""
    next_at: datetime | None = None
    error: str | None = None
    """Why what it did last failed, or its connection."""
    failures: int = 0
    """How many have failed in a row."""
    listening: bool | None = None
    """Whether it is connected to its broker; None where it has none."""


class Source(Protocol):
    """What starts executions of a flow by itself, or lets somebody start them."""

    status: SourceStatus

    async def run(self) -> None:
        """Go on from where it got, for ever; returns where nothing can come any more. Raises StoreError."""
        ...

    def try_again(self) -> None:
        """What it lacked may be there now."""
        ...


@dataclass(frozen=True, slots=True)
class SourceServices:
    """What sources need of the engine."""

    engine: Services
    intake: Intake
    rejections: RejectionRecord
    describe: Callable[[str], str]
    """The plugin that gave a trigger, with distribution and version."""

    async def progress(self, flow: CompiledFlow) -> Progress | None:
        """How far the flow's trigger got; None where it is another now, or never began. Raises StoreError."""
        kept = await self.engine.store.cursor(flow.id)
        if kept is None:
            return None
        progress = _progress.decode(kept)
        return progress if plain_name(progress.trigger) == plain_name(flow.trigger.use) else None

    async def take_in(self, flow: CompiledFlow, envelopes: Sequence[Envelope], progress: Progress) -> int:
        """Make messages durable together with how far the trigger got, as soon as there is room for them.

        Gives how many were new. One that the flow's schema or its order rejects is recorded as rejected.
        """
        taken = [envelope for given in envelopes if (envelope := self._fit(flow, given)) is not None]
        while taken and (wait := self.intake.seconds_until_room(flow, len(taken))) > 0:
            await self.engine.clock.sleep(min(wait, _LONGEST.total_seconds()))
        change = SetCursor(flow.id, encode(progress), self.engine.clock.now())
        while True:
            try:
                return await self.intake.store_from_source(flow, taken, change)
            except StoreError as error:
                # Whether it took place isn't known: the same again does no harm, and something else might.
                self.engine.log.error(
                    "a trigger's messages can't be stored; trying again", flow_id=flow.id, error=error.message
                )
                await self.engine.clock.sleep(STORE_RETRY)

    def _fit(self, flow: CompiledFlow, envelope: Envelope) -> Envelope | None:
        try:
            flow.check_body(envelope.message.body)
            return with_order_key(flow, envelope)
        except SchemaViolation as violation:
            self.reject(flow, violation, envelope.dedupe_key, envelope.body_json or b"")
            return None

    def reject(
        self, flow: CompiledFlow, rejected: RequestRejected, key: str | None, data: bytes, *, keep: bool = False
    ) -> str:
        """Record that a message is rejected; gives why. `data`: what it brought, the beginning of which may be kept."""
        detail = "; ".join([rejected.message, *map(str, rejected.problems[:5])])
        self.engine.log.error("a message of a trigger is rejected", flow_id=flow.id, error=detail)
        self.rejections.add(
            flow.id,
            code=rejected.code,
            status=rejected.status,
            detail=detail,
            method=flow.trigger.use,
            path=key or "",
            size=len(data),
            body=data if keep and flow.redaction_rules is None else None,
        )
        return detail


_progress: Final = msgspec.json.Decoder(Progress)


async def sleep_until(clock: Clock, at: datetime, waker: asyncio.Event | None = None) -> None:
    """Return at a time of the clock's, however it is set meanwhile; or as soon as `waker` is set."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(_nap(clock, at))]
    if waker is not None:
        tasks.append(asyncio.ensure_future(waker.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nap(clock: Clock, at: datetime) -> None:
    while (left := (at - clock.now()).total_seconds()) > 0:
        await clock.sleep(min(left, _LONGEST.total_seconds()))
