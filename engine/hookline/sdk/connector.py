"""Connectors: the actions and the triggers of one service, with its credential type.

An action's signature is its schema. `Connector.action` reads it once, makes a pydantic model of it, and from then on
validation, the linter and the reference docs all ask that model.
"""

import inspect
import re
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, Field, create_model

from hookline.kernel.errors import PluginError
from hookline.kernel.logs import Log
from hookline.model.durations import Interval, parse_duration
from hookline.model.sources import ConsumeSettings, PollSettings
from hookline.model.webhook import RATE, SUBSCRIBED, subscribed_settings
from hookline.sdk.action import Action, ClientRate, Exposed, FromVars, Idempotent
from hookline.sdk.oauth2 import OAuth2, Tokens, TokenUser, check
from hookline.sdk.options import ListOptions, Options, OptionsFunction, OptionsFunctions
from hookline.sdk.poll import PollResult, PollTrigger, ResetsCursor
from hookline.sdk.setting_versions import UpgradeFunction, read_upgrades, upgrade
from hookline.sdk.signature import Signature, read_signature, setting_name
from hookline.sdk.triggers import (
    BrokerMessage,
    ConnectorTrigger,
    ConsumeTrigger,
    Subscribe,
    WebhookFunctions,
    WebhookTrigger,
)

if TYPE_CHECKING:
    from hookline.sdk.context import Resources
    from hookline.sdk.http import HttpClient

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class VerifyContext(TokenUser, Generic[C]):
    """What a function is given that verifies a credential."""

    credential: C
    """An instance of the connector's credential type."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    tokens: Tokens | None = None
    """What `access_token` asks."""


CredentialCheck: TypeAlias = Callable[[VerifyContext[Any]], Awaitable[str | None]]
"""Gives who the credential is to the service, where that is known. Raises StepError where it can't be used."""


if TYPE_CHECKING:
    pass

F = TypeVar("F", bound=Callable[..., Awaitable[Any] | AsyncIterator[Any]])
G = TypeVar("G", bound=Callable[..., AsyncIterator[BrokerMessage]])
P = TypeVar("P", bound=Callable[..., Awaitable[PollResult]])
V = TypeVar("V", bound=CredentialCheck)
L = TypeVar("L", bound=ListOptions)
N = TypeVar("N", bound="Action | PollTrigger")

_NONE: Mapping[int, Any] = MappingProxyType({})


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
        self.verifier: CredentialCheck | None = None
        self.options_functions = OptionsFunctions()
        self.pinned: dict[str, Action | PollTrigger] = {}
        """Actions and triggers by their names with a version, as `acme.create_order@1`: older ones, and the newest."""

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
        version: int | None = None,
        upgrades: Mapping[int, UpgradeFunction] = _NONE,
    ) -> Callable[[F], F]: ...

    def action(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        pure: bool = False,
        idempotent: Idempotent = None,
        version: int | None = None,
        upgrades: Mapping[int, UpgradeFunction] = _NONE,
    ) -> F | Callable[[F], F]:
        """Make an async function an action; used as `@acme.action` or `@acme.action(name="send")`.

        One that gives many items is an async generator, or returns an async iterator: they are kept as they come, and
        a foreach goes through them however many there are. A parameter `items: AsyncIterator[Order]` takes them
        likewise, and `file: Attachment` one of the message's attachments. Its first parameter may be `ctx`, a
        `Context`; the others
        are the step's settings. Raises PluginError for a function that can't be one, naming it.

        `idempotent`: False where doing it twice isn't as doing it once, so that flows which try it again are warned;
        or a function of a step's constant settings that says it. `version` numbers its
        settings, and `upgrades` has for each version before it the function that makes the next version's settings of
        that one's (see `hookline.sdk.setting_versions`).
        """

        def add(function: F) -> F:
            action = self._read(function, name or function.__name__, pure, idempotent)
            if action.name in self.actions:
                raise PluginError(f"connector {self.name!r} has two actions named {action.name!r}")
            action = self._versions(action, version, upgrades)
            self.actions[action.name] = action
            return function

        return add if function is None else add(function)

    def poll(
        self,
        *,
        every: str,
        name: str | None = None,
        timeout: str = "5m",
        version: int | None = None,
        upgrades: Mapping[int, UpgradeFunction] = _NONE,
    ) -> Callable[[P], P]:
        """Make an async function a trigger that looks for what is new; used as `@acme.poll(every="1m")`.

        Its first parameters may be `ctx`, a `PollContext`, and `cursor`, what it gave last time; the others are the
        trigger's settings. It gives a `PollResult`. `every` and `timeout` are what a flow gets that says nothing else.
        `version` and `upgrades` are as those of an action. Raises PluginError for a function that can't be one, naming
        it.
        """

        def add(function: P) -> P:
            trigger = self._read_poll(function, name or function.__name__, every, timeout)
            self._check_new(trigger.name)
            base = _poll_settings(trigger.name, every, timeout)
            trigger = self._versions(trigger, version, upgrades, base)
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
            if taken := sorted(own.intersection(SUBSCRIBED)):
                raise PluginError(f"trigger {full!r}: a setting can't be named {taken[0]!r}: webhooks have one already")
            self.webhooks[full] = WebhookTrigger(
                name=full,
                title=read.summary or full,
                settings=subscribed_settings(f"{full} settings", read.fields),
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
                options=self._options_of(read, full),
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
        `BrokerMessage` for each message, for as long as it is connected, and raises StepError where it isn't any more.
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
        self.options_functions.add(function)
        return function

    def _read_poll(
        self, function: Callable[..., Awaitable[PollResult]], short: str, every: str, timeout: str
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
            resets_cursor=read.marked(ResetsCursor),
            options=self._options_of(read, full),
        )

    def _read_consumer(self, function: Callable[..., AsyncIterator[BrokerMessage]], short: str) -> ConsumeTrigger:
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
            options=self._options_of(read, full),
        )

    def _versions(
        self,
        newest: N,
        version: int | None,
        upgrades: Mapping[int, UpgradeFunction],
        base: type[PollSettings] | None = None,
    ) -> N:
        """The component with its version; those with older settings, and itself, are pinned under their own names."""
        if version is None and not upgrades:
            return newest
        number = 1 if version is None else version
        older: dict[int, Signature] = read_upgrades(newest.name, number, upgrades)
        newest = replace(newest, version=number)
        alias: Action | PollTrigger = replace(newest, name=f"{newest.name}@{number}")
        pinned = [alias]
        for each, signature in older.items():
            name = f"{newest.name}@{each}"
            kept: dict[str, Any] = {
                "name": name,
                "version": each,
                "settings": signature.settings(name) if base is None else signature.settings_besides(name, base),
                "newest_settings": newest.settings,
                "upgrade": upgrade(newest.name, each, number, upgrades, older),
                "options": self._options_of(signature, name),
            }
            if isinstance(newest, PollTrigger):
                pinned.append(replace(newest, **kept))
                continue
            unmarked = (newest.from_vars & {*signature.parameters.values()}) - signature.marked(FromVars)
            if unmarked:
                raise PluginError(f"action {name!r}: mark {min(unmarked)!r} as FromVars, as in the newest version")
            marks: dict[str, Any] = {
                "from_vars": signature.marked(FromVars),
                "exposed": signature.marked(Exposed),
                "items": frozenset(map(setting_name, signature.items)),
                # It judges the newest settings.
                "idempotent": None if callable(newest.idempotent) else newest.idempotent,
            }
            pinned.append(replace(newest, **kept, **marks))
        self.pinned.update({one.name: one for one in pinned})
        return newest

    def _options_of(self, signature: Signature, name: str) -> Mapping[str, OptionsFunction]:
        return self.options_functions.for_settings(signature.marks(Options), name, signature.parameters.values())

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
    ) -> Action:
        read = read_signature(function, "an action", ("ctx",), generators=True)
        full = self._full(short)
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
            exposed=read.marked(Exposed),
            needs_credential=read.needs_credential(),
            idempotent=True if pure else idempotent,
            connector=self.name,
            rate=self.rate,
            options=self._options_of(read, full),
            items=frozenset(map(setting_name, read.items)),
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
