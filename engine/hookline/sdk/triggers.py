"""Triggers, which start executions.

The webhook service receives requests. The engine runs schedules, polls (`hookline.sdk.poll`) and consumers of brokers.
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
from hookline.sdk.schemes import WebhookResponse
from hookline.sdk.settings.options_functions import OptionsFunction


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger, which a flow names in `trigger.use`."""

    name: str
    title: str
    settings: type[BaseModel]
    """The model of `trigger.with`."""
    summary: str = ""
    description: str = ""
    """The whole description, which begins with the summary."""


@dataclass(frozen=True, slots=True)
class ConnectorTrigger(Trigger):
    """A trigger of a connector. It may need a credential, and may be unavailable."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """The parameter for each field of the trigger's own settings."""
    credential: type[BaseModel] | None = None
    credential_types: tuple[str, ...] = ()
    """The names of the credential types that it accepts; empty if it needs no credential."""
    needs_credential: bool = False
    unavailable: str | None = None
    """The reason why it can't be used here, with the remedy; None if it can."""
    options: Mapping[str, OptionsFunction] = field(default_factory=dict)
    """The functions that list the options of settings, by setting."""


@dataclass(frozen=True, slots=True)
class FunctionTrigger(ConnectorTrigger):
    """A trigger with a function that the engine runs."""

    run: Callable[..., Any] | None = None
    leading: tuple[str, ...] = ()
    """The first parameters that are not settings."""

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """Return the keyword arguments for `run` that are settings."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A verified and parsed request. The values that its scheme declares secret are masked."""

    method: str
    headers: Sequence[tuple[str, str]]
    """The headers in the order received. Names are in lower case, and bytes above 127 are decoded as Latin-1."""
    content_type: str | None
    """The whole header, or None."""
    media_type: str
    """The media type without parameters, in lower case; the default is `application/octet-stream`."""
    body: Any
    """The value of the body, by the settings or the trigger's `body_mode`; None if there is no body."""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file from the body of a message. The engine stores it as an attachment of the message."""

    name: str
    type: str
    content: bytes
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message that a trigger makes of a request. It gets the headers of the request."""

    body: Any
    """A JSON value."""
    id: str | None = None
    """The id for deduplication, if the flow has no `dedupe_key`. Another message with it is a duplicate."""
    attachments: tuple[Attachment, ...] = ()
    """The attachments of the request that the message has."""
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestTrigger(Trigger):
    """A trigger that starts executions for HTTP requests to `/hook/<flow id>`.

    Its settings are those of the webhook, or extend them. `read` makes messages of requests that have a format of their
    own. Its functions are pure, and get the settings of the flow.
    """

    settings: type[WebhookSettings] = WebhookSettings
    read: Callable[[ParsedRequest, Any], Sequence[IncomingMessage]] | None = None
    """Return the messages of a request. If there are none, the response is still a success.

    Raises RequestRejected: Malformed with every problem, UnsupportedMedia, TooLarge.
    """
    body_mode: Callable[[str, Any], BodyMode] | None = None
    """Return the mode in which a body of a media type is read before `read`; the default is the flow's setting."""
    options: Callable[[Mapping[str, str], Any], WebhookResponse | None] | None = None
    """Return the response to OPTIONS, or None for the usual response. It gets the headers by lower-case name.

    It is called before the sender is verified.
    """


def _no_schedule(_settings: Any) -> Schedule:
    raise NotImplementedError("a ScheduleTrigger needs `schedule`")


@dataclass(frozen=True, slots=True)
class ScheduleTrigger(Trigger):
    """A trigger that starts executions at times. The body of messages is `scheduled_at, fired_at, previous_at`."""

    settings: type[ScheduleSettings] = ScheduleSettings
    schedule: Callable[[Any], Schedule] = _no_schedule
    """Return the times for validated settings."""


if TYPE_CHECKING:
    from hookline.sdk.context_parts import Resources
    from hookline.sdk.http_client import HttpClient
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Payload:
    """A body as bytes, which the engine reads like the body of a request.

    JSON and XML become values, and text becomes text. Everything else becomes an attachment named `body`, and the body
    is null.
    """

    data: bytes
    content_type: str | None = None
    """The media type, such as `application/json` or `text/plain; charset=iso-8859-1`; None if unknown."""
    filename: str | None = None
    """The file name of the attachment."""


@dataclass(frozen=True, slots=True)
class BrokerMessage:
    """A message that a broker has delivered, with the functions that acknowledge or reject it."""

    body: Any
    """Anything that an action may return, or a `Payload`."""
    id: str | None = None
    """The id of the message. Another message with the same id within the flow's `dedupe_window` is a duplicate."""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    accepted: Callable[[], Awaitable[None]] | None = None
    """Acknowledges the message, and is called when it is durable. None if the broker never delivers it again."""
    rejected: Callable[[str], Awaitable[None]] | None = None
    """Called instead, with the reason, if the flow rejects the message; the default is to acknowledge it."""


@dataclass(frozen=True, slots=True)
class ConsumeContext(TokenUser, Generic[C]):
    """The context of a function that consumes from a broker (`ctx`)."""

    credential: C
    """The credential of the trigger, an instance of the connector's credential type; None if the flow names none."""
    http: "HttpClient"
    blobs: "Blobs"
    """The store of the bytes of attachments."""
    log: Log
    resources: "Resources"
    """The resources that the plugin keeps open."""
    flow_id: str
    prefetch: int
    """The largest number of messages that are delivered but not acknowledged."""
    listening: Callable[[], None]
    """Call it as soon as messages can come. Until then the trigger counts as connecting."""
    credential_type: str | None = None
    exact: bool = False
    """True if the flow has exact numbers: fractions in bodies should be Decimals."""
    tokens: Tokens | None = None
    """The access tokens of the credential. `access_token` uses it."""


@dataclass(frozen=True, slots=True)
class ConsumeTrigger(FunctionTrigger):
    """A trigger that starts executions for the messages of a broker."""

    settings: type[ConsumeSettings] = ConsumeSettings
    run: Callable[..., AsyncIterator[BrokerMessage]] | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionContext(TokenUser, Generic[C]):
    """The context of the functions that subscribe, unsubscribe and renew (`ctx`)."""

    credential: C
    """The credential of the trigger, an instance of the connector's credential type; None if the flow names none."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """The resources that the plugin keeps open."""
    flow_id: str
    url: str
    """The URL to which the provider must send: the public URL of the flow, which never changes."""
    secret: str = field(repr=False)
    """The secret with which the provider must sign: 64 hexadecimal digits from the engine. If the provider makes the
    secret, it is empty at first, and then the provider's."""
    known: Any
    """The `id` of the flow's present subscription, or None.

    A subscription of an earlier call that failed later is not known: look for it by its URL.
    """
    now: datetime
    """The current time, in UTC."""
    credential_type: str | None = None
    tokens: Tokens | None = None
    """The access tokens of the credential. `access_token` uses it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The subscription that exists at the provider."""

    id: Any
    """A JSON value of at most 64 KB with everything that is needed to find and remove the subscription.

    It must not have secrets, because it is not encrypted. If a later call returns an equal id, it is the same
    subscription, changed. If it returns another id, the earlier subscription is removed afterwards.
    """
    secret: str | None = field(default=None, repr=False)
    """The secret that the provider has made; None if it uses the context's secret, or if the secret is unchanged."""
    expires_at: datetime | None = None
    """The time of expiry, with a time zone. The subscription is renewed when half of the time is over."""


Subscribe = Callable[..., Awaitable[Subscription]]
Unsubscribe = Callable[[SubscriptionContext[Any]], Awaitable[None]]
Renew = Callable[[SubscriptionContext[Any]], Awaitable[Subscription | None]]


@dataclass(frozen=True, slots=True)
class WebhookTrigger(ConnectorTrigger):
    """A trigger that starts executions for requests of a provider, with which the engine has a subscription."""

    settings: type[SubscribedSettings] = SubscribedSettings
    """The model of its own settings and of those of a webhook without `verify`."""
    scheme: str = ""
    """The name of the scheme with which the provider signs."""
    scheme_settings: Mapping[str, Any] = field(default_factory=dict)
    """More settings of the scheme, as in `verify`."""
    secret_field: str | None = None
    """The field of the scheme's credential with the secret; None for `secret`, or for the only required field."""
    gives_secret: bool = False
    """True if the provider makes the secret and returns it with the subscription."""
    subscribe: Subscribe | None = None
    unsubscribe: Unsubscribe | None = None
    renew: Renew | None = None
    every: timedelta | None = None
    """The interval of renewals, also if the subscription doesn't expire."""
    timeout: timedelta = timedelta(minutes=1)
    """The time limit of a call, which is then retried."""
    own: type[BaseModel] = BaseModel
    """The model of the trigger's own settings."""

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the keyword arguments for `subscribe`, from its own settings as JSON. Raises ValidationError."""
        settings = self.own.model_validate(given)
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def own_names(self) -> frozenset[str]:
        """Return the names of the trigger's own settings."""
        return frozenset(found.alias or name for name, found in self.own.model_fields.items())


class WebhookFunctions:
    """The decorators for the other functions of a trigger with a subscription: the result of `@acme.webhook`."""

    def __init__(self, name: str, put: Callable[[str, Any], None]) -> None:
        self.name = name
        """The name of the trigger."""
        self._put = put

    def unsubscribe(self, function: Unsubscribe, /) -> Unsubscribe:
        """Decorate the async function that removes a subscription, as in `@events.unsubscribe`.

        Its parameter is a `SubscriptionContext`, whose `known` is the subscription. It must not raise an error if the
        subscription no longer exists. Raises PluginError, which names the function, for an invalid signature.
        """
        self._put("unsubscribe", function)
        return function

    def renew(self, *, every: str | None = None) -> Callable[[Renew], Renew]:
        """Decorate the async function that renews a subscription, as in `@events.renew(every="1d")`.

        Its parameter is a `SubscriptionContext`. It returns the Subscription, or None if it no longer exists, so that
        the engine subscribes again. It is called at the interval `every`, and when half of the time until the expiry is
        over. Raises PluginError, which names the function, for an invalid signature.
        """

        def add(function: Renew) -> Renew:
            self._put("renew", (function, every))
            return function

        return add
