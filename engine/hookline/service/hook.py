"""The hook: what happens to a request to `/hook/<flow id>`, from its framing to its answer.

It knows no web framework. The order of its checks is a promise, since each decides what a later one may cost or tell:
framing, flow, method, declared size, client rate, media type, address and credentials in headers, counted size,
signature, handshake, parsing, schema, and then what intake decides in one transaction: duplicate, rate and backlog,
store.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

import structlog

from hookline.clock import Clock
from hookline.errors import (
    FlowUnknown,
    MethodNotAllowed,
    RequestRefused,
    SchemaViolation,
    StoreError,
    TooLarge,
    TooMany,
    Unavailable,
)
from hookline.flows.compiled import CompiledFlow
from hookline.flows.keys import arrival_scope, bounded
from hookline.http import HttpClient
from hookline.ids import Ids
from hookline.model.message import Arrival, Envelope, Message
from hookline.model.webhook import WebhookSettings
from hookline.ports import Accepted, Blobs, Duplicate
from hookline.scheme import Answer, Scheme, SignedRequest, Verified
from hookline.service import cors
from hookline.service.bodies.codings import content_codings
from hookline.service.bodies.media import QUERY, check_media, read_media
from hookline.service.bodies.properties import lenient_query
from hookline.service.bodies.reader import BodyReader, Limits
from hookline.service.bodies.received import Received
from hookline.service.clients import Address, Clients, ForwardedHeader, Networks, check_address
from hookline.service.exchange import HookReply, HookRequest, SenderGone
from hookline.service.masking import Masks
from hookline.service.problems import refusal
from hookline.service.refused import Beginning, Refusals, announced, explained
from hookline.service.request_headers import Headers, check_framing, read_headers
from hookline.service.responding import Responder, accepted_reply
from hookline.service.staging import Staged, stage
from hookline.service.uploads import Uploads
from hookline.service.verification import CredentialSource, Verification
from hookline.service.wire import Wire

__all__ = ["Hook", "HookOptions", "HookReply", "HookRequest", "Intake", "SenderGone"]

_log: Final = structlog.get_logger("hookline.service")
_JSON: Final = (b"content-type", b"application/json")
_EXECUTION_ID: Final = b"hookline-execution-id"
_UNKNOWN_FLOW: Final = "-"
_RETRY_AFTER: Final = 5.0
_NO_MASKS: Final = Masks()


class Intake(Protocol):
    """Where accepted messages go: `hookline.runtime.intake`."""

    def flow(self, flow_id: str) -> CompiledFlow:
        """The version that is current. Raises FlowUnknown, and Unavailable while it can't run."""
        ...

    async def accept(self, flow: CompiledFlow, envelope: Envelope) -> Accepted | Duplicate:
        """Return when the message is durable. Raises TooMany and Unavailable."""
        ...


class Counts(Protocol):
    """Where refusals are counted: `hookline.runtime.metrics`. Intake counts the rest."""

    def refused(self, flow_id: str, reason: str) -> None:
        """`reason` is the error's code; unknown flows count under one name."""
        ...


@dataclass(frozen=True, slots=True)
class HookOptions:
    """The server's settings for hooks."""

    public_url: str
    """Where the world reaches this server: what schemes sign begins with it."""
    max_body: int = 10_000_000
    """Bytes in a body that is held in memory, on the wire and inflated."""
    max_file: int = 1_000_000_000
    """Bytes in a file."""
    read_timeout: float = 30.0
    """Seconds that a sender may be silent within its body."""
    trusted_proxies: Networks = ()
    """Where the proxies are in front of this server, each of which says who called it."""
    forwarded_header: ForwardedHeader = "x-forwarded-for"
    """The header in which they say so."""


class _Seen:
    """What the answer to a request needs of its flow, whatever the answer is."""

    __slots__ = ("beginning", "client", "masks", "origin", "webhook", "wire")

    def __init__(self) -> None:
        self.webhook: WebhookSettings | None = None
        self.origin: str | None = None
        self.masks = _NO_MASKS
        self.client: str | None = None
        self.wire: Wire | None = None
        self.beginning: Beginning | None = None


class Hook:
    """Answers requests. One for each server; of them it keeps the rates of clients, a bounded number."""

    def __init__(
        self,
        *,
        intake: Intake,
        credentials: CredentialSource,
        blobs: Blobs,
        http: HttpClient,
        clock: Clock,
        ids: Ids,
        metrics: Counts,
        options: HookOptions,
        responder: Responder,
        refusals: Refusals,
    ) -> None:
        self._refusals = refusals
        self._intake = intake
        self._credentials = credentials
        self._blobs = blobs
        self._http = http
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._options = options
        self._responder = responder
        self._clients = Clients(options.trusted_proxies, options.forwarded_header)
        self._public_url = options.public_url.rstrip("/")

    async def handle(self, request: HookRequest) -> HookReply:
        """The answer to a request. Raises SenderGone, and never anything else: what is unforeseen is a 503."""
        seen = _Seen()
        reply = await self._handle(request, seen)
        return reply if seen.webhook is None else cors.allowing(reply, seen.webhook, seen.origin)

    async def _handle(self, request: HookRequest, seen: "_Seen") -> HookReply:
        flow_id = _UNKNOWN_FLOW
        scheme: Scheme[Any, Any] | None = None
        try:
            headers = read_headers(request)
            check_framing(request.http_version, headers.joined)
            name, _, path = request.path.partition("/")
            flow = self._intake.flow(name)
            flow_id = flow.id
            webhook = flow.trigger.webhook
            if webhook is None:
                raise FlowUnknown  # noqa: TRY301 - one place answers all refusals
            if webhook.cors is not None:
                seen.webhook, seen.origin = webhook, headers.joined.get("origin")
            if request.method == "HEAD":
                return HookReply(200)
            if request.method == "OPTIONS":
                return cors.options(webhook, headers.joined)
            scheme = flow.trigger.scheme
            if request.method not in webhook.methods and (
                scheme is None or request.method not in scheme.handshake_methods
            ):
                raise _not_taken(webhook)  # noqa: TRY301 - one place answers all refusals
            outcome = await self._accept(request, headers, flow, webhook, path, seen)
        except RequestRefused as error:
            reply = self._refuse(flow_id, request, seen, error)
            return reply if scheme is None or not scheme.bare_refusals else _bare(reply)
        except SenderGone:
            self._metrics.refused(flow_id, "sender_gone")
            raise
        except StoreError as error:
            _log.warning("hook.store_unavailable", flow=flow_id, error=error.message)
            return self._refuse(flow_id, request, seen, Unavailable(retry_after=_RETRY_AFTER))
        except Exception as error:  # noqa: BLE001 - a sender takes a 503 as "try again", and a 500 may be final
            _log.error("hook.defect", flow=flow_id, exc_info=error)
            return self._refuse(flow_id, request, seen, Unavailable(retry_after=_RETRY_AFTER))
        if isinstance(outcome, Answer):
            return _answered(outcome)
        if isinstance(outcome, HookReply):
            return outcome
        if webhook.accepted is not None:
            return accepted_reply(webhook.accepted, outcome.execution_id)
        execution_id = outcome.execution_id.encode()
        if scheme is not None and scheme.accepted is not None:
            reply = _answered(scheme.accepted)
            return HookReply(reply.status, (*reply.headers, (_EXECUTION_ID, execution_id)), reply.body)
        if isinstance(outcome, Accepted):
            status, word = 202, b"queued"
        else:
            status, word = 200, b"duplicate"
        # Ids hold nothing that JSON would have to escape.
        body = b'{"execution_id":"%b","flow_id":"%b","status":"%b"}' % (execution_id, flow_id.encode(), word)
        return HookReply(status, (_JSON, (_EXECUTION_ID, execution_id)), body)

    def _refuse(self, flow_id: str, request: HookRequest, seen: "_Seen", error: RequestRefused) -> HookReply:
        """Count a refusal, record it, and answer it."""
        self._metrics.refused(flow_id, error.counted_as)
        came = seen.wire.received if seen.wire is not None else 0
        self._refusals.add(
            flow_id,
            code=error.code,
            status=error.status,
            detail=explained(error),
            method=request.method,
            path=request.path,
            size=came or announced(request.headers),
            client=seen.client or request.client,
            body=seen.beginning.masked(seen.masks) if seen.beginning is not None else None,
        )
        return refusal(error)

    async def _accept(
        self,
        request: HookRequest,
        headers: Headers,
        flow: CompiledFlow,
        webhook: WebhookSettings,
        path: str,
        seen: "_Seen",
    ) -> Accepted | Duplicate | Answer | HookReply:
        received_at = self._clock.now()
        options = self._options
        limits = Limits(webhook.max_body or options.max_body, webhook.max_file or options.max_file)
        joined = headers.joined
        media = QUERY if request.method == "GET" else read_media(joined.get("content-type"), webhook.body)
        limit = limits.wire(media.kind)
        declared = joined.get("content-length")
        if declared is not None and int(declared) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        sender = self._clients.address(request.client, joined)
        seen.client = str(sender) if sender is not None else request.client
        self._clients.check_rate(flow.id, webhook, sender, self._clock.monotonic())
        codings = content_codings(joined.get("content-encoding"))
        check_media(webhook, media, joined)
        check_address(webhook, sender)
        verification = self._open(flow, request, headers, received_at)
        verified: Verified | None = None
        if verification is not None:
            headers = headers.without(verification.masks.headers)
            if not verification.reads_body:
                verified = await verification.finish()

            seen.masks = verification.masks
        masks = seen.masks
        query = masks.in_query(request.query, is_body=media is QUERY)
        uploads = Uploads(self._blobs)
        source = request.body
        if webhook.keep_refused_bodies:
            source = seen.beginning = Beginning(source)
        seen.wire = wire = Wire(source, limit, self._clock, options.read_timeout)
        reader = BodyReader(media, codings, limits, webhook, query, joined.get("content-disposition"))
        try:
            staged: Staged | None = None
            if verification is not None and verified is None:
                staged = await stage(wire, verification.feed, uploads)
                verified = await verification.finish()
            if verified is not None and verified.answer is not None:
                await uploads.discard()
                return verified.answer
            if request.method not in webhook.methods:
                raise _not_taken(webhook)  # noqa: TRY301 - what was stored on the way goes
            received = await (reader.read(wire, uploads) if staged is None else reader.read_staged(staged, uploads))
            if flow.schema is not None and (problems := flow.schema.problems(received.body)):
                raise SchemaViolation(problems=problems)  # noqa: TRY301 - what was stored on the way goes
            received = masks.in_body(received)
            envelope = self._envelope(
                flow, webhook, request, headers, path, query, received, verified, received_at, sender
            )
        except BaseException:  # cancelled or refused, what was stored on the way goes
            await uploads.discard()
            raise
        commit = partial(self._commit, flow, envelope, uploads)
        if webhook.respond == "accepted":
            return await commit()
        return await self._responder.answer(envelope.execution_id, webhook, commit)

    async def _commit(self, flow: CompiledFlow, envelope: Envelope, uploads: Uploads) -> Accepted | Duplicate:
        try:
            outcome = await self._intake.accept(flow, envelope)
        except (TooMany, SchemaViolation):
            await uploads.discard()
            raise
        # After any other failure it isn't known whether the message was stored. Its blobs stay: the sweeper takes
        # those that nothing refers to.
        if isinstance(outcome, Duplicate):
            await uploads.discard()
        return outcome

    def _open(
        self, flow: CompiledFlow, request: HookRequest, headers: Headers, received_at: datetime
    ) -> Verification | None:
        scheme = flow.trigger.scheme
        if scheme is None:
            return None
        url = self._public_url + request.raw_path.decode("latin-1")
        if request.query:
            url += "?" + request.query.decode("latin-1")
        signed = SignedRequest(request.method, url, headers.received, received_at, self._http)
        return Verification(flow.id, scheme, flow.trigger, signed, self._credentials)

    def _envelope(
        self,
        flow: CompiledFlow,
        webhook: WebhookSettings,
        request: HookRequest,
        headers: Headers,
        path: str,
        query: bytes,
        received: Received,
        verified: Verified | None,
        received_at: datetime,
        sender: Address | None,
    ) -> Envelope:
        trigger = flow.trigger
        message = Message(received.body, headers.joined, received.attachments)
        arrival = Arrival(
            use=trigger.use,
            method=request.method,
            path=path,
            query=lenient_query(query) if query else {},
            received_at=received_at,
            verified_by=trigger.scheme.name if trigger.scheme is not None else None,
            client=str(sender) if sender is not None else None,
            scheme_id=verified.dedupe_key if verified is not None else None,
        )
        key: str | None = None
        if trigger.dedupe_key is not None:
            key = trigger.dedupe_key.text(arrival_scope(message, arrival, flow.vars))
        elif arrival.scheme_id is not None:
            key = bounded(f"v:{arrival.scheme_id}")
        accepted_at = self._clock.now()
        return Envelope(
            execution_id=self._ids.new(),
            flow_id=flow.id,
            message=message,
            arrival=arrival,
            accepted_at=accepted_at,
            dedupe_key=key,
            dedupe_until=accepted_at + _window(flow, webhook) if key is not None else None,
            body_json=received.json,
            raw=received.raw,
            raw_headers=headers.received,
        )


def _not_taken(webhook: WebhookSettings) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"the flow takes {', '.join(webhook.methods)}",
        headers=[("allow", ", ".join((*webhook.methods, "HEAD")))],
    )


def _window(flow: CompiledFlow, webhook: WebhookSettings) -> timedelta:
    scheme = flow.trigger.scheme
    if scheme is None:
        return webhook.dedupe_window
    return max(webhook.dedupe_window, scheme.remembers(flow.trigger.scheme_settings))


def _answered(answer: Answer) -> HookReply:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.media_type is not None:
        headers.append((b"content-type", answer.media_type.encode("latin-1")))
    # Much of an answer is what the sender chose: no browser may take it for anything but what we say that it is.
    headers = [one for one in headers if one[0] != b"x-content-type-options"]
    return HookReply(answer.status, (*headers, (b"x-content-type-options", b"nosniff")), answer.body)


def _bare(reply: HookReply) -> HookReply:
    return HookReply(reply.status, tuple(one for one in reply.headers if one[0] != b"content-type"))
