"""The source of a flow with a broker: its messages are stored, many in one commit, and acknowledged afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Final, cast

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY, Backoff
from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import CredentialError, HooklineError, StepError, StoreError
from hookline.model.sources import ConsumeSettings
from hookline.outbound.exact_numbers_client import ExactClient
from hookline.plugin_host.plugin_calls import PluginDefect
from hookline.plugin_host.plugin_loggers import TriggerLog
from hookline.sdk.triggers import BrokerMessage, ConsumeContext, ConsumeTrigger, Payload
from hookline.secrets.credential_reach import HostRule
from hookline.secrets.masking import HiddenValues
from hookline.sources.broker_messages import DecodedMessage, MessageBuffer, MessageDecoder, ReceivedMessage
from hookline.sources.source import SourceServices, SourceStatus, plain_text, sleep_for

_BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(minutes=1))
_LONGEST_ASKED: Final = timedelta(hours=1)
#: A connection that lasted so long ends a series of failures.
_STABLE: Final = timedelta(minutes=1)
_FULL: Final = 0.1
"""Seconds until it checks again if the flow has room."""
_CLOSE: Final = 10.0
"""Seconds within which a cancelled function must end."""
_REASON: Final = 1.0
"""Seconds within which a function may report the reason for a lost connection."""
_ACKNOWLEDGE: Final = 30.0
"""Seconds within which the messages of one commit must be acknowledged."""
_BYTES: Final = 8 * 1024 * 1024
"""The largest size of the messages in one commit, in bytes, unless the first is larger."""
_UNSWEPT: Final = timedelta(minutes=30)
"""The time for which the files of a message are safe before its commit. The sweeper removes unused files after an
hour."""


class _Failed(Exception):
    """The connection can't be made, or is lost."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = plain_text(message)
        self.retry_after = retry_after


class _Unacknowledged(_Failed):
    """Messages can't be acknowledged. Only another connection makes the broker deliver them again."""


class ConsumeSource:
    """Starts executions of one flow with the messages that a broker delivers."""

    def __init__(
        self, flow: CompiledFlow, trigger: ConsumeTrigger, settings: ConsumeSettings, services: SourceServices
    ) -> None:
        self.status = SourceStatus(listening=False)
        self._flow = flow
        self._trigger = trigger
        self._settings = settings
        self._services = services
        self._clock = services.engine.clock
        self._again = asyncio.Event()
        self._listening = asyncio.Event()
        self._failures = 0
        self._credential: tuple[Any, HostRule | None] = None, None
        """The credential of the connection, and the hosts to which it may be sent."""
        self._hidden = HiddenValues()
        """The secrets of the connection's credential."""
        self._buffer = MessageBuffer(settings.prefetch)
        self._hanging: asyncio.Task[_Failed] | None = None
        self._decoder = MessageDecoder(flow, trigger, settings, services)

    def try_again(self) -> None:
        """See `Source`."""
        if not self.status.listening:
            self._again.set()
            return
        name = self._flow.trigger.credential
        try:
            access = self._services.engine.credential_access
            found = access.of(name, self._trigger, flow_id=self._flow.id)
            changed = (found.value, found.hosts) != self._credential
        except HooklineError:
            changed = True
        if changed:
            # The present connection uses the old credential.
            self._buffer.close()

    async def run(self) -> None:
        """See `Source`."""
        try:
            while True:
                began = self._clock.now()
                try:
                    await self._connection()
                except _Failed as failure:
                    await self._back_off(failure, began)
        finally:
            self._services.engine.metrics.no_connection(self._flow.id)

    async def _connection(self) -> None:
        """Store the messages of one connection. Raises _Failed; returns if another connection is to be made at once."""
        if self._hanging is not None and not self._hanging.done():
            raise self._defect("it still runs although it was cancelled, so that it can't be started again")
        self._listening.clear()
        self._buffer = buffer = MessageBuffer(self._settings.prefetch)
        context = self._context()
        receiving = asyncio.create_task(self._receive(context, buffer), name=f"{self._trigger.name} of {self._flow.id}")
        failed: _Failed | None = None
        try:
            await self._connected(receiving)
            await self._store_messages(buffer)
        except _Unacknowledged as error:
            failed = error
            # The function knows best why messages can't be acknowledged.
            await asyncio.wait((receiving,), timeout=_REASON)
        except _Failed as error:
            failed = error
        finally:
            # The messages under way are acknowledged by now. No others can be.
            ended = await self._end(receiving)
            buffer.close()
            if rest := await buffer.wait():
                # The broker doesn't deliver these again.
                await shielded(self._store_last(rest))
        if (failure := ended or failed) is not None:
            raise failure

    async def _connected(self, receiving: "asyncio.Task[_Failed]") -> None:
        limit = self._settings.connect_timeout.total_seconds()
        listening = asyncio.create_task(self._listening.wait())
        try:
            done, _ = await asyncio.wait((listening, receiving), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if not done:
            raise _Failed(f"{self._trigger.name} doesn't listen after {limit:g} s")

    def _set_listening(self) -> None:
        if self._listening.is_set():
            return
        self._listening.set()
        status, engine = self.status, self._services.engine
        engine.metrics.connection(self._flow.id, "listening")
        engine.log.info("a trigger listens", flow_id=self._flow.id, trigger=self._trigger.name)
        status.listening, status.error, status.failures, status.next_at = True, None, 0, None

    async def _back_off(self, failure: _Failed, began: datetime) -> None:
        status, engine, now = self.status, self._services.engine, self._clock.now()
        lost = self._listening.is_set()
        self._failures = 1 if lost and now - began >= _STABLE else self._failures + 1
        wait = _BACKOFF.wait(self._failures, failure.retry_after, longest_asked=_LONGEST_ASKED)
        self._again.clear()
        status.listening, status.error, status.failures = False, failure.message, self._failures
        status.next_at = now + wait
        engine.metrics.connection(self._flow.id, "lost" if lost else "failed")
        engine.log.error(
            "a trigger has lost its broker; trying again" if lost else "a trigger can't listen; trying again",
            flow_id=self._flow.id,
            trigger=self._trigger.name,
            error=failure.message,
            failures=self._failures,
            wait=wait.total_seconds(),
        )
        await sleep_for(self._clock, wait, self._again)

    async def _receive(self, context: ConsumeContext[Any], buffer: MessageBuffer) -> _Failed:
        """Run the plugin's function, and buffer the messages that it yields; return the reason for its end."""
        trigger = self._trigger
        if trigger.unavailable is not None or trigger.run is None:
            buffer.close()
            return _Failed(f"{trigger.name}: {trigger.unavailable or 'there is nothing to run'}")
        arguments = trigger.arguments(self._settings)
        if "ctx" in trigger.leading:
            arguments["ctx"] = context
        engine, calls = self._services.engine, self._services.engine.plugin_calls
        try:
            with calls.contain(
                "trigger",
                trigger.name,
                hidden=self._hidden,
                log=lambda: TriggerLog(engine.log, self._flow.id, trigger.name, self._hidden),
            ):
                # Closed in the same task: context managers that the function has entered can't be left in another.
                async with aclosing(cast("AsyncGenerator[Any, None]", trigger.run(**arguments))) as messages:
                    async for message in messages:
                        if not isinstance(message, BrokerMessage):
                            return self._defect(f"it yielded {type(message).__name__} instead of a BrokerMessage")
                        self._set_listening()
                        await buffer.put(ReceivedMessage(message, self._clock.now()))
            return self._defect("it returned; it must yield while it is connected, and then raise StepError")
        except StepError as error:
            return _Failed(f"{error.error_code}: {error.message}", error.retry_after)
        except (StoreError, CredentialError, PluginDefect) as error:
            return _Failed(self._hidden.mask_text(error.message))
        finally:
            buffer.close()

    async def _end(self, receiving: "asyncio.Task[_Failed]") -> _Failed | None:
        """End the plugin's function; return the failure with which it ended before, if it did."""
        ended = receiving.done()
        receiving.cancel()
        done, _ = await asyncio.wait((receiving,), timeout=_CLOSE)
        if not done:
            self._hanging = receiving
            failure = self._defect(f"it doesn't end within {_CLOSE:g} s after it is cancelled")
            self._services.engine.log.error("connector defect", trigger=self._trigger.name, error=failure.message)
            return None
        if receiving.cancelled():
            return None
        # The result is retrieved in any case, so that asyncio doesn't log an exception that was never retrieved.
        failure = receiving.result()
        return failure if ended else None

    async def _store_messages(self, buffer: MessageBuffer) -> None:
        """Store messages until no more come. Raises _Failed."""
        while received := await buffer.wait():
            room = self._services.intake.room(self._flow, len(received))
            if room:
                await self._commit(received[: _within_bytes(received[:room])], buffer)
            else:
                await self._clock.sleep(_FULL)

    async def _commit(self, received: Sequence[ReceivedMessage], buffer: MessageBuffer) -> None:
        decoded = await self._decode(received)
        while True:
            if any(one.has_files and self._clock.now() - one.received.received_at > _UNSWEPT for one in decoded):
                raise _Failed("messages with files have waited too long for the store; the broker delivers them again")
            try:
                acknowledged = await shielded(self._store_and_acknowledge(decoded, buffer))
            except StoreError as error:
                await self._wait_for_store(error)
                continue
            if not acknowledged:
                raise _Unacknowledged("messages can't be acknowledged; the broker delivers them again")
            return

    async def _decode(self, received: Sequence[ReceivedMessage]) -> list[DecodedMessage]:
        decoded: list[DecodedMessage] = []
        for one in received:
            while True:
                try:
                    decoded.append(await self._decoder.decode(one))
                    break
                except StoreError as error:
                    await self._wait_for_store(error)
        return decoded

    async def _wait_for_store(self, error: StoreError) -> None:
        # The commit may have taken place. Repeating it does no harm.
        self._services.engine.store_problem.report(error, flow_id=self._flow.id)
        await self._clock.sleep(STORE_RETRY)

    async def _store_last(self, received: Sequence[ReceivedMessage]) -> None:
        """Store messages that would be lost otherwise, without regard to limits."""
        try:
            decoded = [await self._decoder.decode(one) for one in received]
            await self._services.intake.store_from_source(self._flow, self._decoder.envelopes(decoded))
        except StoreError as error:
            self._services.engine.log.error(
                "messages are lost that the broker doesn't deliver again", flow_id=self._flow.id, error=error.message
            )

    async def _store_and_acknowledge(self, decoded: Sequence[DecodedMessage], buffer: MessageBuffer) -> bool:
        """Commit, and acknowledge; return False if messages can't be acknowledged. Raises StoreError."""
        envelopes = self._decoder.envelopes(decoded)
        if envelopes:
            await self._services.intake.store_from_source(self._flow, envelopes)
            self.status.last_at = self._clock.now()
            self._failures = 0
        buffer.remove([one.received for one in decoded])
        errors: list[str] = []
        try:
            async with asyncio.timeout(_ACKNOWLEDGE):
                errors = [error for one in decoded if (error := await self._acknowledge(one)) is not None]
        except TimeoutError:
            errors = [f"it takes longer than {_ACKNOWLEDGE:g} s"]
        if errors:
            self._services.engine.log.warning(
                "messages can't be acknowledged; the broker delivers them again",
                flow_id=self._flow.id,
                trigger=self._trigger.name,
                messages=len(errors),
                error=errors[0],
            )
        return not errors

    async def _acknowledge(self, one: DecodedMessage) -> str | None:
        """Tell the broker that a message is accepted or rejected; return the error if that fails."""
        message, calls, name = one.received.message, self._services.engine.plugin_calls, self._trigger.name
        try:
            # An exception means that the connection is lost, and is not a defect.
            with calls.contain("trigger", name, passing=(Exception,), hidden=self._hidden):
                if one.rejected is not None and message.rejected is not None:
                    await calls.call("trigger", name, message.rejected(one.rejected), flow_id=self._flow.id)
                elif message.accepted is not None:
                    await calls.call("trigger", name, message.accepted(), flow_id=self._flow.id)
        except Exception as error:  # noqa: BLE001 - see above
            return self._hidden.mask_text(str(error)) or type(error).__name__
        return None

    def _context(self) -> ConsumeContext[Any]:
        engine = self._services.engine
        try:
            credential = engine.credential_access.of(
                self._flow.trigger.credential, self._trigger, flow_id=self._flow.id
            )
        except HooklineError as error:
            raise _Failed(error.message) from error
        self._credential = credential.value, credential.hosts
        self._hidden = credential.hidden
        return ConsumeContext(
            credential=credential.value,
            credential_type=credential.type,
            http=ExactClient(credential.http) if self._flow.exact else credential.http,
            blobs=engine.blobs,
            log=TriggerLog(engine.log, self._flow.id, self._trigger.name, self._hidden),
            resources=credential.resources,
            flow_id=self._flow.id,
            prefetch=self._settings.prefetch,
            listening=self._set_listening,
            exact=self._flow.exact,
            tokens=credential.tokens,
        )

    def _defect(self, message: str) -> _Failed:
        return _Failed(self._services.engine.plugin_calls.defect("trigger", self._trigger.name, message).message)


def _within_bytes(received: Sequence[ReceivedMessage]) -> int:
    """Return how many of the first messages fit into one commit; at least one."""
    left = _BYTES
    for count, one in enumerate(received):
        body = one.message.body
        left -= len(body.data) if isinstance(body, Payload) and isinstance(body.data, bytes) else 0
        if left < 0 and count:
            return count
    return len(received)
