"""The hook: what happens to a request to `/hook/<flow id>`, from its framing to its answer.

It knows no web framework. The order of its checks is a promise, since each decides what a later one may cost or tell:
framing, flow, method, declared size, client rate, media type, address and credentials in headers, counted size,
signature, handshake, parsing, schema, and then what intake decides in one transaction: duplicate, rate and backlog,
store.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime
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
from hookline.http import HttpClient
from hookline.ids import Ids
from hookline.model.message import Envelope
from hookline.model.webhook import WebhookSettings
from hookline.ports import Accepted, Blobs, Duplicate
from hookline.scheme import Answer, Scheme, SignedRequest, Verified
from hookline.service import answers, cors
from hookline.service.bodies.codings import content_codings
from hookline.service.bodies.media import QUERY, check_media, read_media
from hookline.service.bodies.reader import BodyReader, Limits
from hookline.service.clients import Clients, ForwardedHeader, Networks, check_address
from hookline.service.envelopes import Envelopes
from hookline.service.exchange import HookReply, HookRequest, SenderGone
from hookline.service.refusing import Beginning, Refuser, Seen
from hookline.service.request_headers import Headers, check_framing, read_headers
from hookline.service.responding import Responder
from hookline.service.staging import Staged, stage
from hookline.service.uploads import Uploads
from hookline.service.verification import CredentialSource, Verification
from hookline.service.wire import Wire

__all__ = ["Hook", "HookOptions", "HookReply", "HookRequest", "Intake", "SenderGone"]

_log: Final = structlog.get_logger("hookline.service")
_RETRY_AFTER: Final = 5.0


class Intake(Protocol):
    """Where accepted messages go: `hookline.runtime.intake`."""

    def flow(self, flow_id: str) -> CompiledFlow:
        """The version that is current. Raises FlowUnknown, and Unavailable while it can't run."""
        ...

    async def accept(self, flow: CompiledFlow, envelope: Envelope) -> Accepted | Duplicate:
        """Return when the message is durable. Raises TooMany and Unavailable."""
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
        options: HookOptions,
        responder: Responder,
        refuser: Refuser,
    ) -> None:
        self._refuser = refuser
        self._intake = intake
        self._credentials = credentials
        self._blobs = blobs
        self._http = http
        self._clock = clock
        self._envelopes = Envelopes(clock, ids)
        self._options = options
        self._responder = responder
        self._turn = asyncio.Semaphore(1)
        self._clients = Clients(options.trusted_proxies, options.forwarded_header)
        self._public_url = options.public_url.rstrip("/")

    async def handle(self, request: HookRequest) -> HookReply:
        """The answer to a request. Raises SenderGone, and never anything else: what is unforeseen is a 503."""
        seen = Seen()
        reply = await self._handle(request, seen)
        return reply if seen.webhook is None else cors.allowing(reply, seen.webhook, seen.origin)

    async def _handle(self, request: HookRequest, seen: Seen) -> HookReply:
        scheme: Scheme[Any, Any] | None = None
        try:
            headers = read_headers(request)
            check_framing(request.http_version, headers.joined)
            name, _, path = request.path.partition("/")
            flow = self._intake.flow(name)
            seen.flow_id = flow.id
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
            reply = self._refuser.refuse(request, seen, error)
            return reply if scheme is None or not scheme.bare_refusals else answers.bare(reply)
        except SenderGone:
            self._refuser.gone(seen)
            raise
        except StoreError as error:
            _log.warning("hook.store_unavailable", flow=seen.flow_id, error=error.message)
            return self._refuser.refuse(request, seen, Unavailable(retry_after=_RETRY_AFTER))
        except Exception as error:  # noqa: BLE001 - a sender takes a 503 as "try again", and a 500 may be final
            _log.error("hook.defect", flow=seen.flow_id, exc_info=error)
            return self._refuser.refuse(request, seen, Unavailable(retry_after=_RETRY_AFTER))
        if isinstance(outcome, Answer):
            return answers.answered(outcome)
        if isinstance(outcome, HookReply):
            return outcome
        return answers.accepted(flow, webhook, outcome)

    async def _accept(
        self,
        request: HookRequest,
        headers: Headers,
        flow: CompiledFlow,
        webhook: WebhookSettings,
        path: str,
        seen: Seen,
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
        reader = BodyReader(
            media, codings, limits, webhook, query, joined.get("content-disposition"), flow.exact, self._turn
        )
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
            envelope = self._envelopes.of(
                flow,
                webhook,
                headers,
                received,
                verified,
                method=request.method,
                path=path,
                query=query,
                received_at=received_at,
                sender=sender,
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


def _not_taken(webhook: WebhookSettings) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"the flow takes {', '.join(webhook.methods)}",
        headers=[("allow", ", ".join((*webhook.methods, "HEAD")))],
    )
