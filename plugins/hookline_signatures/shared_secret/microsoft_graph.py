"""Microsoft Graph's change notifications."""

from datetime import timedelta
from typing import Annotated, ClassVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from hookline.api import NoSettings, NotVerified, RequestVerifier, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.handshake import echo
from hookline_signatures.building_blocks.json_body import JsonBody, read_json, with_member
from hookline_signatures.building_blocks.secret_fields import Secrets, as_bytes
from hookline_signatures.generic.header_only import among

_STATE = "clientState"


class _Notification(msgspec.Struct):
    state: str = msgspec.field(name=_STATE)


class _Collection(msgspec.Struct):
    value: Annotated[list[_Notification], msgspec.Meta(min_length=1)]


class _Unsigned(msgspec.Struct):
    value: list[msgspec.Raw]


class MicrosoftGraphCredential(BaseModel):
    """The client state that was given when the subscription was created."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_state: Secrets = Field(
        description="The subscription's `clientState`, of at most 128 characters; or a list, each of which is accepted."
    )


class MicrosoftGraph(Scheme[MicrosoftGraphCredential, NoSettings]):
    """Microsoft Graph signs nothing: each notification has the `clientState` of its subscription in the body.

    Create the subscription (`POST /subscriptions`) with the flow's URL as `notificationUrl`, and a long random text as
    `clientState`. Graph then sends a `POST` with a `validationToken` in the query, which is answered with the same
    text; no flow is started. It is sent as `text/plain`: a flow with `media_types` lists that too. The
    `lifecycleNotificationUrl` may be the same hook.

    Each notification of a request has to have the right state, or all are rejected. The tokens that come with encrypted
    contents (`validationTokens`) are not checked. Graph has no id for a request: there is no dedupe key. It accepts any
    2xx, waits 10 seconds for it, and retries for 4 hours.
    """

    name: ClassVar[str] = "microsoft-graph"
    title: ClassVar[str] = "Microsoft Graph"
    credential: ClassVar[type[BaseModel] | None] = MicrosoftGraphCredential
    retries_for: ClassVar[timedelta] = timedelta(hours=4)

    def open(
        self, request: SignedRequest, credential: MicrosoftGraphCredential, settings: NoSettings
    ) -> RequestVerifier:
        """Answer the handshake, or wait for the body."""
        if (token := request.parameter("validationToken")) is not None:
            # Graph doesn't sign it. The sender gets back what it sent, as text.
            return echo(token)
        return _Shown(as_bytes(credential.client_state))

    def secret_fields(self, settings: NoSettings) -> tuple[str, ...]:
        """Return the path of each notification's state."""
        return (f"/value/*/{_STATE}",)

    def complete(
        self, request: SignedRequest, body: bytes, credential: MicrosoftGraphCredential, settings: NoSettings
    ) -> bytes:
        """Add the first state to each notification."""
        collection = read_json(body, _Unsigned)
        if collection is None:
            raise ValueError('the body isn\'t a collection of notifications: {"value": [{…}, …]}')
        state = as_bytes(credential.client_state)[0].decode()
        shown = [msgspec.Raw(with_member(bytes(one), _STATE, state)) for one in collection.value]
        return with_member(body, "value", shown)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MicrosoftGraphCredential, settings: NoSettings
    ) -> list[tuple[str, str]]:
        """Return no headers: the state is in the body."""
        return []


class _Shown:
    def __init__(self, states: list[bytes]) -> None:
        self._states = states
        self._body = JsonBody(_Collection)

    def feed(self, chunk: bytes) -> None:
        self._body.feed(chunk)

    async def finish(self) -> Verified:
        collection = self._body.read()
        if collection is None:
            raise NotVerified("the body isn't a collection of notifications with a clientState each")
        holds = True
        for one in collection.value:
            # Each is compared, so that the time taken doesn't tell which of them was wrong.
            holds &= among(one.state.encode(), self._states)
        if not holds:
            raise NotVerified("the clientState of a notification is wrong")
        return Verified()
