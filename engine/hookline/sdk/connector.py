"""Connectors, each of which has the actions and the triggers of one service, and its credential type.

The signature of an action is the schema of its settings. `Connector.action` makes a pydantic model of it, which
validation, the checker and the reference use.
"""

import inspect
import re
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, Field, create_model

from hookline.kernel.errors import PluginError
from hookline.kernel.logs import Log
from hookline.model.durations import Interval, parse_duration
from hookline.model.sources import ConsumeSettings, PollSettings
from hookline.model.webhook import RATE, SUBSCRIBED, subscribed_settings
from hookline.sdk.action import Action, ClientRate, CredentialGoesTo, Either, Exposed, FromVars, Idempotent
from hookline.sdk.context_parts import ServiceCredential
from hookline.sdk.oauth2 import OAuth2, Tokens, TokenUser, check_oauth2
from hookline.sdk.poll import PollResult, PollTrigger, ResetsCursor
from hookline.sdk.settings.function_signatures import Signature, read_signature, setting_name
from hookline.sdk.settings.options_functions import ListOptions, Options, OptionsFunction, OptionsFunctions
from hookline.sdk.settings.setting_upgrades import UpgradeFunction, read_upgrades, upgrade
from hookline.sdk.triggers import (
    BrokerMessage,
    ConnectorTrigger,
    ConsumeTrigger,
    Subscribe,
    WebhookFunctions,
    WebhookTrigger,
)
from hookline.secrets.credential_reach import reach_problems

if TYPE_CHECKING:
    from hookline.sdk.context_parts import Resources
    from hookline.sdk.http_client import HttpClient

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class VerifyContext(TokenUser, Generic[C]):
    """The context of a function that checks a credential (`ctx`)."""

    credential: C
    """The credential, an instance of the connector's credential type."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """The resources that the plugin keeps open."""
    tokens: Tokens | None = None
    """The access tokens of the credential. `access_token` uses it."""
    files_root: Path | None = None
    """The folder for files: see `file_place`."""


CheckCredential: TypeAlias = Callable[[VerifyContext[Any]], Awaitable[str | None]]
"""An async function that checks a credential. It returns the account of the credential, or None if it isn't known.
It raises StepError if the credential can't be used."""


F = TypeVar("F", bound=Callable[..., Awaitable[Any] | AsyncIterator[Any]])
G = TypeVar("G", bound=Callable[..., AsyncIterator[BrokerMessage]])
P = TypeVar("P", bound=Callable[..., Awaitable[PollResult]])
V = TypeVar("V", bound=CheckCredential)
L = TypeVar("L", bound=ListOptions)
N = TypeVar("N", bound="Action | PollTrigger")

_NONE: Mapping[int, Any] = MappingProxyType({})


class Connector:
    """The actions and the triggers of one service, with its credential type.

    - `name` is the first part of the names of its actions and triggers, unless `prefix` is False.
    - `credential` is the model of its credential, and `credential_type` the name of that type; the default is `name`.
    - `hosts` names the hosts to which its credentials may be sent, such as `("api.acme.example", "{base_url}")`: hosts,
      `*.` before a domain, and fields of the credential with a host or a URL. Without it, a credential may be sent to
      any host that a flow names, unless its owner names hosts. It is `("{base_url}",)` for a `ServiceCredential`.
    - `accepts` names more credential types that its actions accept. `ctx.credential_type` is the type of a credential.
    - `unavailable` is the reason why it can't be used here, such as a missing extra, with the remedy.
    - `oauth2` has the OAuth 2 settings of its credentials, for `ctx.access_token()`.
    - `outside=False` means that its actions have no effect outside the engine, so that they also run in simulations.
    - `rate` limits its actions with one credential over all flows and nodes, such as `50/s`. It may be a function of
      the credential that returns a limit, or None. Actions above the limit wait.

    The following are for its page in the reference, and are required for gold: `description` describes the connector
    and its requirements in Markdown. `extra` is the extra of its distribution that must be installed. `errors` has a
    description and a remedy for each of its own error codes; it is `{}` if it has none. `example` is a whole flow that
    uses it.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str = "",
        credential: type[BaseModel] | None = None,
        credential_type: str | None = None,
        hosts: tuple[str, ...] = (),
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
        """Raises PluginError, which names the problem, for an invalid `oauth2`, `hosts` or `rate`."""
        if oauth2 is not None:
            check_oauth2(oauth2, name, credential)
        if isinstance(rate, str) and not re.fullmatch(RATE, rate):
            raise PluginError(f"connector {name!r}: rate={rate!r} is not a rate; write 50/s, 100/m or 1000/h")
        self.name = name
        self.title = title or name
        self.credential = credential
        self.credential_type = credential_type or name
        self.hosts = _hosts(name, hosts, credential)
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
        self.verifier: CheckCredential | None = None
        self.options_functions = OptionsFunctions()
        self.pinned: dict[str, Action | PollTrigger] = {}
        """The actions and triggers by name with version, such as `acme.create_order@1`, for all versions."""

    @property
    def triggers(self) -> dict[str, ConnectorTrigger]:
        """All triggers."""
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
        """Decorate an async function as an action, as in `@acme.action` or `@acme.action(name="send")`.

        The first parameter may be `ctx`, a `Context`. The others are the settings of the step. A parameter
        `items: AsyncIterator[Order]` takes a list or a stream item by item, and `file: Attachment` takes an attachment
        of the message. An action with many items is an async generator or returns an async iterator: the items are
        stored as they come, and a foreach can process any number of them. Raises PluginError, which names the function,
        for an invalid signature.

        `idempotent`: False if repeating the action has further effects, so that flows that retry it get a warning; or a
        function of a step's constant settings that returns it. `version` is the version of the settings. `upgrades` has
        a function for each earlier version that returns the settings of the next version (see
        `hookline.sdk.settings.setting_upgrades`).
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
        """Decorate an async function as a poll, as in `@acme.poll(every="1m")`.

        The first parameters may be `ctx`, a `PollContext`, and `cursor`, the cursor of the last result. The others are
        the settings of the trigger. The function returns a `PollResult`. `every` and `timeout` are the defaults for
        flows. `version` and `upgrades` are the same as for actions. Raises PluginError, which names the function, for
        an invalid signature.
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
        """Decorate an async function as a trigger that subscribes, as in `@acme.webhook(scheme="acme")`.

        The first parameter is `ctx`, a `SubscriptionContext`. The others are the settings of the trigger, besides those
        of a webhook. The function returns a `Subscription`. The result has the decorators `unsubscribe`, which is
        required, and `renew`.

        `scheme` is the scheme that verifies the requests, and `scheme_settings` are its settings, as in `verify`.
        `secret_field` is the field of the scheme's credential with the secret, if it isn't obvious. `gives_secret` is
        True if the provider makes the secret, which `Subscription` then has. Raises PluginError, which names the
        function, for an invalid signature.
        """

        def add(function: Subscribe) -> WebhookFunctions:
            full = self._full(name or function.__name__)
            self._check_new(full)
            read = read_signature(function, "a function that subscribes", ("ctx",))
            if not read.leading:
                where = f"{function.__module__}.{function.__qualname__}"
                raise PluginError(f"{where}: the first parameter of a function that subscribes must be `ctx`")
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
        kind = f"a function that {'renews' if part == 'renew' else 'removes'} a subscription"
        read = read_signature(function, kind, ("ctx",))
        trigger = self.webhooks[full]
        if read.leading != ("ctx",) or read.parameters:
            where = f"{function.__module__}.{function.__qualname__}"
            raise PluginError(f"{where}: {kind} has only the parameter `ctx`; `ctx.known` is the subscription")
        if getattr(trigger, part) is not None:
            raise PluginError(f"trigger {full!r} has two functions for {part}")
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
        """Decorate an async generator as a trigger that consumes from a broker, as in `@acme.consume`.

        The first parameter may be `ctx`, a `ConsumeContext`. The others are the settings of the trigger. It yields a
        `BrokerMessage` for each message while it is connected, and raises StepError when the connection is lost. Raises
        PluginError, which names the function, for an invalid signature.
        """

        def add(function: G) -> G:
            trigger = self._read_consumer(function, name or function.__name__)
            self._check_new(trigger.name)
            self.consumers[trigger.name] = trigger
            return function

        return add if function is None else add(function)

    def verify(self, function: V, /) -> V:
        """Decorate the async function that checks a credential, as in `@acme.verify`.

        Its parameter is a `VerifyContext`. It sends a request without effects to the service, and returns the account
        of the credential, or None. It raises StepError if the credential can't be used. Raises PluginError, which names
        the function, for an invalid signature.
        """
        read = read_signature(function, "a function that checks a credential", ("ctx",))
        where = f"{function.__module__}.{function.__qualname__}"
        if self.credential is None:
            raise PluginError(f"{where}: connector {self.name!r} has no credential type to check")
        if read.leading != ("ctx",) or read.parameters:
            raise PluginError(f"{where}: a function that checks a credential has only the parameter `ctx`")
        if self.verifier is not None:
            raise PluginError(f"connector {self.name!r} has two functions that check its credential")
        self.verifier = function
        return function

    def options(self, function: L, /) -> L:
        """Decorate an async function that lists the options of a setting, as in `@acme.options`.

        The parameters may be `ctx`, an `OptionsContext`, `search`, and other settings of the same component. A setting
        refers to the function with `Annotated[str, Options(function)]` or `Options("its name")`. Raises PluginError,
        which names the function, for an invalid signature.
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
            settings=read.settings_with_base(full, _poll_settings(full, every, timeout)),
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
            raise PluginError(f"{where} must be an async generator to be a trigger that consumes: it yields messages")
        taken = sorted(ConsumeSettings.model_fields.keys() & {setting_name(name) for name in read.parameters.values()})
        if taken:
            raise PluginError(
                f"trigger {full!r}: a setting can't be named {taken[0]!r}: every consumer has one already"
            )
        return ConsumeTrigger(
            name=full,
            title=read.summary or full,
            settings=read.settings_with_base(full, ConsumeSettings),
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
        """Return the component with its version, and register each version under its own name."""
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
                "settings": signature.settings(name) if base is None else signature.settings_with_base(name, base),
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
            # A function gets the newest settings.
            idempotent = None if callable(newest.idempotent) else newest.idempotent
            pinned.append(replace(newest, **kept, **_marks(signature), idempotent=idempotent))
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
            needs_credential=read.needs_credential(),
            idempotent=True if pure else idempotent,
            connector=self.name,
            rate=self.rate,
            options=self._options_of(read, full),
            **_marks(read),
        )


def _marks(signature: Signature) -> dict[str, Any]:
    """The fields of an action that say which of its parameters are marked."""
    return {
        "from_vars": signature.marked(FromVars),
        "credential_goes_to": signature.marked(CredentialGoesTo),
        "exposed": signature.marked(Exposed),
        "either": {setting_name(parameter): mark for parameter, mark in signature.marks(Either).items()},
        "items": frozenset(map(setting_name, signature.items)),
    }


def _hosts(connector: str, hosts: tuple[str, ...], credential: type[BaseModel] | None) -> tuple[str, ...]:
    if not (inspect.isclass(credential) and issubclass(credential, BaseModel)):
        # The loader says what is wrong with another credential.
        credential = None
    if not hosts and credential is not None and issubclass(credential, ServiceCredential):
        return ("{base_url}",)
    fields = set() if credential is None else set(credential.model_fields)
    for entry in hosts:
        field = re.fullmatch(r"\{(\w+)\}", entry)
        if (field and field[1] not in fields) or (not field and reach_problems((), (entry,))):
            raise PluginError(
                f"connector {connector!r}: hosts={hosts!r}: {entry!r} is neither a host nor a field of the credential; "
                'write "api.example.com", "*.example.com" or "{base_url}"'
            )
    return tuple(hosts)


def _poll_settings(name: str, every: str, timeout: str) -> type[PollSettings]:
    """Return the model of the settings of all polls, with the defaults of a trigger."""
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
