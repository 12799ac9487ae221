"""Connectors and their actions: what a step can `use`.

An action's signature is its schema. `Connector.action` reads it once, makes a pydantic model of it, and from then on
validation, the linter and the reference docs all ask that model.
"""

import inspect
import re
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, Field, create_model

from hookline.consume import ConsumeTrigger, Delivery
from hookline.errors import PluginError
from hookline.jsontypes import JsonValue
from hookline.logger import Log as Log
from hookline.model.consume import ConsumeSettings
from hookline.model.durations import FlowJsonSchema, Interval, parse_duration
from hookline.model.message import Message
from hookline.model.poll import PollSettings
from hookline.model.webhook import RATE, SubscribedSettings
from hookline.oauth2 import OAuth2, Tokens, TokenUser, check
from hookline.options import Choices, Lister, OptionLists, Options
from hookline.poll import Identity, Polled, PollTrigger
from hookline.probe import Probe, read_probe
from hookline.signature import read_signature, setting_name
from hookline.subscription import Subscribe, WebhookFunctions, WebhookTrigger
from hookline.trigger import ConnectorTrigger
from hookline.verifier import Verifier

if TYPE_CHECKING:
    from hookline.flow_values import FlowState
    from hookline.http import HttpClient
    from hookline.ports import Blobs
    from hookline.resources import Resources

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Awaitable[Any] | AsyncIterator[Any]])
G = TypeVar("G", bound=Callable[..., AsyncIterator[Delivery]])
P = TypeVar("P", bound=Callable[..., Awaitable[Polled]])
V = TypeVar("V", bound=Verifier)
L = TypeVar("L", bound=Lister)


@dataclass(frozen=True, slots=True)
class Context(TokenUser, Generic[C]):
    """What an action is given besides its settings."""

    credential: C
    """The step's credential, an instance of the connector's credential type; None where the step names none."""
    message: Message
    """The current message."""
    http: "HttpClient"
    """Sends requests: pooled, timed, guarded against inside addresses."""
    blobs: "Blobs"
    """Where attachments' bytes are."""
    log: Log
    execution_id: str
    step_id: str
    attempt: int
    """Counted from 1."""
    idempotency_key: str
    """The same at each attempt at this step of this execution."""
    state: "FlowState"
    """What the flow keeps from one execution to the next; for actions that aren't pure."""
    resources: "Resources"
    """What the plugin keeps open between steps."""
    credential_type: str | None = None
    """The name of the credential's type: which of those the action takes it is."""
    files_root: Path | None = None
    """The folder under which actions may read and write files; None where the server allows none."""
    exact: bool = False
    """The flow's numbers are exact: fractions in its values are Decimals, and so are those of `http`'s responses.

    What else an action reads should come with Decimals too.
    """
    tokens: Tokens | None = None
    """What `access_token` asks."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an action may return when there is more to its result than a body.

    `extra` stands beside the body in `steps.<id>`, as an HTTP response's `status` does. Attachments of the
    message stay unless `attachments` replaces them.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    attachments: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """What an action returns to let the execution wait, durably, before its message passes on. One of both is given."""

    seconds: float | None = None
    until: datetime | None = None
    """With a time zone."""


@dataclass(frozen=True, slots=True)
class Count:
    """What an action returns to let a number grow that the flow keeps, as a counter: its result is the new number.

    However many executions count at one time, none of their steps is lost, and none counts twice.
    """

    key: str
    by: int | float | Decimal = 1


class FromVars:
    """Marks a setting whose expressions may read `vars` alone, so that no message can choose it.

    As in `url: Annotated[str, FromVars()]`.
    """


class Shown:
    """Marks a setting whose value others get to see, as those of a log and of an address do: no secret belongs there.

    As in `message: Annotated[str, Shown()]`.
    """


class Signal:
    """What an action returns instead of a result, to direct the flow. Compare by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


PASS = Signal("pass")
"""The message passes on unchanged."""
FILTERED = Signal("filtered")
"""The branch ends here: the execution, or the item of a foreach, which then gives no result."""
STOPPED = Signal("stopped")
"""The execution ends here, as succeeded."""

NOT_DONE = Signal("not_done")
"""From a probe alone: the action took no effect, and won't any more. It may run."""
NOT_KNOWN = Signal("not_known")
"""From a probe alone: whether the action took effect can't be told."""


Idempotent: TypeAlias = bool | Callable[[Mapping[str, Any]], bool | None] | None
"""Whether doing it twice is as doing it once, or what says so of a step's constant settings; None: isn't known."""

ClientRate: TypeAlias = str | Callable[[Any], str | None]
"""How often a service wants to be asked at most, such as `50/s`; or what says so of a credential."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a connector can do."""

    name: str
    """As a step says it: `acme.create_order`."""
    run: Callable[..., Awaitable[Any] | AsyncIterator[Any]]
    settings: type[BaseModel]
    """The model of its parameters; each field's alias is the parameter's name."""
    takes_context: bool
    credential: type[BaseModel] | None
    credential_types: tuple[str, ...]
    """Names of the credential types that it takes; empty where it takes none."""
    summary: str
    """The first line of its docstring."""
    description: str
    returns: Any
    """The annotation of its result."""
    pure: bool
    """It has no effect and gives the same again: on resume it is recomputed instead of remembered."""
    unavailable: str | None
    """Why it can't be used here, with the remedy; None where it can."""
    parameters: Mapping[str, str]
    """From each field of `settings` to the parameter of `run` that it fills."""
    from_vars: frozenset[str] = frozenset()
    """Parameters marked `FromVars`."""
    shown: frozenset[str] = frozenset()
    """Parameters marked `Shown`."""
    needs_credential: bool = False
    """A step has to name a credential: `ctx` is annotated `Context[Model]`, and not `Context[Model | None]`."""
    idempotent: Idempotent = None
    """Whether a step may be tried again without harm."""
    connector: str = ""
    """The connector's name."""
    rate: ClientRate | None = None
    """How often the connector's actions run at most with one credential, over all flows."""
    probe: Probe | None = None
    """What finds out whether it took effect, where that isn't known."""
    options: Mapping[str, Choices] = field(default_factory=dict)
    """What knows the choices for its settings, by setting."""

    def repeats(self, settings: Mapping[str, Any]) -> bool | None:
        """Whether it may be done twice with these settings, of which only constants are given; None: isn't known."""
        return self.idempotent(settings) if callable(self.idempotent) else self.idempotent

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """The keyword arguments for `run`."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of its settings."""
        return self.settings.model_json_schema(by_alias=True, schema_generator=FlowJsonSchema)


class Connector:
    """Groups the actions and the triggers of one service, with its credential type.

    `name` is the first part of its actions' names; the generic components alone have the empty prefix.
    `credential_type` is the name of its credential's type, by default the connector's own name.
    `accepts` names credential types of others that its actions take besides their own; `ctx.credential_type` says
    which one a step has.
    `unavailable` says why it can't be used here (an extra that isn't installed) and what to do.
    `oauth2` says how its credentials get access tokens: `ctx.access_token()` gives them.
    `outside=False` says that its actions touch nothing outside the engine: they run where flows are tested, too.
    `rate` says how often its actions run at most with one credential, such as `50/s`, over all flows of a server; or is
    a function of the credential that says it, with None for no bound. The others wait for their turn.

    What else its page of the reference is made of, all of which gold asks for: `description` says in Markdown what it
    does and what it takes; `extra` names the extra of its distribution without which it is unavailable; `errors` has
    each error code of its own with what it means and what to do, and is `{}` where it has none; `example` is a whole
    flow that uses it.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str = "",
        credential: type[BaseModel] | None = None,
        credential_type: str | None = None,
        accepts: tuple[str, ...] = (),
        prefix: bool = True,
        unavailable: str | None = None,
        outside: bool = True,
        description: str = "",
        extra: str | None = None,
        errors: Mapping[str, str] | None = None,
        example: Mapping[str, Any] | None = None,
        oauth2: OAuth2 | None = None,
        rate: ClientRate | None = None,
    ) -> None:
        """Raises PluginError for an `oauth2` or a `rate` that can't work, naming what is wrong."""
        if oauth2 is not None:
            check(oauth2, name, credential)
        if isinstance(rate, str) and not re.fullmatch(RATE, rate):
            raise PluginError(f"connector {name!r}: rate={rate!r} is no rate; write one as 50/s, 100/m or 1000/h")
        self.name = name
        self.title = title or name
        self.credential = credential
        self.credential_type = credential_type or name
        self.accepts = accepts
        self.prefix = prefix
        self.unavailable = unavailable
        self.outside = outside
        self.description = inspect.cleandoc(description)
        self.extra = extra
        self.errors = errors
        self.example = example
        self.oauth2 = oauth2
        self.rate = rate
        self.actions: dict[str, Action] = {}
        self.polls: dict[str, PollTrigger] = {}
        self.webhooks: dict[str, WebhookTrigger] = {}
        self.consumers: dict[str, ConsumeTrigger] = {}
        self.verifier: Verifier | None = None
        self.option_lists = OptionLists()

    @property
    def triggers(self) -> dict[str, ConnectorTrigger]:
        """All its triggers."""
        return {**self.polls, **self.webhooks, **self.consumers}

    @typing.overload
    def action(self, function: F, /) -> F: ...
    @typing.overload
    def action(
        self,
        /,
        *,
        name: str | None = None,
        pure: bool = False,
        idempotent: Idempotent = None,
        probe: Callable[..., Awaitable[Any]] | None = None,
    ) -> Callable[[F], F]: ...

    def action(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        pure: bool = False,
        idempotent: Idempotent = None,
        probe: Callable[..., Awaitable[Any]] | None = None,
    ) -> F | Callable[[F], F]:
        """Make an async function an action; used as `@acme.action` or `@acme.action(name="send")`.

        One that gives many items is an async generator, or returns an async iterator: they are kept as they come, and
        a foreach goes through them however many there are. Its first parameter may be `ctx`, a `Context`; the others
        are the step's settings. Raises PluginError for a function that can't be one, naming it.

        `idempotent`: False where doing it twice isn't as doing it once, so that flows which try it again are remarked;
        or a function of a step's constant settings that says it. `probe`: what finds out whether it took effect, for
        steps that run at most once (see `hookline.probe`): an async function of `ctx` and of some of its settings.
        """

        def add(function: F) -> F:
            action = self._read(function, name or function.__name__, pure, idempotent, probe)
            if action.name in self.actions:
                raise PluginError(f"connector {self.name!r} has two actions named {action.name!r}")
            self.actions[action.name] = action
            return function

        return add if function is None else add(function)

    def poll(self, *, every: str, name: str | None = None, timeout: str = "5m") -> Callable[[P], P]:
        """Make an async function a trigger that looks for what is new; used as `@acme.poll(every="1m")`.

        Its first parameters may be `ctx`, a `PollContext`, and `cursor`, what it gave last time; the others are the
        trigger's settings. It gives a `Polled`. `every` and `timeout` are what a flow gets that says nothing else.
        Raises PluginError for a function that can't be one, naming it.
        """

        def add(function: P) -> P:
            trigger = self._read_poll(function, name or function.__name__, every, timeout)
            self._check_new(trigger.name)
            self.polls[trigger.name] = trigger
            return function

        return add

    def webhook(
        self,
        *,
        scheme: str,
        name: str | None = None,
        scheme_settings: Mapping[str, Any] | None = None,
        secret_field: str | None = None,
        gives_secret: bool = False,
        timeout: str = "1m",
    ) -> Callable[[Subscribe], WebhookFunctions]:
        """Make an async function a trigger that subscribes with the provider; used as `@acme.webhook(scheme="acme")`.

        Its first parameter is `ctx`, a `SubscriptionContext`; the others are the trigger's settings, beside those
        of a webhook. It gives a `Subscription`. What this gives has the decorators `unsubscribe`, which has to be
        used, and `renew`.

        `scheme` names the scheme by which requests are verified, `scheme_settings` what `verify` would say besides.
        `secret_field` is where the scheme's credential has its secret, where that isn't plain. `gives_secret`: the
        provider makes the secret itself, and `Subscription` has it. Raises PluginError for a function that can't be
        one, naming it.
        """

        def add(function: Subscribe) -> WebhookFunctions:
            full = self._full(name or function.__name__)
            self._check_new(full)
            read = read_signature(function, "what subscribes", ("ctx",))
            if not read.leading:
                where = f"{function.__module__}.{function.__qualname__}"
                raise PluginError(f"{where}: what subscribes takes `ctx` first: the URL and the secret are in it")
            own = {setting_name(each) for each in read.parameters.values()}
            if taken := sorted(SubscribedSettings.model_fields.keys() & own):
                raise PluginError(f"trigger {full!r}: a setting can't be named {taken[0]!r}: webhooks have one already")
            self.webhooks[full] = WebhookTrigger(
                name=full,
                title=read.summary or full,
                settings=read.settings_besides(full, SubscribedSettings),
                summary=read.summary,
                description=read.description,
                scheme=scheme,
                scheme_settings=scheme_settings or {},
                secret_field=secret_field,
                gives_secret=gives_secret,
                subscribe=function,
                timeout=_duration(full, "timeout", timeout),
                own=read.settings(full),
                parameters=read.parameters,
                credential=self.credential,
                credential_types=self._credential_types(),
                needs_credential=read.needs_credential(),
                unavailable=self.unavailable,
            )
            return WebhookFunctions(full, lambda part, given: self._part_of_webhook(full, part, given))

        return add

    def _part_of_webhook(self, full: str, part: str, given: Any) -> None:
        function, every = given if part == "renew" else (given, None)
        kind = f"what {'renews' if part == 'renew' else 'removes'} a subscription"
        read = read_signature(function, kind, ("ctx",))
        trigger = self.webhooks[full]
        if read.leading != ("ctx",) or read.parameters:
            where = f"{function.__module__}.{function.__qualname__}"
            raise PluginError(f"{where}: {kind} takes `ctx` and nothing else: what it needs stands in `ctx.known`")
        if getattr(trigger, part) is not None:
            raise PluginError(f"trigger {full!r} has two functions that say {part}")
        interval = None if every is None else _duration(full, "every", every)
        changes: dict[str, Any] = {part: function} | ({} if interval is None else {"every": interval})
        self.webhooks[full] = replace(trigger, **changes)

    def _check_new(self, full: str) -> None:
        if full in self.triggers:
            raise PluginError(f"connector {self.name!r} has two triggers named {full!r}")

    @typing.overload
    def consume(self, function: G, /) -> G: ...
    @typing.overload
    def consume(self, /, *, name: str | None = None) -> Callable[[G], G]: ...

    def consume(self, function: G | None = None, /, *, name: str | None = None) -> G | Callable[[G], G]:
        """Make an async generator a trigger that listens to a broker; used as `@acme.consume`.

        Its first parameter may be `ctx`, a `ConsumeContext`; the others are the trigger's settings. It yields a
        `Delivery` for each message, for as long as it is connected, and raises StepError where it isn't any more.
        Raises PluginError for a function that can't be one, naming it.
        """

        def add(function: G) -> G:
            trigger = self._read_consumer(function, name or function.__name__)
            self._check_new(trigger.name)
            self.consumers[trigger.name] = trigger
            return function

        return add if function is None else add(function)

    def verify(self, function: V, /) -> V:
        """Make an async function what says whether a credential works; used as `@acme.verify`.

        It is given a `VerifyContext`, asks the service something that changes nothing, and gives who the credential is
        there, or None. It raises StepError where the credential can't be used. Raises PluginError for a function that
        can't be one, naming it.
        """
        read = read_signature(function, "what verifies a credential", ("ctx",))
        where = f"{function.__module__}.{function.__qualname__}"
        if self.credential is None:
            raise PluginError(f"{where}: connector {self.name!r} has no credential type to verify")
        if read.leading != ("ctx",) or read.parameters:
            raise PluginError(f"{where}: what verifies a credential takes `ctx` and nothing else")
        if self.verifier is not None:
            raise PluginError(f"connector {self.name!r} has two functions that verify its credential")
        self.verifier = function
        return function

    def options(self, function: L, /) -> L:
        """Make an async function one that lists a setting's choices; used as `@acme.options`.

        It may have the parameters `ctx`, an `OptionsContext`, and `search`; the others are other settings of what asks
        for it. Settings ask for it with `Annotated[str, Options(function)]`, or `Options("its name")`. Raises
        PluginError for a function that can't be one, naming it.
        """
        self.option_lists.add(function)
        return function

    def _read_poll(
        self, function: Callable[..., Awaitable[Polled]], short: str, every: str, timeout: str
    ) -> PollTrigger:
        full = self._full(short)
        read = read_signature(function, "a trigger that polls", ("ctx", "cursor"))
        taken = sorted(PollSettings.model_fields.keys() & {setting_name(name) for name in read.parameters.values()})
        if taken:
            raise PluginError(f"trigger {full!r}: a setting can't be named {taken[0]!r}: every poll has one already")
        return PollTrigger(
            name=full,
            title=read.summary or full,
            settings=read.settings_besides(full, _poll_settings(full, every, timeout)),
            summary=read.summary,
            description=read.description,
            run=function,
            leading=read.leading,
            parameters=read.parameters,
            credential=self.credential,
            credential_types=self._credential_types(),
            needs_credential=read.needs_credential(),
            unavailable=self.unavailable,
            identity=read.marked(Identity),
            options=self.option_lists.offered(read.marks(Options), full, read.parameters.values()),
        )

    def _read_consumer(self, function: Callable[..., AsyncIterator[Delivery]], short: str) -> ConsumeTrigger:
        full = self._full(short)
        read = read_signature(function, "a trigger that consumes", ("ctx",), generators=True)
        if not inspect.isasyncgenfunction(function):
            where = f"{function.__module__}.{function.__qualname__}"
            raise PluginError(f"{where} must be an async generator to be a trigger that consumes: it yields deliveries")
        taken = sorted(ConsumeSettings.model_fields.keys() & {setting_name(name) for name in read.parameters.values()})
        if taken:
            raise PluginError(
                f"trigger {full!r}: a setting can't be named {taken[0]!r}: every consumer has one already"
            )
        return ConsumeTrigger(
            name=full,
            title=read.summary or full,
            settings=read.settings_besides(full, ConsumeSettings),
            summary=read.summary,
            description=read.description,
            run=function,
            leading=read.leading,
            parameters=read.parameters,
            credential=self.credential,
            credential_types=self._credential_types(),
            needs_credential=read.needs_credential(),
            unavailable=self.unavailable,
        )

    def _full(self, short: str) -> str:
        return f"{self.name}.{short}" if self.prefix else short

    def _credential_types(self) -> tuple[str, ...]:
        own = (self.credential_type,) if self.credential is not None else ()
        return own + self.accepts

    def _read(
        self,
        function: Callable[..., Awaitable[Any] | AsyncIterator[Any]],
        short: str,
        pure: bool,
        idempotent: Idempotent,
        probe: Callable[..., Awaitable[Any]] | None,
    ) -> Action:
        read = read_signature(function, "an action", ("ctx",), generators=True)
        full = self._full(short)
        if probe is not None and pure:
            raise PluginError(f"action {full!r} is pure: whether it took effect is no question, and needs no probe")
        return Action(
            name=full,
            run=function,
            settings=read.settings(full),
            takes_context=bool(read.leading),
            credential=self.credential,
            credential_types=self._credential_types(),
            summary=read.summary,
            description=read.description,
            returns=read.hints.get("return", Any),
            pure=pure,
            unavailable=self.unavailable,
            parameters=read.parameters,
            from_vars=read.marked(FromVars),
            shown=read.marked(Shown),
            needs_credential=read.needs_credential(),
            idempotent=True if pure else idempotent,
            connector=self.name,
            rate=self.rate,
            probe=None if probe is None else read_probe(probe, full, read.parameters),
            options=self.option_lists.offered(read.marks(Options), full, read.parameters.values()),
        )


def _poll_settings(name: str, every: str, timeout: str) -> type[PollSettings]:
    """The settings that every poll has, with a trigger's own defaults."""
    made: dict[str, Any] = {}
    for field_name, default in (("every", every), ("timeout", timeout)):
        info = PollSettings.model_fields[field_name]
        made[field_name] = (
            Interval,
            Field(default=_duration(name, field_name, default), description=info.description),
        )
    return create_model(f"{name} poll settings", __base__=PollSettings, **made)


def _duration(trigger: str, name: str, given: str) -> timedelta:
    try:
        return parse_duration(given)
    except ValueError as error:
        raise PluginError(f"trigger {trigger!r}: {name}={given!r}: {error}") from error
