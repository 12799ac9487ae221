"""A flow's broker: its messages are made durable, many in one commit, and acknowledged after that."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Final, cast

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY, Backoff
from hookline.kernel.cancellation import cancelled_externally, shielded
from hookline.kernel.errors import CredentialError, HooklineError, StepError, StoreError
from hookline.model.sources import ConsumeSettings
from hookline.outbound.exact_numbers import ExactClient
from hookline.plugin_host.facade import TriggerLog
from hookline.sdk.triggers import BrokerMessage, ConsumeContext, ConsumeTrigger, Payload
from hookline.secrets.masking import HiddenValues
from hookline.sources.broker_messages import Delivered, Deliveries, Held, Inbox
from hookline.sources.source import SourceServices, SourceStatus, sleep_until
from hookline.sources.trigger_credential import credential_of

#: The wait after a connection is lost; after each further one it is twice as long.
_BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(minutes=1))
_LONGEST_ASKED: Final = timedelta(hours=1)
#: A connection that has held for so long is no failure that follows on another.
_HELD: Final = timedelta(minutes=1)
_FULL: Final = 0.1
"""Seconds until it is asked again whether a flow has room."""
_CLOSE: Final = 10.0
"""Seconds that a function has to end."""
_REASON: Final = 1.0
"""Seconds in which a function may say by itself why a connection is lost."""
_TELL: Final = 30.0
"""Seconds in which a broker has to be told what became of the messages of one commit."""
_BYTES: Final = 8 * 1024 * 1024
"""Bytes of messages in one commit, unless the first has more."""
_UNSWEPT: Final = timedelta(minutes=30)
"""For how long files of a message are safe that nothing refers to: they are swept an hour after they came at the
earliest."""


class _Failed(Exception):
    """The connection can't be made, or is lost."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class _Untold(_Failed):
    """The broker can't be told what became of messages, so that over this connection they never come again."""


class ConsumeSource:
    """Starts executions of one flow with what a broker delivers."""

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
        self._credential: Any = None
        self._hidden = HiddenValues()
        """What is secret of the connection's credential."""
        self._inbox = Inbox(settings.prefetch)
        self._left: asyncio.Task[_Failed] | None = None
        self._deliveries = Deliveries(flow, trigger, settings, services)

    def try_again(self) -> None:
        """See `Source`."""
        if not self.status.listening:
            self._again.set()
            return
        name = self._flow.trigger.credential
        try:
            changed = name is not None and self._services.engine.secrets.get(name)[1] != self._credential
        except HooklineError:
            changed = True
        if changed:
            # Who was connected with it before mustn't stay so.
            self._inbox.close()

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
        """Take in what comes over one connection. Raises _Failed; returns where another is to be made at once."""
        if self._left is not None and not self._left.done():
            raise self._defect("it goes on although it was told to end, so that it can't begin anew")
        self._listening.clear()
        self._inbox = inbox = Inbox(self._settings.prefetch)
        context = self._context()
        pump = asyncio.create_task(self._pump(context, inbox), name=f"{self._trigger.name} of {self._flow.id}")
        failed: _Failed | None = None
        try:
            await self._connected(pump)
            await self._take_in(inbox)
        except _Untold as error:
            failed = error
            # Why the broker can't be told, the function knows best.
            await asyncio.wait((pump,), timeout=_REASON)
        except _Failed as error:
            failed = error
        finally:
            # What is under way is acknowledged by now, and nothing else can be.
            ended = await self._end(pump)
            inbox.close()
            if rest := await inbox.some():
                # The broker has forgotten them.
                await shielded(self._keep_last(rest))
        if (failure := ended or failed) is not None:
            raise failure

    async def _connected(self, pump: "asyncio.Task[_Failed]") -> None:
        limit = self._settings.connect_timeout.total_seconds()
        listening = asyncio.create_task(self._listening.wait())
        try:
            done, _ = await asyncio.wait((listening, pump), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if not done:
            raise _Failed(f"{self._trigger.name} doesn't listen after {limit:g} s")

    def _is_listening(self) -> None:
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
        self._failures = 1 if lost and now - began >= _HELD else self._failures + 1
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
        await sleep_until(self._clock, status.next_at, self._again)

    async def _pump(self, context: ConsumeContext[Any], inbox: Inbox) -> _Failed:
        """Run the plugin's function, and hand on what it yields. Gives what came of it."""
        trigger = self._trigger
        if trigger.unavailable is not None or trigger.run is None:
            inbox.close()
            return _Failed(f"{trigger.name}: {trigger.unavailable or 'there is nothing to run'}")
        arguments = trigger.arguments(self._settings)
        if "ctx" in trigger.leading:
            arguments["ctx"] = context
        try:
            # Closed in the task that goes through it: what it has entered may be left nowhere else.
            async with aclosing(cast("AsyncGenerator[Any, None]", trigger.run(**arguments))) as deliveries:
                async for delivery in deliveries:
                    if not isinstance(delivery, BrokerMessage):
                        return self._defect(f"it yielded {type(delivery).__name__}, and no BrokerMessage")
                    self._is_listening()
                    await inbox.put(Held(delivery, self._clock.now()))
            return self._defect("it ended; it is to yield for as long as it is connected, and to raise StepError else")
        except StepError as error:
            return _Failed(self._hidden.mask_text(f"{error.error_code}: {error.message}"), error.retry_after)
        except (StoreError, CredentialError) as error:
            return _Failed(self._hidden.mask_text(error.message))
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and cancelled_externally():
                raise
            # What else it raises is a defect of its connector, which must not end the engine.
            log = TriggerLog(self._services.engine.log, self._flow.id, trigger.name, self._hidden)
            log.error("connector defect", plugin=self._services.describe(trigger.name), exc_info=True)
            return self._defect(self._hidden.mask_text(f"{type(error).__name__}: {error}"))
        finally:
            inbox.close()

    async def _end(self, pump: "asyncio.Task[_Failed]") -> _Failed | None:
        """End the plugin's function; gives why it has ended by itself, if it has."""
        ended = pump.done()
        pump.cancel()
        done, _ = await asyncio.wait((pump,), timeout=_CLOSE)
        if not done:
            self._left = pump
            failure = self._defect(f"it doesn't end within {_CLOSE:g} s although it is cancelled")
            self._services.engine.log.error("connector defect", trigger=self._trigger.name, error=failure.message)
            return None
        if pump.cancelled():
            return None
        # The result is taken in any case, so that nothing is said of one that was never looked at.
        failure = pump.result()
        return failure if ended else None

    async def _take_in(self, inbox: Inbox) -> None:
        """Make durable what comes, until nothing comes any more. Raises _Failed."""
        while held := await inbox.some():
            room = self._services.intake.room(self._flow, len(held))
            if room:
                await self._commit(held[: _within_bytes(held[:room])], inbox)
            else:
                await self._clock.sleep(_FULL)

    async def _commit(self, held: Sequence[Held], inbox: Inbox) -> None:
        delivered = await self._read(held)
        while True:
            if any(one.holds_files and self._clock.now() - one.held.came_at > _UNSWEPT for one in delivered):
                raise _Failed("messages with files have waited too long for the store; they are taken anew")
            try:
                told = await shielded(self._settle(delivered, inbox))
            except StoreError as error:
                await self._store_away(error)
                continue
            if not told:
                raise _Untold("the broker can't be told what became of messages; they come again")
            return

    async def _read(self, held: Sequence[Held]) -> list[Delivered]:
        delivered: list[Delivered] = []
        for one in held:
            while True:
                try:
                    delivered.append(await self._deliveries.read(one))
                    break
                except StoreError as error:
                    await self._store_away(error)
        return delivered

    async def _store_away(self, error: StoreError) -> None:
        # Whether it took place isn't known: the same again does no harm.
        log = self._services.engine.log
        log.error("a trigger's messages can't be stored; trying again", flow_id=self._flow.id, error=error.message)
        await self._clock.sleep(STORE_RETRY)

    async def _keep_last(self, held: Sequence[Held]) -> None:
        """Make durable what would be lost, whether there is room or not, for there is no later."""
        try:
            await self._services.intake.store_from_source(
                self._flow, self._deliveries.new([await self._deliveries.read(one) for one in held])
            )
        except StoreError as error:
            self._services.engine.log.error(
                "messages are lost that the broker doesn't keep", flow_id=self._flow.id, error=error.message
            )

    async def _settle(self, delivered: Sequence[Delivered], inbox: Inbox) -> bool:
        """Commit, and tell the broker; gives whether that could be done. Raises StoreError."""
        envelopes = self._deliveries.new(delivered)
        if envelopes:
            await self._services.intake.store_from_source(self._flow, envelopes)
            self.status.last_at = self._clock.now()
            self._failures = 0
        inbox.done([one.held for one in delivered])
        untold: list[str] = []
        try:
            async with asyncio.timeout(_TELL):
                untold = [error for one in delivered if (error := await self._tell(one)) is not None]
        except TimeoutError:
            untold = [f"it takes longer than {_TELL:g} s"]
        if untold:
            self._services.engine.log.warning(
                "a broker can't be told what became of messages; they come again",
                flow_id=self._flow.id,
                trigger=self._trigger.name,
                messages=len(untold),
                error=untold[0],
            )
        return not untold

    async def _tell(self, one: Delivered) -> str | None:
        """Tell the broker what became of a message; gives why that couldn't be done."""
        delivery, calls = one.held.delivery, self._services.engine.calls
        try:
            # Contained: one that doesn't heed its cancellation would keep every flow's trigger from ending.
            if one.rejected is not None and delivery.rejected is not None:
                await calls.run("trigger", self._trigger.name, delivery.rejected(one.rejected), flow_id=self._flow.id)
            elif delivery.accepted is not None:
                await calls.run("trigger", self._trigger.name, delivery.accepted(), flow_id=self._flow.id)
        except (Exception, asyncio.CancelledError, SystemExit) as error:
            if isinstance(error, asyncio.CancelledError) and cancelled_externally():
                raise
            return self._hidden.mask_text(str(error)) or type(error).__name__
        return None

    def _context(self) -> ConsumeContext[Any]:
        engine = self._services.engine
        try:
            credential = credential_of(engine, self._trigger, self._flow.trigger.credential)
        except HooklineError as error:
            raise _Failed(error.message) from error
        tokens = credential.tokens
        self._credential = credential.value
        self._hidden = credential.hidden
        return ConsumeContext(
            credential=credential.value,
            credential_type=credential.type,
            http=ExactClient(engine.http) if self._flow.exact else engine.http,
            blobs=engine.blobs,
            log=TriggerLog(engine.log, self._flow.id, self._trigger.name, self._hidden),
            resources=engine.resources,
            flow_id=self._flow.id,
            prefetch=self._settings.prefetch,
            listening=self._is_listening,
            exact=self._flow.exact,
            tokens=tokens,
        )

    def _defect(self, message: str) -> _Failed:
        self._services.engine.calls.fault("trigger", self._trigger.name, "defect")
        return _Failed(f"{self._trigger.name} of {self._services.describe(self._trigger.name)} has a defect: {message}")


def _within_bytes(held: Sequence[Held]) -> int:
    """How many, from the first on, have together no more bytes than a commit is to have; one at least."""
    left = _BYTES
    for count, one in enumerate(held):
        body = one.delivery.body
        left -= len(body.data) if isinstance(body, Payload) and isinstance(body.data, bytes) else 0
        if left < 0 and count:
            return count
    return len(held)
