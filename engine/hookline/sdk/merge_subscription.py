"""Triggers that subscribe with their provider: `@acme.webhook(scheme="github")` on an async function.

The function is given a `SubscriptionContext` and the trigger's settings, and lets the provider send what happens to
`ctx.url`. It gives a `Subscription`: what identifies that one there. Others undo it (`@events.unsubscribe`) and look
after it (`@events.renew`). The engine calls them as a flow comes, changes and goes, and keeps in its store what is
subscribed; it dies at any moment without a second subscription, since the function adopts one that is there for
`ctx.url` already.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from hookline.kernel.merge_logger import Log
from hookline.model.webhook import SubscribedSettings
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.triggers import ConnectorTrigger

if TYPE_CHECKING:
    from hookline.sdk.http import HttpClient
    from hookline.sdk.merge_resources import Resources

C = TypeVar("C")


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
