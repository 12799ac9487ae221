"""The source of a flow with a poll: it calls the trigger's function again and again, and stores the new items."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import msgspec

from hookline.credentials.used_credential import UsedCredential
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import poll_envelope
from hookline.kernel.backoff import Backoff
from hookline.kernel.errors import CredentialError, HooklineError, StepError, StoreError
from hookline.kernel.ids import derived_id
from hookline.kernel.json import canonical, is_heavy_value
from hookline.model.message import Envelope, Message
from hookline.model.sources import CURSOR_BYTES, ITEMS, PollSettings
from hookline.outbound.exact_numbers_client import ExactClient
from hookline.plugin_host.plugin_calls import PluginDefect, PluginTimeout
from hookline.plugin_host.plugin_loggers import TriggerLog
from hookline.plugin_host.result_conversion import NotJson, to_json
from hookline.sdk.poll import PollContext, PollItem, PollResult, PollTrigger
from hookline.secrets.masking import HiddenValues
from hookline.sources.poll_start import begin_poll, poll_identity
from hookline.sources.source import (
    SourceProgress,
    SourceServices,
    SourceStatus,
    plain_attachments,
    plain_headers,
    plain_text,
    sleep_for,
)
from hookline.storage.change_declarations import TakeDedupeKeys

#: The wait after the first failure; it doubles with each further one.
_FIRST_WAIT: Final = timedelta(seconds=30)
_LONGEST_WAIT: Final = timedelta(hours=1)
"""The longest wait, unless the interval between polls is longer."""


class _Failed(Exception):
    """A poll failed."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = plain_text(message)
        self.retry_after = retry_after


class PollSource:
    """Starts executions of one flow with the items that its poll returns."""

    def __init__(
        self, flow: CompiledFlow, trigger: PollTrigger, settings: PollSettings, services: SourceServices
    ) -> None:
        self.status = SourceStatus()
        self._flow = flow
        self._trigger = trigger
        self._settings = settings
        self._services = services
        self._clock = services.engine.clock
        self._again = asyncio.Event()
        self._identity = poll_identity(trigger, settings)

    def try_again(self) -> None:
        """See `Source`."""
        if self.status.failures:
            self._again.set()

    async def run(self) -> None:
        """See `Source`."""
        known = await self._services.progress(self._flow)
        if known is None or known.identity != self._identity:
            known = await self._begin()
        cursor, baseline = known.cursor, known.baseline
        while True:
            began = self._clock.now()
            try:
                polled = await self._poll(cursor, began, baseline=baseline)
                envelopes, following = await self._read(polled, began)
            except _Failed as failure:
                await self._back_off(failure, began)
                continue
            self._succeeded(began)
            moved = bool(polled.items) or following != cursor
            # A poll that says that there is more, but returns nothing new, must not be called in an endless loop.
            more = polled.more and moved
            if baseline:
                baseline = more
                await self._pass_over(envelopes, self._progress(began, following, baseline=baseline))
            elif moved:
                new = await self._services.store(self._flow, envelopes, self._progress(began, following))
                self._services.engine.log.info("a poll found items", flow_id=self._flow.id, items=new)
            cursor = following
            if not more:
                self.status.next_at = began + self._settings.every
                await sleep_for(self._clock, self.status.next_at - self._clock.now())

    async def _begin(self) -> SourceProgress:
        """Begin the poll: for the first time, or anew because what it polls has changed."""
        now, existing = self._clock.now(), self._settings.existing
        store, log = self._services.engine.store, self._services.engine.log
        progress, restart = await begin_poll(store, self._flow, self._identity, existing=existing, at=now)
        if restart is not None:
            log.warning(
                "a poll starts anew, because the flow polls something else",
                flow_id=self._flow.id,
                trigger=self._trigger.name,
                settings=list(restart.changed),
                existing_items="start executions" if restart.existing else "count as seen",
            )
        return progress

    def _progress(self, at: datetime, cursor: msgspec.Raw, *, baseline: bool = False) -> SourceProgress:
        return SourceProgress(self._trigger.name, self._identity, at, cursor=cursor, baseline=baseline)

    async def _pass_over(self, envelopes: Sequence[Envelope], progress: SourceProgress) -> None:
        """Let items count as seen: they start nothing, also if the poll returns them again."""
        found = (one.dedupe_key for one in envelopes if one.dedupe_key is not None)
        # No execution has such an id.
        keys = tuple((derived_id(progress.at, self._flow.id, "seen", key), key) for key in found)
        until = progress.at + self._settings.dedupe_window
        taken = (TakeDedupeKeys(self._flow.id, keys, progress.at, until),) if keys else ()
        await self._services.store(self._flow, (), progress, *taken)
        self._services.engine.log.info(
            "a poll passed over items that exist already", flow_id=self._flow.id, items=len(keys)
        )

    def _succeeded(self, at: datetime) -> None:
        self._services.engine.metrics.polled(self._flow.id, "ok")
        if self.status.failures:
            self._services.engine.log.info("polls work again", flow_id=self._flow.id, failures=self.status.failures)
        self.status.last_at, self.status.error, self.status.failures = at, None, 0

    async def _back_off(self, failure: _Failed, at: datetime) -> None:
        status = self.status
        status.last_at, status.error, status.failures = at, failure.message, status.failures + 1
        longest = max(_LONGEST_WAIT, self._settings.every)
        wait = Backoff(_FIRST_WAIT, longest).wait(status.failures, failure.retry_after, longest_asked=longest)
        status.next_at = self._clock.now() + wait
        self._services.engine.metrics.polled(self._flow.id, "failed")
        self._services.engine.log.error(
            "a poll failed; trying again",
            flow_id=self._flow.id,
            trigger=self._trigger.name,
            error=failure.message,
            failures=status.failures,
            wait=wait.total_seconds(),
        )
        await sleep_for(self._clock, wait, self._again)
        self._again.clear()

    async def _poll(self, cursor: msgspec.Raw, now: datetime, *, baseline: bool) -> PollResult:
        """Call the plugin's function. Raises _Failed for every error."""
        trigger, limit = self._trigger, self._settings.timeout.total_seconds()
        if trigger.unavailable is not None or trigger.run is None:
            raise _Failed(f"{trigger.name}: {trigger.unavailable or 'there is nothing to run'}")
        arguments, hidden = trigger.arguments(self._settings), HiddenValues()
        if "ctx" in trigger.leading:
            credential = self._credential()
            arguments["ctx"], hidden = self._context(credential, now, baseline=baseline), credential.hidden
        if "cursor" in trigger.leading:
            # Decoded for each call, so that the function may change its copy.
            arguments["cursor"] = self._flow.numbers.decode(bytes(cursor))
        engine, flow_id = self._services.engine, self._flow.id
        calls, log = engine.plugin_calls, lambda: TriggerLog(engine.log, flow_id, trigger.name, hidden)
        try:
            with calls.contain("trigger", trigger.name, hidden=hidden, log=log):
                work = trigger.run(**arguments)
                return await calls.call("trigger", trigger.name, work, timeout=limit, flow_id=flow_id)
        except StepError as error:
            raise _Failed(f"{error.error_code}: {error.message}", error.retry_after) from error
        except (StoreError, CredentialError, PluginTimeout, PluginDefect) as error:
            raise _Failed(error.message) from error

    def _credential(self) -> UsedCredential:
        try:
            access = self._services.engine.credential_access
            return access.of(self._flow.trigger.credential, self._trigger, flow_id=self._flow.id)
        except HooklineError as error:
            raise _Failed(error.message) from error

    def _context(self, credential: UsedCredential, now: datetime, *, baseline: bool) -> PollContext[Any]:
        engine = self._services.engine
        return PollContext(
            credential=credential.value,
            credential_type=credential.type,
            http=ExactClient(credential.http) if self._flow.exact else credential.http,
            blobs=engine.blobs,
            log=TriggerLog(engine.log, self._flow.id, self._trigger.name, credential.hidden),
            resources=credential.resources,
            files_root=engine.files_root,
            flow_id=self._flow.id,
            now=now,
            exact=self._flow.exact,
            tokens=credential.tokens,
            baseline=baseline,
        )

    async def _read(self, polled: Any, now: datetime) -> tuple[Sequence[Envelope], msgspec.Raw]:
        """Return the envelopes of a result, and the cursor as JSON. Raises _Failed if the result is invalid."""
        if not isinstance(polled, PollResult):
            raise self._defect(f"it returned {type(polled).__name__} instead of a PollResult")
        if len(polled.items) > ITEMS:
            raise self._defect(
                f"it returned {len(polled.items)} items; at most {ITEMS} at once, and the rest with more=True"
            )
        large = any(is_heavy_value(getattr(item, "body", None)) for item in polled.items)
        try:
            cursor = msgspec.Raw(canonical(to_json(polled.cursor, "cursor", exact=self._flow.exact)))
            envelopes = await self._services.engine.offloader.run(
                partial(self._envelopes, polled.items, now), large=large
            )
        except UnicodeEncodeError as error:
            raise self._defect(f"a text in its cursor or in the body of an item is no Unicode: {error}") from error
        except (NotJson, AttributeError, TypeError) as error:
            raise self._defect(str(error)) from error
        if len(bytes(cursor)) > CURSOR_BYTES:
            raise self._defect(f"its cursor has {len(bytes(cursor))} bytes; at most {CURSOR_BYTES}")
        return envelopes, cursor

    def _envelopes(self, items: Sequence[PollItem], now: datetime) -> list[Envelope]:
        """Return the envelopes of items.

        Raises NotJson, AttributeError, TypeError and UnicodeEncodeError if one is invalid.
        """
        messages: dict[str, Envelope] = {}
        for place, item in enumerate(items):
            # Each is accepted a microsecond after the one before, so that they run in this order.
            envelope = self._envelope(item, now, now - (len(items) - place) * datetime.resolution)
            # The second of two items with the same id is a duplicate.
            messages.setdefault(item.id, envelope)
        return list(messages.values())

    def _envelope(self, item: PollItem, now: datetime, accepted_at: datetime) -> Envelope:
        if not isinstance(item, PollItem) or not isinstance(item.id, str):
            raise NotJson(f"{item!r:.60} is not a PollItem whose id is text")
        body = to_json(item.body, f"the body of item {item.id!r:.60}", exact=self._flow.exact)
        if type(body) is str:
            # It is stored as it is, so no JSON is made here that would fail.
            body.encode()
        return poll_envelope(
            self._flow,
            Message(body, plain_headers(item.headers), plain_attachments(item.attachments)),
            use=self._trigger.name,
            item_id=plain_text(item.id),
            polled_at=now,
            accepted_at=accepted_at,
            dedupe_window=self._settings.dedupe_window,
        )

    def _defect(self, message: str) -> _Failed:
        return _Failed(self._services.engine.plugin_calls.defect("trigger", self._trigger.name, message).message)
