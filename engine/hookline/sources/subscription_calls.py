"""Calls of a trigger's functions that subscribe, unsubscribe and renew. All that they can raise is CallFailed."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from pydantic import ValidationError

from hookline.credentials.access_tokens import CredentialTokens
from hookline.flows.documents.model_problems import model_problems
from hookline.kernel.errors import CredentialError, HooklineError, StepError, StoreError
from hookline.kernel.json import canonical, decode
from hookline.model.sources import ID_BYTES, SubscriptionRequest
from hookline.plugin_host.plugin_calls import PluginDefect, PluginTimeout
from hookline.plugin_host.plugin_loggers import TriggerLog
from hookline.plugin_host.result_conversion import NotJson, to_json
from hookline.sdk.triggers import Subscription, SubscriptionContext, WebhookTrigger
from hookline.secrets.masking import HiddenValues, secret_values
from hookline.sources.source import SourceServices, plain_text

F = TypeVar("F")


class CallFailed(Exception):
    """A call of a trigger's function failed."""

    def __init__(self, message: str, *, rejected: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = plain_text(message)
        self.rejected = rejected
        """The call had no effect, and repeating it can't help."""
        self.retry_after = retry_after


class CheckedSubscription(msgspec.Struct, frozen=True):
    """A subscription that a plugin returned, with its parts checked."""

    id: msgspec.Raw
    secret: str
    """Empty if the plugin returned none."""
    expires_at: datetime | None


class SubscriptionCalls:
    """The calls for one flow."""

    def __init__(self, flow_id: str, services: SourceServices) -> None:
        self._flow_id = flow_id
        self._services = services
        self._engine = services.engine

    def trigger(self, request: SubscriptionRequest) -> WebhookTrigger:
        """Return the trigger of a request. Raises CallFailed if it isn't installed, or can't be used."""
        trigger = self._services.registry.triggers.get(request.trigger)
        if not isinstance(trigger, WebhookTrigger):
            raise CallFailed(
                f"there is no trigger {request.trigger!r} that subscribes; install the plugin that has it",
                rejected=True,
            )
        if trigger.unavailable is not None:
            raise CallFailed(f"{trigger.name}: {trigger.unavailable}", rejected=True)
        return trigger

    def check(self, request: SubscriptionRequest) -> None:
        """Raise CallFailed if the trigger or the credential of a request is missing."""
        self._context(self.trigger(request), request, "", None, self._engine.clock.now())

    async def subscribe(
        self, request: SubscriptionRequest, secret: str, known: msgspec.Raw | None
    ) -> CheckedSubscription:
        """Subscribe with the provider. Raises CallFailed."""
        trigger = self.trigger(request)
        try:
            arguments = trigger.arguments(decode(bytes(request.settings)))
        except ValidationError as error:
            problems = "; ".join(map(str, model_problems(trigger.own, decode(bytes(request.settings)), "", error)))
            raise CallFailed(f"{trigger.name}: its settings are no longer valid: {problems}", rejected=True) from None
        context = self._context(trigger, request, secret, known, self._engine.clock.now())
        subscribe = _existing(trigger.subscribe)
        made = self._checked(
            trigger, await self._call(trigger, lambda: subscribe(context, **arguments), _hidden(context))
        )
        if made is None:
            raise self._defect(trigger, "it returned None instead of a Subscription")
        if not (made.secret or secret or known == made.id):
            raise self._defect(trigger, "it returned no secret, although it declares that the provider makes it")
        return made

    async def unsubscribe(self, request: SubscriptionRequest, secret: str, known: msgspec.Raw) -> None:
        """Remove a subscription from the provider. Raises CallFailed."""
        trigger = self.trigger(request)
        context = self._context(trigger, request, secret, known, self._engine.clock.now())
        unsubscribe = _existing(trigger.unsubscribe)
        await self._call(trigger, lambda: unsubscribe(context), _hidden(context))

    async def renew(self, request: SubscriptionRequest, secret: str, known: msgspec.Raw) -> CheckedSubscription | None:
        """Renew a subscription; return None if the provider has it no longer. Raises CallFailed."""
        trigger = self.trigger(request)
        context = self._context(trigger, request, secret, known, self._engine.clock.now())
        renew = _existing(trigger.renew)
        return self._checked(trigger, await self._call(trigger, lambda: renew(context), _hidden(context)))

    def _context(
        self,
        trigger: WebhookTrigger,
        request: SubscriptionRequest,
        secret: str,
        known: msgspec.Raw | None,
        now: datetime,
    ) -> SubscriptionContext[Any]:
        engine = self._engine
        try:
            credential = engine.credential_access.of(request.credential, trigger, flow_id=self._flow_id)
        except HooklineError as error:
            raise CallFailed(error.message, rejected=True) from error
        return SubscriptionContext(
            credential=credential.value,
            credential_type=credential.type,
            http=credential.http,
            log=TriggerLog(engine.log, self._flow_id, trigger.name, credential.hidden),
            resources=credential.resources,
            flow_id=self._flow_id,
            url=request.url,
            secret=secret,
            known=None if known is None else decode(bytes(known)),
            now=now,
            tokens=credential.tokens,
        )

    async def _call(self, trigger: WebhookTrigger, call: Callable[[], Awaitable[Any]], hidden: HiddenValues) -> Any:
        """Call a plugin's function. Raises CallFailed for every error."""
        engine, calls = self._engine, self._engine.plugin_calls
        limit = trigger.timeout.total_seconds()
        try:
            with calls.contain(
                "trigger",
                trigger.name,
                hidden=hidden,
                log=lambda: TriggerLog(engine.log, self._flow_id, trigger.name, hidden),
            ):
                return await calls.call("trigger", trigger.name, call(), timeout=limit, flow_id=self._flow_id)
        except StepError as error:
            rejected = not (error.retryable or error.outcome_unknown)
            text = f"{error.error_code}: {error.message}"
            raise CallFailed(text, rejected=rejected, retry_after=error.retry_after) from None
        except (StoreError, CredentialError, PluginTimeout, PluginDefect) as error:
            raise CallFailed(hidden.mask_text(error.message)) from None

    def _checked(self, trigger: WebhookTrigger, made: Any) -> CheckedSubscription | None:
        if made is None:
            return None
        if not isinstance(made, Subscription):
            raise self._defect(trigger, f"it returned {type(made).__name__} instead of a Subscription")
        try:
            id_ = canonical(to_json(made.id, "the id of its Subscription"))
        except NotJson as error:
            raise self._defect(trigger, str(error)) from None
        if len(id_) > ID_BYTES:
            raise self._defect(trigger, f"the id of its Subscription has {len(id_)} bytes; at most {ID_BYTES}")
        if made.expires_at is not None and made.expires_at.tzinfo is None:
            raise self._defect(trigger, "its expires_at has no time zone")
        if made.secret is not None and not (isinstance(made.secret, str) and made.secret):
            raise self._defect(trigger, "its secret is empty or no text")
        return CheckedSubscription(msgspec.Raw(id_), made.secret or "", made.expires_at)

    def _defect(self, trigger: WebhookTrigger, message: str) -> CallFailed:
        return CallFailed(self._engine.plugin_calls.defect("trigger", trigger.name, message).message)


def _existing(function: F | None) -> F:
    """Return a trigger's function. Registration, or the caller, has checked that the trigger has it."""
    if function is None:
        raise CallFailed("the trigger has no such function")
    return function


def _hidden(context: SubscriptionContext[Any]) -> HiddenValues:
    """The secrets that no message of an error may show."""
    hidden = context.tokens.hidden if isinstance(context.tokens, CredentialTokens) else HiddenValues()
    hidden.add([*secret_values(context.credential), *([context.secret] if context.secret else [])])
    return hidden
