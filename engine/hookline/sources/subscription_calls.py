"""Calling the functions of a plugin that subscribe, unsubscribe and renew: whatever they do is one of a few things."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from hookline.credentials.tokens import CredentialTokens
from hookline.discovery.registry import Registry
from hookline.executions.services import Services
from hookline.flows.documents.model_problems import model_problems
from hookline.kernel.cancellation import cancelled_externally
from hookline.kernel.errors import CredentialError, HooklineError, StepError, StoreError
from hookline.kernel.json import canonical, decode
from hookline.model.sources import ID_BYTES, Asked
from hookline.plugin_host.facade import TriggerLog
from hookline.plugin_host.results import NotJson, to_json
from hookline.sdk.triggers import Subscription, SubscriptionContext, WebhookTrigger
from hookline.secrets.masking import HiddenValues, secret_values
from hookline.sources.trigger_credential import credential_of

F = TypeVar("F")


class CallFailed(Exception):
    """A call failed."""

    def __init__(self, message: str, *, rejected: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.rejected = rejected
        """Nothing came of it, and nothing comes of the same again."""
        self.retry_after = retry_after


class Given(msgspec.Struct, frozen=True):
    """A subscription that a plugin gave, its parts checked."""

    id: msgspec.Raw
    secret: str
    """Empty where it gave none."""
    expires_at: datetime | None


class SubscriptionCalls:
    """Calls them for one flow."""

    def __init__(self, flow_id: str, registry: Registry, engine: Services, describe: Callable[[str], str]) -> None:
        self._flow_id = flow_id
        self._registry = registry
        self._engine = engine
        self._describe = describe

    def trigger(self, asked: Asked) -> WebhookTrigger:
        """The trigger that was asked for. Raises CallFailed where it isn't there, or can't be used."""
        trigger = self._registry.triggers.get(asked.trigger)
        if not isinstance(trigger, WebhookTrigger):
            raise CallFailed(
                f"there is no trigger {asked.trigger!r} that subscribes; install the plugin that brings it",
                rejected=True,
            )
        if trigger.unavailable is not None:
            raise CallFailed(f"{trigger.name}: {trigger.unavailable}", rejected=True)
        return trigger

    def check(self, asked: Asked) -> None:
        """Raise CallFailed where what a call needs isn't there, so that it can't even begin."""
        self._context(self.trigger(asked), asked, "", None, self._engine.clock.now())

    async def subscribe(self, asked: Asked, secret: str, known: msgspec.Raw | None) -> Given:
        """Let the provider send. Raises CallFailed."""
        trigger = self.trigger(asked)
        try:
            arguments = trigger.arguments(decode(bytes(asked.given)))
        except ValidationError as error:
            problems = "; ".join(map(str, model_problems(trigger.own, decode(bytes(asked.given)), "", error)))
            raise CallFailed(f"{trigger.name}: its settings don't fit any more: {problems}", rejected=True) from None
        context = self._context(trigger, asked, secret, known, self._engine.clock.now())
        subscribe = _there(trigger.subscribe)
        given = self._given(
            trigger, await self._call(trigger, lambda: subscribe(context, **arguments), _hidden(context))
        )
        if given is None:
            raise self._defect(trigger, "it gave None, and no Subscription")
        if not (given.secret or secret or known == given.id):
            raise self._defect(trigger, "it gave no secret, although it says that the provider makes it")
        return given

    async def unsubscribe(self, asked: Asked, secret: str, known: msgspec.Raw) -> None:
        """Let the provider send no more. Raises CallFailed."""
        trigger = self.trigger(asked)
        context = self._context(trigger, asked, secret, known, self._engine.clock.now())
        unsubscribe = _there(trigger.unsubscribe)
        await self._call(trigger, lambda: unsubscribe(context), _hidden(context))

    async def renew(self, asked: Asked, secret: str, known: msgspec.Raw) -> Given | None:
        """Look after what is subscribed; None where it isn't any more. Raises CallFailed."""
        trigger = self.trigger(asked)
        context = self._context(trigger, asked, secret, known, self._engine.clock.now())
        renew = _there(trigger.renew)
        return self._given(trigger, await self._call(trigger, lambda: renew(context), _hidden(context)))

    def _context(
        self, trigger: WebhookTrigger, asked: Asked, secret: str, known: msgspec.Raw | None, now: datetime
    ) -> SubscriptionContext[Any]:
        engine = self._engine
        try:
            credential = credential_of(engine, trigger, asked.credential)
        except HooklineError as error:
            raise CallFailed(error.message, rejected=True) from error
        tokens = credential.tokens
        return SubscriptionContext(
            credential=credential.value,
            credential_type=credential.type,
            http=engine.http,
            log=TriggerLog(engine.log, self._flow_id, trigger.name, credential.hidden),
            resources=engine.resources,
            flow_id=self._flow_id,
            url=asked.url,
            secret=secret,
            known=None if known is None else decode(bytes(known)),
            now=now,
            tokens=tokens,
        )

    async def _call(self, trigger: WebhookTrigger, call: Callable[[], Awaitable[Any]], hidden: HiddenValues) -> Any:
        """Raises CallFailed for whatever comes of it."""
        limit = trigger.timeout.total_seconds()
        try:
            async with asyncio.timeout(limit) as deadline:
                return await self._engine.calls.run("trigger", trigger.name, call(), flow_id=self._flow_id)
        except StepError as error:
            rejected = not (error.retryable or error.outcome_unknown)
            text = hidden.mask_text(f"{error.error_code}: {error.message}")
            raise CallFailed(text, rejected=rejected, retry_after=error.retry_after) from None
        except (StoreError, CredentialError) as error:
            raise CallFailed(hidden.mask_text(error.message)) from None
        except GeneratorExit:
            raise
        except BaseException as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                raise CallFailed(f"{trigger.name} took longer than {limit:g} s") from None
            if isinstance(error, asyncio.CancelledError) and cancelled_externally():
                raise
            # What else it raises is a defect of its connector, which must not end the engine.
            self._engine.calls.fault("trigger", trigger.name, "defect")
            plugin = self._describe(trigger.name)
            log = TriggerLog(self._engine.log, self._flow_id, trigger.name, hidden)
            log.error("connector defect", plugin=plugin, exc_info=True)
            raise self._defect(trigger, hidden.mask_text(f"{type(error).__name__}: {error}")) from None

    def _given(self, trigger: WebhookTrigger, given: Any) -> Given | None:
        if given is None:
            return None
        if not isinstance(given, Subscription):
            raise self._defect(trigger, f"it gave {type(given).__name__}, and no Subscription")
        try:
            id_ = canonical(to_json(given.id, "the id of its Subscription"))
        except NotJson as error:
            raise self._defect(trigger, str(error)) from None
        if len(id_) > ID_BYTES:
            raise self._defect(trigger, f"the id of its Subscription has {len(id_)} bytes; at most {ID_BYTES}")
        if given.expires_at is not None and given.expires_at.tzinfo is None:
            raise self._defect(trigger, "its expires_at has no time zone")
        if given.secret is not None and not (isinstance(given.secret, str) and given.secret):
            raise self._defect(trigger, "its secret is no text, or an empty one")
        return Given(msgspec.Raw(id_), given.secret or "", given.expires_at)

    def _defect(self, trigger: WebhookTrigger, message: str) -> CallFailed:
        return CallFailed(f"{trigger.name} of {self._describe(trigger.name)} has a defect: {message}")


def _there(function: F | None) -> F:
    """A function of a trigger's: it wouldn't have been registered without, or it is asked for only where it is."""
    if function is None:
        raise CallFailed("the trigger has no such function")
    return function


def _hidden(context: SubscriptionContext[Any]) -> HiddenValues:
    """What no message of its errors may show."""
    hidden = context.tokens.hidden if isinstance(context.tokens, CredentialTokens) else HiddenValues()
    hidden.add([*secret_values(context.credential), *([context.secret] if context.secret else [])])
    return hidden
