"""The parts that all sources share: their status and progress, their credential, and the storing of their messages."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from hookline.discovery.registry import Registry
from hookline.executions.services import Services
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import with_keys
from hookline.intake.intake import Intake
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import RequestRejected, SchemaViolation, StoreError
from hookline.kernel.json import encode
from hookline.model.message import Attachment, Envelope, stored_body
from hookline.sdk.settings.setting_upgrades import plain_name
from hookline.sources.subscription_store import SubscriptionStore
from hookline.storage.change_declarations import Change, SetCursor
from hookline.telemetry.rejections import RejectionRecord

#: The longest sleep: the system's clock may be set meanwhile.
_LONGEST_SLEEP: Final = timedelta(seconds=60)
_LOOK: Final = 1.0
"""Seconds after which a clock that may have been set is looked at again."""


class SourceProgress(msgspec.Struct, frozen=True, omit_defaults=True):
    """The progress of a flow's source, as the store keeps it."""

    trigger: str
    """The trigger's name."""
    identity: str
    """A hash of the settings to which the progress belongs; with other settings the source begins anew."""
    at: datetime
    """A schedule has handled its times up to this one; a poll had its last result at this time."""
    previous: datetime | None = None
    """The time of a schedule's last run."""
    cursor: msgspec.Raw = msgspec.Raw(b"null")
    """A poll's cursor."""
    baseline: bool = False
    """True while a poll goes through the items that existed when it began, which start nothing."""


@dataclass(slots=True)
class SourceStatus:
    """The status of a flow's source, as the admin API shows it."""

    last_at: datetime | None = None
    """The time at which it last fired, polled, stored messages, subscribed or renewed its subscription."""
    next_at: datetime | None = None
    error: str | None = None
    """The error of its last try, or of its connection."""
    failures: int = 0
    """The number of failures in a row."""
    listening: bool | None = None
    """True while it is connected to its broker; None if it has no broker."""
    subscribed: bool | None = None
    """True while its provider has the subscription; None if it needs none."""


class Source(Protocol):
    """A source of one flow. It starts executions, or keeps a subscription with a provider."""

    status: SourceStatus

    async def run(self) -> None:
        """Continue from the stored progress until cancelled; return if nothing more can come. Raises StoreError."""
        ...

    def try_again(self) -> None:
        """Try at once instead of waiting: a credential or a file has changed."""
        ...


@dataclass(frozen=True, slots=True)
class SourceServices:
    """The parts of the engine that sources use."""

    engine: Services
    intake: Intake
    rejections: RejectionRecord
    registry: Registry
    subscriptions: SubscriptionStore
    public_url: str
    public_url_set: bool
    """False if `public_url` is only a guess, which no provider can be told."""

    async def progress(self, flow: CompiledFlow) -> SourceProgress | None:
        """Return the progress of the flow's source; None if it is new or its trigger changed. Raises StoreError."""
        stored = await self.engine.store.cursor(flow.id)
        if stored is None:
            return None
        progress = decode_progress(stored)
        return progress if plain_name(progress.trigger) == plain_name(flow.trigger.use) else None

    async def store(
        self, flow: CompiledFlow, envelopes: Sequence[Envelope], progress: SourceProgress, *changes: Change
    ) -> int:
        """Store messages together with the source's progress, as soon as there is room; return the number of new ones.

        A message that the flow's schema or its `order_by` rejects is recorded as rejected. `changes` are committed with
        the progress.
        """
        valid: list[Envelope] = []
        for each in envelopes:
            try:
                valid.append(await self.checked(flow, each))
            except SchemaViolation as violation:
                body = stored_body(each)
                self.reject(flow, violation, each.dedupe_key, body.encode() if isinstance(body, str) else body)
        while valid and (wait := self.intake.seconds_until_room(flow, len(valid))) > 0:
            await self.engine.clock.sleep(min(wait, _LONGEST_SLEEP.total_seconds()))
        changes = (SetCursor(flow.id, encode(progress), self.engine.clock.now()), *changes)
        while True:
            try:
                return await self.intake.store_from_source(flow, valid, *changes)
            except StoreError as error:
                # The commit may have taken place. The same commit again does no harm; another one might.
                self.engine.store_problem.report(error, flow_id=flow.id)
                await self.engine.clock.sleep(STORE_RETRY)

    async def checked(self, flow: CompiledFlow, envelope: Envelope) -> Envelope:
        """Return a message with its keys. Raises SchemaViolation if the flow's schema or `order_by` rejects it."""
        await self.engine.body_checker.check(flow, envelope.message.body, patience=None)
        return with_keys(flow, envelope)

    def reject(
        self, flow: CompiledFlow, rejected: RequestRejected, key: str | None, data: bytes, *, keep: bool = False
    ) -> str:
        """Count and record a rejected message, and return the reason.

        `data` is its body, whose beginning is kept if `keep`.
        """
        detail = "; ".join([rejected.message, *map(str, rejected.problems[:5])])
        self.engine.log.error("a message of a trigger is rejected", flow_id=flow.id, error=detail)
        self.engine.metrics.rejected(flow.id, rejected.code)
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


_PROGRESS: Final = msgspec.json.Decoder(SourceProgress)


def decode_progress(stored: bytes) -> SourceProgress:
    """Decode the progress that the store has."""
    return _PROGRESS.decode(stored)


def plain_text(text: str) -> str:
    """Return the text with escapes instead of halves of surrogate pairs, which no store can keep.

    So texts that differ still do, such as the ids of two messages.
    """
    return text.encode("utf-8", "backslashreplace").decode()


def plain_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of a message as texts that can be stored; their names are in lower case."""
    return {plain_text(str(name)).lower(): plain_text(str(value)) for name, value in headers.items()}


def plain_attachments(attachments: Iterable[Any]) -> tuple[Attachment, ...]:
    """Return the attachments of a message with names that can be stored. Raises TypeError if one is none."""
    return tuple(map(_plain_attachment, attachments))


def _plain_attachment(attachment: Any) -> Attachment:
    if not isinstance(attachment, Attachment):
        raise TypeError(f"{attachment!r:.60} is not an Attachment")
    name, filename, media = attachment.name, attachment.filename, attachment.type
    filename = None if filename is None else plain_text(filename)
    return msgspec.structs.replace(attachment, name=plain_text(name), filename=filename, type=plain_text(media))


async def sleep_for(clock: Clock, wait: timedelta, waker: asyncio.Event | None = None) -> None:
    """Sleep for so long, however the clock is set meanwhile, or until `waker` is set."""
    # The time counts from now, not from the moment at which the task begins.
    await _first(_sleep_to(clock, clock.monotonic() + wait.total_seconds()), waker)


async def sleep_until(clock: Clock, at: datetime, waker: asyncio.Event | None = None) -> None:
    """Sleep until a time of the clock, which may be set meanwhile, or until `waker` is set."""
    await _first(_sleep(clock, at), waker)


async def _first(sleep: Coroutine[Any, Any, None], waker: asyncio.Event | None) -> None:
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(sleep)]
    if waker is not None:
        tasks.append(asyncio.ensure_future(waker.wait()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _sleep_to(clock: Clock, end: float) -> None:
    await clock.sleep(max(0.0, end - clock.monotonic()))


async def _sleep(clock: Clock, at: datetime) -> None:
    while (left := (at - clock.now()).total_seconds()) > 0:
        await clock.sleep(min(left, _LOOK))
