"""Running one action or one trigger of a plugin, without an engine."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel

from hookline.discovery.registry import Registry
from hookline.flows.types.return_type_check import return_type_mismatch
from hookline.kernel.errors import ConfigError, StepError
from hookline.kernel.ids import idempotency_key
from hookline.kernel.json import JsonValue
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.model.message import Attachment, Message
from hookline.model.sources import ConsumeSettings
from hookline.outbound.egress import Egress
from hookline.plugin_host.large_value_work import Offloader
from hookline.plugin_host.resources import EngineResources
from hookline.plugin_host.result_conversion import normalize_result, to_json
from hookline.sdk.action import Context, Reply
from hookline.sdk.connector import Connector
from hookline.sdk.context_parts import check_key, packed
from hookline.sdk.http_client import HttpClient
from hookline.sdk.poll import PollContext, PollItem, PollResult
from hookline.sdk.settings.function_signatures import SettingSources
from hookline.sdk.triggers import (
    BrokerMessage,
    ConsumeContext,
    ConsumeTrigger,
    Payload,
    Subscription,
    SubscriptionContext,
    WebhookTrigger,
)
from hookline.secrets.masking import secret_values
from hookline.sources.broker_messages import PayloadReader
from hookline.testing.clock import ManualClock
from hookline.testing.fake_access_tokens import TOKEN, FakeTokens
from hookline.testing.fake_http import FakeHttp

SUBSCRIPTION_URL: Final = "https://hooks.example.com/hook/flow"
"""The URL that the harness subscribes."""
SUBSCRIPTION_SECRET: Final = "0123456789abcdef" * 4
"""The secret with which the provider signs; empty if the provider creates it."""


class MemoryState:
    """A `FlowState` in memory."""

    def __init__(self) -> None:
        self.values: dict[str, JsonValue] = {}

    async def get(self, key: str) -> JsonValue:
        """See `FlowState`."""
        return self.values.get(check_key(key))

    async def set(self, key: str, value: JsonValue) -> None:
        """See `FlowState`."""
        check_key(key)
        packed(key, value)
        self.values[key] = value


class ListLog:
    """A `Log` that keeps what is logged: level, event, fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("error", event, fields))


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The result of an action, as later steps see it."""

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    attachments: tuple[Any, ...] = ()
    signal: Any = None
    """The signal that it returned in place of a result."""


@dataclass(frozen=True, slots=True)
class ConsumedMessage:
    """A message of a broker, as the flow sees it."""

    body: Any = None
    id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


class Harness:
    """Runs the actions and triggers of installed plugins, with parts that a test can look into."""

    def __init__(self, registry: Registry, http: HttpClient | None = None) -> None:
        """`registry`: the result of `load_plugins`. `http`: a `FakeHttp` by default."""
        self.registry = registry
        self.http = http if http is not None else FakeHttp()
        self.clock = ManualClock()
        self.step_id = "step"
        """The step that runs actions: with another one, `ctx.idempotency_key` is another."""
        self.state = MemoryState()
        self.log = ListLog()
        self.resources = _resources()
        self.tokens: FakeTokens | None = None
        """The access tokens of the last action or poll; None if its connector doesn't use OAuth 2."""
        self._folder = tempfile.TemporaryDirectory(prefix="hookline-harness-")
        self.files_root = Path(self._folder.name) / "files"
        """The folder of actions that read and write files."""
        self.files_root.mkdir()
        factory = registry.blob_stores.get("file")
        if factory is None:
            raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
        self.blobs = factory(f"file://{self._folder.name}/blobs", clock=self.clock)

    async def run_action(
        self,
        name: str,
        /,
        *,
        credential: Mapping[str, Any] | BaseModel | None = None,
        message: Message | None = None,
        with_: Mapping[str, Any] | None = None,
        access_token: str | None = TOKEN,
        **settings: Any,
    ) -> ActionResult:
        """Run an action with settings as a step would give them; `with_` has those named like a parameter here.

        `access_token`: what `ctx.access_token` gives where the connector has OAuth 2; None: nobody has authorized it.

        Raises StepError, and whatever else the action raises as it is.
        """
        action = self.registry.actions.get(name)
        if action is None:
            raise ConfigError(
                f"there is no action {name!r} ({did_you_mean(name, self.registry.actions, 'see `hookline plugins`')})"
            )
        message = message if message is not None else Message(None, {})
        sources = SettingSources(message)
        arguments = action.arguments(action.validated({**settings, **(with_ or {})}, sources))
        if action.takes_context:
            value = self._credential(action.credential, credential)
            arguments["ctx"] = Context(
                credential=value,
                credential_type=action.credential_types[0] if value is not None and action.credential_types else None,
                message=message,
                http=self.http,
                blobs=self.blobs,
                log=self.log,
                execution_id="execution",
                step_id=self.step_id,
                attempt=1,
                idempotency_key=idempotency_key("execution", self.step_id),
                state=self.state,
                resources=self.resources,
                files_root=self.files_root,
                tokens=self._tokens(action.credential, value, access_token),
            )
        returned = action.run(**arguments)
        if hasattr(returned, "__aiter__"):
            return ActionResult([to_json(item) async for item in returned])
        result: Any = await returned
        if (wrong := return_type_mismatch(action.returns, result)) is not None:
            raise TypeError(f"{name} doesn't give what it says: {wrong}")
        if hasattr(result, "__aiter__"):
            return ActionResult([to_json(item) async for item in result])
        if isinstance(result, Reply) and hasattr(result.body, "__aiter__"):
            result = replace(result, body=[item async for item in result.body])
        given = normalize_result(result)
        if not isinstance(given, Reply):
            return ActionResult(signal=given)
        kept = message.attachments if given.attachments is None else given.attachments
        return ActionResult(given.body, given.headers, given.extra, tuple(kept))

    async def run_poll(
        self,
        name: str,
        /,
        *,
        cursor: Any = None,
        credential: Mapping[str, Any] | BaseModel | None = None,
        access_token: str | None = TOKEN,
        baseline: bool = False,
        **settings: Any,
    ) -> PollResult:
        """Run a poll once; gives its items, and the cursor to give it the next time. Raises as an action does.

        `access_token`: as for an action. `baseline`: only find out what exists, as when a flow begins to poll.
        """
        trigger = self.registry.triggers.get(name)
        run, leading = getattr(trigger, "run", None), getattr(trigger, "leading", ())
        if trigger is None or run is None:
            raise ConfigError(f"there is no poll {name!r} ({did_you_mean(name, self.registry.triggers)})")
        poll: Any = trigger
        arguments = poll.arguments(poll.validated(settings))
        if "ctx" in leading:
            value = self._credential(poll.credential, credential)
            arguments["ctx"] = PollContext(
                credential=value,
                http=self.http,
                blobs=self.blobs,
                log=self.log,
                resources=self.resources,
                files_root=self.files_root,
                flow_id="flow",
                now=self.clock.now(),
                tokens=self._tokens(poll.credential, value, access_token),
                baseline=baseline,
            )
        if "cursor" in leading:
            arguments["cursor"] = to_json(cursor)
        polled = await run(**arguments)
        if not isinstance(polled, PollResult):
            raise StepError(f"{name} gave {type(polled).__name__}, and no PollResult", code="connector.defect")
        items = [PollItem(one.id, to_json(one.body), one.headers, one.attachments) for one in polled.items]
        return PollResult(items, to_json(polled.cursor, "cursor"), polled.more)

    async def run_subscribe(
        self,
        name: str,
        /,
        *,
        known: Any = None,
        credential: Mapping[str, Any] | BaseModel | None = None,
        **settings: Any,
    ) -> Subscription:
        """Let a trigger subscribe, for `SUBSCRIPTION_URL` and with `SUBSCRIPTION_SECRET`. Raises as an action does.

        `known`: the `id` of the Subscription that it gave before.
        """
        trigger = self._webhook(name)
        arguments = trigger.arguments(settings)
        if trigger.subscribe is None:
            raise ConfigError(f"{name} has no function that subscribes")
        context = self._subscription(trigger, credential, known)
        return self._subscribed(name, await trigger.subscribe(context, **arguments))

    async def run_unsubscribe(
        self, name: str, known: Any, /, *, credential: Mapping[str, Any] | BaseModel | None = None
    ) -> None:
        """Let a trigger remove the subscription with the `id` that it gave. Raises as an action does."""
        trigger = self._webhook(name)
        if trigger.unsubscribe is None:
            raise ConfigError(f"{name} has no function that unsubscribes")
        await trigger.unsubscribe(self._subscription(trigger, credential, known))

    async def run_renew(
        self, name: str, known: Any, /, *, credential: Mapping[str, Any] | BaseModel | None = None
    ) -> Subscription | None:
        """Let a trigger look after the subscription with the `id` that it gave; None where it is gone."""
        trigger = self._webhook(name)
        if trigger.renew is None:
            raise ConfigError(f"{name} has no function that renews")
        given = await trigger.renew(self._subscription(trigger, credential, known))
        return None if given is None else self._subscribed(name, given)

    def _webhook(self, name: str) -> WebhookTrigger:
        trigger = self.registry.triggers.get(name)
        if not isinstance(trigger, WebhookTrigger):
            raise ConfigError(
                f"there is no trigger {name!r} that subscribes ({did_you_mean(name, self.registry.triggers)})"
            )
        return trigger

    def _subscription(
        self, trigger: WebhookTrigger, credential: Mapping[str, Any] | BaseModel | None, known: Any
    ) -> SubscriptionContext[Any]:
        value = self._credential(trigger.credential, credential)
        return SubscriptionContext(
            credential=value,
            http=self.http,
            log=self.log,
            resources=self.resources,
            flow_id="flow",
            url=SUBSCRIPTION_URL,
            secret="" if trigger.gives_secret else SUBSCRIPTION_SECRET,
            known=to_json(known),
            now=self.clock.now(),
            tokens=self._tokens(trigger.credential, value, TOKEN),
        )

    def _subscribed(self, name: str, given: Any) -> Subscription:
        if not isinstance(given, Subscription):
            raise StepError(f"{name} gave {type(given).__name__}, and no Subscription", code="connector.defect")
        return replace(given, id=to_json(given.id, "the id of its Subscription"))

    async def run_consumer(
        self,
        name: str,
        count: int,
        /,
        *,
        credential: Mapping[str, Any] | BaseModel | None = None,
        reject: str | None = None,
        timeout: float = 30.0,
        **settings: Any,
    ) -> list[ConsumedMessage]:
        """Let a trigger listen to its broker until it has given so many messages; each is acknowledged.

        With a `count` of 0 it ends once it listens. `reject` says why a flow rejects them all. Raises what the trigger
        raises, and TimeoutError after so many seconds.
        """
        trigger = self.registry.triggers.get(name)
        if not isinstance(trigger, ConsumeTrigger) or trigger.run is None:
            raise ConfigError(f"no trigger {name!r} consumes ({did_you_mean(name, self.registry.triggers)})")
        given = trigger.settings.model_validate(settings)
        arguments = trigger.arguments(given)
        listening = asyncio.Event()
        if "ctx" in trigger.leading:
            arguments["ctx"] = ConsumeContext(
                credential=self._credential(trigger.credential, credential),
                http=self.http,
                blobs=self.blobs,
                log=self.log,
                resources=self.resources,
                flow_id="flow",
                prefetch=given.prefetch,
                listening=listening.set,
            )
        taking = asyncio.create_task(self._take(trigger.run(**arguments), given, count, reject))
        waiting = asyncio.create_task(listening.wait())
        try:
            waited = {taking, waiting} if count == 0 else {taking}
            await asyncio.wait(waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
            if listening.is_set() and count == 0:
                return []
            raise TimeoutError(f"{name} has given fewer than {count} messages in {timeout:g} s")
        finally:
            taking.cancel()
            waiting.cancel()
            await asyncio.wait((taking, waiting))

    async def _take(
        self, deliveries: AsyncIterator[Any], settings: ConsumeSettings, count: int, reject: str | None
    ) -> list[ConsumedMessage]:
        reader = PayloadReader(self.blobs, Offloader(), settings.body, settings.numbers == "exact", settings.max_body)
        found: list[ConsumedMessage] = []
        async with aclosing(cast("AsyncGenerator[Any, None]", deliveries)) as coming:
            async for delivery in coming:
                if not isinstance(delivery, BrokerMessage):
                    raise StepError(
                        f"it yielded {type(delivery).__name__}, and no BrokerMessage", code="connector.defect"
                    )
                found.append(await _came(delivery, reader))
                if reject is not None and delivery.rejected is not None:
                    await delivery.rejected(reject)
                elif delivery.accepted is not None:
                    await delivery.accepted()
                if len(found) >= count > 0:
                    return found
        raise StepError("it ended, and is to yield for as long as it is connected", code="connector.defect")

    def _credential(
        self, model: type[BaseModel] | None, given: Mapping[str, Any] | BaseModel | None
    ) -> BaseModel | None:
        value = model.model_validate(given) if model is not None and isinstance(given, Mapping) else given
        if value is not None and isinstance(self.http, FakeHttp):
            self.http.hide(secret_values(value))
        return value if isinstance(value, BaseModel) else None

    def _tokens(
        self, model: type[BaseModel] | None, value: BaseModel | None, access_token: str | None
    ) -> FakeTokens | None:
        self.tokens = None
        has_tokens = any(
            connector.credential is model and connector.oauth2 is not None
            for connector in self.registry.connectors.values()
        )
        if value is not None and has_tokens:
            self.tokens = FakeTokens(self.http, access_token or "", lost=access_token is None)
        return self.tokens

    async def close_resources(self) -> None:
        """Close what the plugin keeps open; what runs next opens it anew."""
        await self.resources.close()
        self.resources = _resources()

    async def close(self) -> None:
        """Close what was opened."""
        await self.resources.close()
        await self.blobs.close()
        self._folder.cleanup()


async def _came(delivery: BrokerMessage, reader: PayloadReader) -> ConsumedMessage:
    headers = {str(key).lower(): str(value) for key, value in delivery.headers.items()}
    if not isinstance(delivery.body, Payload):
        return ConsumedMessage(to_json(delivery.body), delivery.id, headers, delivery.attachments)
    received = await reader.read(delivery.body)
    return ConsumedMessage(received.body, delivery.id, headers, (*delivery.attachments, *received.attachments))


def plugin_of(connector: Connector) -> object:
    """A plugin that gives one connector, for `load_plugins(extra_plugins=[…])`."""
    from hookline.sdk.hookspecs import hookimpl

    class Plugin:
        @hookimpl
        def register_connectors(self) -> list[Connector]:
            return [connector]

    return Plugin()


def _resources() -> EngineResources:
    # Servers of tests run on this machine.
    return EngineResources(Egress(("127.0.0.0/8", "::1")))
