"""Triggers that listen to a broker: `@acme.consume` on an async generator.

The function is given a `ConsumeContext` and the settings. It connects, says that it listens, and yields a `Delivery`
for each message that comes. The engine makes messages durable, many in one commit, and only then calls what
acknowledges them: a message is the broker's until it is ours, whenever the process dies.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hookline.kernel.merge_logger import Log
from hookline.model.merge_model_consume import ConsumeSettings
from hookline.model.message import Attachment
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.triggers import OwnTrigger

if TYPE_CHECKING:
    from hookline.sdk.http import HttpClient
    from hookline.sdk.merge_resources import Resources
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
class Delivery:
    """A message that a broker has delivered, and what tells the broker what became of it."""

    body: Any
    """What an action may return, or a `Payload`."""
    id: str | None = None
    """One that comes with the same id again within the flow's `dedupe_window` starts nothing."""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()
    accepted: Callable[[], Awaitable[None]] | None = None
    """Acknowledges it: awaited once it is durable. None where the broker keeps nothing that could come again."""
    refused: Callable[[str], Awaitable[None]] | None = None
    """Awaited instead where the flow refuses it, with the reason; by default it is acknowledged as well."""


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
class ConsumeTrigger(OwnTrigger):
    """Started by what a broker delivers."""

    settings: type[ConsumeSettings] = ConsumeSettings
    run: Callable[..., AsyncIterator[Delivery]] | None = None
