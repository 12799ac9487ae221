"""Triggers: what starts an execution.

The Webhook Service receives requests; the engine runs schedules, polls (`hookline.sdk.poll`) and consumers of brokers.
Flows with any other trigger are started by hand or by other flows.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from hookline.kernel.logs import Log
from hookline.model.message import Attachment
from hookline.model.sources import ConsumeSettings, Schedule, ScheduleSettings
from hookline.model.webhook import BodyMode, SubscribedSettings, WebhookSettings
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.options import OptionsFunction
from hookline.sdk.schemes import WebhookResponse


@dataclass(frozen=True, slots=True)
class Trigger:
    """Something that starts executions; a flow names it in `trigger.use`."""

    name: str
    title: str
    settings: type[BaseModel]
    """The model of the flow's `trigger.with`."""
    summary: str = ""
    description: str = ""
    """More than the summary, which it begins with; the summary where that says all."""


@dataclass(frozen=True, slots=True)
class ConnectorTrigger(Trigger):
    """One that is a connector's: it may take a credential, and may be unavailable."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """From each field of the settings that are the trigger's own to the parameter that it fills."""
    credential: type[BaseModel] | None = None
    credential_types: tuple[str, ...] = ()
    """Names of the credential types that it takes; empty where it takes none."""
    needs_credential: bool = False
    unavailable: str | None = None
    """Why it can't be used here, with the remedy; None where it can."""
    options: Mapping[str, OptionsFunction] = field(default_factory=dict)
    """What knows the choices for its settings, by setting."""


@dataclass(frozen=True, slots=True)
class FunctionTrigger(ConnectorTrigger):
    """One that starts executions by a function which the engine runs."""

    run: Callable[..., Any] | None = None
    leading: tuple[str, ...] = ()
    """Which of its first parameters are no settings."""

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """The keyword arguments for `run`, as far as they are settings."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A request that was verified and read, with what its scheme declares secret masked."""

    method: str
    headers: Sequence[tuple[str, str]]
    """As received and in order; names in lower case, bytes above 127 decoded as Latin-1."""
    content_type: str | None
    """The whole header; None where there is none."""
    media_type: str
    """Of it the type alone, in lower case; `application/octet-stream` where there is none."""
    body: Any
    """What the body became, by the settings or by the trigger's `body_mode`. Null where there is none."""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a message brings in its body: the engine keeps it, and the message has it as an attachment."""

    name: str
    type: str
    content: bytes
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message that a trigger makes of a request. It has the request's headers."""

    body: Any
    """A JSON value."""
    id: str | None = None
    """Where the flow has no `dedupe_key`: one that comes with the same id within `dedupe_window` starts nothing."""
    attachments: tuple[Attachment, ...] = ()
    """Of those that the request has."""
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestTrigger(Trigger):
    """Started by HTTP requests to `/hook/<flow id>`; its settings are, or extend, those of the webhook.

    What its requests bring may have a form of its own: `read` makes messages of it. Its functions are pure, and are
    given the flow's settings.
    """

    settings: type[WebhookSettings] = WebhookSettings
    read: Callable[[ParsedRequest, Any], Sequence[IncomingMessage]] | None = None
    """The messages of a request; none where the flow wants nothing of it, which the sender takes for success.

    Raises RequestRejected: Malformed with every problem, UnsupportedMedia, TooLarge.
    """
    body_mode: Callable[[str, Any], BodyMode] | None = None
    """How a body of a media type is read before `read` is given it; by default as the flow says."""
    options: Callable[[Mapping[str, str], Any], WebhookResponse | None] | None = None
    """The answer to OPTIONS, given the headers by their names in lower case; None: as every webhook answers it.

    It is asked before any sender is verified.
    """


def _no_schedule(_settings: Any) -> Schedule:
    raise NotImplementedError("a ScheduleTrigger needs `schedule`")


@dataclass(frozen=True, slots=True)
class ScheduleTrigger(Trigger):
    """Started by the clock. Each message's body is `scheduled_at, fired_at, previous_at`."""

    settings: type[ScheduleSettings] = ScheduleSettings
    schedule: Callable[[Any], Schedule] = _no_schedule
    """The times that some settings mean. What is wrong with settings their model has said before."""


if TYPE_CHECKING:
    from hookline.sdk.context import Resources
    from hookline.sdk.http import HttpClient
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Payload:
    """A body as bytes, which the engine reads as the Webhook Service reads requests.

    JSON and XML become values, a text becomes text; all else is an attachment named `body`, beside a body that is
    null.
    """

    data: bytes
    content_type: str | None = None
    """As `application/json` or `text/plain; charset=iso-8859-1`; None where the message doesn't say."""
    filename: str | None = None
    """Of the attachment."""


@dataclass(frozen=True, slots=True)
class BrokerMessage:
    """A message that a broker has delivered, and what tells the broker what became of it."""

    body: Any
    """What an action may return, or a `Payload`."""
    id: str | None = None
    """One that comes with the same id again within the flow's `dedupe_window` starts nothing."""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    accepted: Callable[[], Awaitable[None]] | None = None
    """Acknowledges it: awaited once it is durable. None where the broker keeps nothing that could come again."""
    rejected: Callable[[str], Awaitable[None]] | None = None
    """Awaited instead where the flow rejects it, with the reason; by default it is acknowledged as well."""


@dataclass(frozen=True, slots=True)
class ConsumeContext(TokenUser, Generic[C]):
    """What a function that consumes is given besides its settings."""

    credential: C
    """The trigger's credential, an instance of the connector's credential type; None where the flow names none."""
    http: "HttpClient"
    blobs: "Blobs"
    """Where attachments' bytes are."""
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    flow_id: str
    prefetch: int
    """How many messages the broker may hand out at once that aren't acknowledged yet."""
    listening: Callable[[], None]
    """To be called as soon as messages can come: until then it counts as connecting."""
    credential_type: str | None = None
    exact: bool = False
    """The flow's numbers are exact: fractions in bodies should be Decimals."""
    tokens: Tokens | None = None
    """What `access_token` asks."""


@dataclass(frozen=True, slots=True)
class ConsumeTrigger(FunctionTrigger):
    """Started by what a broker delivers."""

    settings: type[ConsumeSettings] = ConsumeSettings
    run: Callable[..., AsyncIterator[BrokerMessage]] | None = None


if TYPE_CHECKING:
    from hookline.sdk.context import Resources
    from hookline.sdk.http import HttpClient


@dataclass(frozen=True, slots=True)
class SubscriptionContext(TokenUser, Generic[C]):
    """What functions are given that subscribe, unsubscribe and renew."""

    credential: C
    """The trigger's credential, an instance of the connector's credential type; None where the flow names none."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    flow_id: str
    url: str
    """Where the provider is to send: the public URL of the flow's hook, the same for as long as there is the flow."""
    secret: str = field(repr=False)
    """With what the provider is to sign: 64 hexadecimal digits that the engine has made. Empty where the provider
    makes the secret itself, and after that its own."""
    known: Any
    """What identifies the flow's present subscription, as it was given; None where none is known.

    One that an earlier call has made without coming to its end is not known: look for it by its URL.
    """
    now: datetime
    """In UTC."""
    credential_type: str | None = None
    tokens: Tokens | None = None
    """What `access_token` asks."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What there is at the provider now."""

    id: Any
    """A JSON value of at most 64 KB that says all that is needed to find it there, and to remove it.

    It is stored as it is, so that no secret belongs there. Of two that are equal the second is the first one, changed;
    where another is given than before, the one before is removed afterwards.
    """
    secret: str | None = field(default=None, repr=False)
    """The secret that the provider has made; None where it took that of the context, or where it stays as it was."""
    expires_at: datetime | None = None
    """When the provider ends it by itself, with a time zone: it is renewed when half of the time is over."""


Subscribe = Callable[..., Awaitable[Subscription]]
Unsubscribe = Callable[[SubscriptionContext[Any]], Awaitable[None]]
Renew = Callable[[SubscriptionContext[Any]], Awaitable[Subscription | None]]


@dataclass(frozen=True, slots=True)
class WebhookTrigger(ConnectorTrigger):
    """Started by requests to `/hook/<flow id>` that a provider sends, with which the engine has subscribed."""

    settings: type[SubscribedSettings] = SubscribedSettings
    """The trigger's own, and those of a webhook without `verify`."""
    scheme: str = ""
    """The name of the scheme by which the provider signs."""
    scheme_settings: Mapping[str, Any] = field(default_factory=dict)
    """What `verify` would say besides."""
    secret_field: str | None = None
    """Where in the scheme's credential its secret stands; None: in `secret`, or in the only one that it has to have."""
    gives_secret: bool = False
    """The provider makes the secret, and tells it once it has subscribed."""
    subscribe: Subscribe | None = None
    unsubscribe: Unsubscribe | None = None
    renew: Renew | None = None
    every: timedelta | None = None
    """How often it is renewed, whether or not it expires."""
    timeout: timedelta = timedelta(minutes=1)
    """The longest time for one call; then it failed, and is tried again."""
    own: type[BaseModel] = BaseModel
    """The model of the settings that are the trigger's own."""

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments for `subscribe`, of JSON of its own settings. Raises pydantic's ValidationError."""
        settings = self.own.model_validate(given)
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def own_names(self) -> frozenset[str]:
        """The names of the settings that are its own, as flows say them."""
        return frozenset(found.alias or name for name, found in self.own.model_fields.items())


class WebhookFunctions:
    """What `@acme.webhook` makes of a function that subscribes: where those are named that belong to it."""

    def __init__(self, name: str, put: Callable[[str, Any], None]) -> None:
        self.name = name
        """The trigger's."""
        self._put = put

    def unsubscribe(self, function: Unsubscribe, /) -> Unsubscribe:
        """Make an async function what removes a subscription; used as `@events.unsubscribe`.

        It is given a `SubscriptionContext`, of which `known` says which one. One that isn't there any more is no error.
        Raises PluginError for a function that can't be one, naming it.
        """
        self._put("unsubscribe", function)
        return function

    def renew(self, *, every: str | None = None) -> Callable[[Renew], Renew]:
        """Make an async function what keeps a subscription alive; used as `@events.renew(every="1d")`.

        It is given a `SubscriptionContext`, and gives the Subscription that there is; None where it isn't there any
        more, and then it is subscribed again. It is called so often, and when half of the time until it expires is
        over. Raises PluginError for a function that can't be one, naming it.
        """

        def add(function: Renew) -> Renew:
            self._put("renew", (function, every))
            return function

        return add
