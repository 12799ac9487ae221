"""Receiving a request: from its declared size to its verified and masked body.

The order of the checks is fixed, since each decides how much a later one may cost or reveal: declared size, client
rate, media type, address and credentials in headers, counted size, signature, handshake, parsing, schema.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus

import msgspec

from hookline.bodies.media_types import OCTET_STREAM, QUERY, Media, read_media
from hookline.bodies.received_body import Received
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.schemas.body_schema import BodySchema
from hookline.intake.body_checker import BodyChecker
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import MethodNotAllowed, NotVerified, TooLarge, UnsupportedMedia
from hookline.model.webhook import RequestSettings, takes
from hookline.plugin_host.large_value_work import Offloader
from hookline.sdk.http_client import HttpClient
from hookline.sdk.schemes import SignedRequest, Verified, WebhookResponse
from hookline.sdk.triggers import RequestTrigger
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.cors import allow
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.hooks.messages_read_by_triggers import ReadMessage, read_messages
from hookline.service.hooks.rejection import BodyPrefix, RequestContext
from hookline.service.hooks.sender import (
    Address,
    ForwardedHeader,
    Networks,
    Senders,
    address_text,
    check_address,
)
from hookline.service.hooks.verification import (
    CredentialSource,
    Verification,
    Verifier,
    masks_of,
    subscription_credential,
)
from hookline.service.uploads.body_reader import BodyLimits, BodyReader
from hookline.service.uploads.body_stream import BodyStream, StagedBody, stage_body
from hookline.service.uploads.byte_budget import ByteBudget
from hookline.service.uploads.decompression import content_codings
from hookline.service.uploads.request_blobs import RequestBlobs
from hookline.sources.subscription_store import SubscriptionStore
from hookline.storage.blobs import Blobs


@dataclass(frozen=True, slots=True)
class HookOptions:
    """The server settings for hooks."""

    public_url: str
    """The public URL of this server; the URLs that schemes sign begin with it."""
    max_body: int = 10_000_000
    """Bytes in a body that is held in memory, as received and decompressed."""
    max_file: int = 1_000_000_000
    """Bytes in a file."""
    max_file_total: int | None = None
    """Bytes of files that all requests in progress may have stored together; ten times `max_file` by default."""
    max_body_total: int | None = None
    """Bytes of bodies that all requests in progress may hold in memory together; fifty times `max_body` by default."""
    read_timeout: float = 30.0
    """Seconds for which a sender may be silent within its body."""
    max_request_time: float = 1800.0
    """Seconds in which a request has to be received and read. The sweeper leaves files alone for twice as long."""
    trusted_proxies: Networks = ()
    """The addresses of the proxies in front of this server."""
    forwarded_header: ForwardedHeader = "x-forwarded-for"
    """The header in which the proxies name their client."""


class RequestTarget(msgspec.Struct, frozen=True):
    """The flow or waiting step that a request is for, with its settings."""

    name: str
    """The name under which the rates of its clients are counted."""
    flow: CompiledFlow
    settings: RequestSettings
    verifier: Verifier
    schema: BodySchema | None = None
    trigger: RequestTrigger | None = None
    """The trigger that reads messages from its requests, if it has a format of its own."""

    def media(self, content_type: str | None) -> Media:
        """The media type of a body, and the way in which it is read."""
        media = read_media(content_type, self.settings.body)
        if self.trigger is None or self.trigger.body_mode is None:
            return media
        return read_media(content_type, self.trigger.body_mode(media.type, self.settings))

    def takes(self, request: HookRequest) -> bool:
        """True if a request with this method may bring a message or a handshake."""
        if request.method in self.settings.methods:
            return True
        scheme = self.verifier.scheme
        if scheme is None or request.method not in scheme.handshake_methods:
            return False
        name = scheme.handshake_parameter
        return name is None or name in _parameters(request.query)

    def not_taken(self) -> MethodNotAllowed:
        """The error for a request with another method."""
        methods = ", ".join(self.settings.methods)
        return MethodNotAllowed(f"{self.name!r} takes {methods}", headers=[("allow", allow(self.settings))])


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A request that was verified and read, with its secrets masked."""

    method: str
    headers: Headers
    query: bytes
    received: Received
    received_at: datetime
    verified: Verified | None
    verified_by: str | None
    client: str | None
    """The address of the sender, if it is known."""
    messages: tuple[ReadMessage, ...] | None = None
    """The messages that the trigger read, if it has a format of its own."""


class RequestReceiver:
    """Receives the requests of one server. It keeps the rates of a bounded number of clients."""

    def __init__(
        self,
        *,
        credentials: CredentialSource,
        subscriptions: SubscriptionStore,
        blobs: Blobs,
        http: HttpClient,
        clock: Clock,
        options: HookOptions,
        body_checker: BodyChecker,
    ) -> None:
        self._credentials = credentials
        self._subscriptions = subscriptions
        self._blobs = blobs
        self._stored = ByteBudget(options.max_file_total or 10 * options.max_file)
        self._held = ByteBudget(options.max_body_total or 50 * options.max_body)
        self._http = http
        self._clock = clock
        self._options = options
        self._offloader = Offloader()
        self._body_checker = body_checker
        self._clients = Senders(options.trusted_proxies, options.forwarded_header)
        self._public_url = options.public_url.rstrip("/")

    def request_blobs(self) -> RequestBlobs:
        """Return the blobs of a new request."""
        return RequestBlobs(self._blobs, self._stored, self._held)

    def max_body(self, settings: RequestSettings) -> int:
        """The most bytes of a body in memory."""
        return settings.max_body or self._options.max_body

    def client(self, request: HookRequest, headers: Mapping[str, str]) -> str | None:
        """The address of the sender, if it is known."""
        sender = self._clients.address(request.client, headers)
        return None if sender is None else address_text(sender)

    def check_sender(
        self, request: HookRequest, headers: Headers, target: RequestTarget, context: RequestContext
    ) -> None:
        """Check the sender of a request without a body. Raises TooManyRequests and NotVerified."""
        check_address(target.settings, self._sender(request, headers, target, context))

    async def receive(
        self,
        request: HookRequest,
        headers: Headers,
        target: RequestTarget,
        context: RequestContext,
        blobs: RequestBlobs,
    ) -> ReceivedRequest | WebhookResponse:
        """Return the verified and parsed request, or the response of its scheme to a handshake.

        Raises RequestRejected, SenderGone and StoreError. Then, and if the result is a response, the caller discards
        `blobs`.
        """
        received_at = self._clock.now()
        options, settings = self._options, target.settings
        limits = BodyLimits(self.max_body(settings), settings.max_file or options.max_file)
        joined = headers.joined
        source = request.body
        if settings.keep_rejected_bodies and target.flow.redaction_rules is None:
            source = self._record_prefix(source, target, context, unasked="expect" not in joined)
        # If the settings don't allow GET, only a handshake comes by GET.
        by_query = request.method == "GET"
        media = QUERY if by_query else target.media(joined.get("content-type"))
        limit = limits.wire(media.kind)
        declared = joined.get("content-length")
        if declared is not None and int(declared) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        sender = self._sender(request, headers, target, context)
        coding = joined.get("content-encoding")
        codings = () if coding is None else content_codings(coding)
        _check_media(settings, media, joined)
        context.stream = stream = BodyStream(source, limit, self._clock, options.read_timeout, options.max_request_time)
        try:
            check_address(settings, sender)
            verification = await self._open(target, request, headers, received_at)
        except NotVerified:
            await _read_to_end(stream, target.verifier)
            raise
        verified: Verified | None = None
        if verification is not None:
            headers = headers.without(verification.masks.headers)
            if not verification.reads_body:
                verified = await verification.finish()
            context.masks = verification.masks
        masks = context.masks
        query = masks.in_query(request.query, is_body=by_query)
        disposition = joined.get("content-disposition")
        reader = BodyReader(media, codings, limits, settings, query, disposition, target.flow.exact, self._offloader)
        staged: StagedBody | None = None
        if verification is not None and verified is None:
            staged = await stage_body(stream, verification.feed, blobs)
            verified = await verification.finish()
        if verified is not None and verified.response is not None:
            return verified.response
        if request.method not in settings.methods:
            raise target.not_taken()
        received = await (reader.read(stream, blobs) if staged is None else reader.read_staged(staged, blobs))
        messages: tuple[ReadMessage, ...] | None = None
        if target.trigger is not None and target.trigger.read is not None:
            received = masks.in_body(received)
            messages = await read_messages(
                target.trigger,
                settings,
                request.method,
                headers,
                media,
                received,
                schema=target.schema,
                blobs=blobs,
                offloader=self._offloader,
                body_checker=self._body_checker,
                exact=target.flow.exact,
            )
        elif target.schema is not None:
            await self._body_checker.check(target.flow, received.body)
        # Files that came first must not be swept before the commit that refers to them.
        stream.check_time()
        scheme = target.verifier.scheme
        return ReceivedRequest(
            request.method,
            headers,
            query,
            received if messages is not None else masks.in_body(received),
            received_at,
            verified,
            scheme.name if scheme is not None else None,
            None if sender is None else context.client,
            messages,
        )

    def _record_prefix(
        self, source: AsyncIterator[bytes], target: RequestTarget, context: RequestContext, *, unasked: bool
    ) -> AsyncIterator[bytes]:
        """Keep the beginning of a body, to be recorded if the request is rejected."""
        # If a scheme can't say what is secret, nothing may be recorded; verification reports the scheme's error.
        with suppress(Exception):
            context.masks = masks_of(target.verifier)
            source = context.prefix = BodyPrefix(source, unasked=unasked)
        return source

    def _sender(
        self, request: HookRequest, headers: Headers, target: RequestTarget, context: RequestContext
    ) -> Address | None:
        """The address of the sender. Raises TooManyRequests above its rate limit."""
        scheme = target.verifier.scheme
        context.challenge = None if scheme is None else scheme.challenge
        sender = self._clients.address(request.client, headers.joined)
        context.client = address_text(sender) if sender is not None else request.client
        self._clients.check_rate(target.name, target.settings, sender, self._clock.monotonic())
        return sender

    async def _open(
        self, target: RequestTarget, request: HookRequest, headers: Headers, received_at: datetime
    ) -> Verification | None:
        scheme = target.verifier.scheme
        if scheme is None:
            return None
        url = self._public_url + request.raw_path.decode("latin-1")
        if request.query:
            url += "?" + request.query.decode("latin-1")
        signed = SignedRequest(request.method, url, headers.received, received_at, self._http)
        credentials = self._credentials
        if target.verifier is target.flow.trigger and target.flow.trigger.subscribes is not None:
            credentials = await subscription_credential(target.flow, self._subscriptions)
        return Verification(target.flow.id, scheme, target.verifier, signed, credentials)


def _check_media(webhook: RequestSettings, media: Media, headers: dict[str, str]) -> None:
    """Raise UnsupportedMedia for a declared type that a flow doesn't accept."""
    if media is QUERY:
        return
    if webhook.media_types is not None and not takes(webhook.media_types, media.type):
        # An empty body needs no type.
        if media.said or headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            raise _type_not_taken(webhook.media_types, media)
        return
    # A file without a declared type is checked by its bytes once they come.
    files = webhook.file_types
    if files is not None and media.kind == "file" and media.type != OCTET_STREAM and not takes(files, media.type):
        raise _type_not_taken(files, media)


def _type_not_taken(taken: tuple[str, ...], media: Media) -> UnsupportedMedia:
    return UnsupportedMedia(f"the flow takes {', '.join(taken)}, not {media.type[:100]}")


def _parameters(query: bytes) -> set[str]:
    """The names of the parameters of a query."""
    return {unquote_plus(pair.partition("=")[0]) for pair in query.decode("latin-1").split("&")}


async def _read_to_end(stream: BodyStream, verifier: Verifier) -> None:
    """Read a body to its end although the request is rejected already.

    Otherwise the time of the response would tell whether the headers or the body were the reason.
    """
    if verifier.scheme is not None and verifier.scheme.reads_body:
        with suppress(TooLarge):
            async for _ in stream:
                pass
