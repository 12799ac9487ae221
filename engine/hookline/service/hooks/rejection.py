"""Rejecting a request: it is counted and recorded, and its sender gets a problem document."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import structlog

from hookline.bodies.received_body import Received
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import CannotVerify, NotVerified, RequestRejected, ServiceUnavailable, StoreError
from hookline.kernel.json import decode, encode
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.model.rejection import BODY_KEPT
from hookline.model.webhook import RequestSettings
from hookline.service.hook_request_and_response import HookRequest, HookResponse, SenderGone
from hookline.service.hooks import cors, immediate_responses
from hookline.service.hooks.headers_and_masks import Headers, Masks, read_headers
from hookline.service.problem_documents import rejection_response
from hookline.service.uploads.body_stream import BodyStream
from hookline.storage.change_declarations import Accepted, CallbackRepeated, CallbackStored, Duplicate
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.rejections import RejectionRecord
from hookline.telemetry.store_problem import StoreProblem

UNKNOWN_FLOW: Final = "-"
"""The flow id under which requests to unknown flows are counted and recorded."""
PREFIX_SECONDS: Final = 2.0
"""Seconds in which the beginning of a rejected request's body is read."""
RETRY_AFTER: Final = 5.0
_PROBLEMS: Final = 5
_log: Final = structlog.get_logger("hookline.service")
_NO_MASKS: Final = Masks()


Acceptance: TypeAlias = Accepted | Duplicate | CallbackStored | CallbackRepeated


class RequestContext:
    """The facts about a request that its response needs, whether it is accepted or rejected."""

    __slots__ = (
        "bare",
        "challenge",
        "client",
        "error",
        "flow_id",
        "masks",
        "origin",
        "outcomes",
        "path",
        "prefix",
        "rejection",
        "stream",
        "webhook",
    )

    def __init__(self) -> None:
        self.flow_id = UNKNOWN_FLOW
        self.webhook: RequestSettings | None = None
        """The settings that allow pages of other origins to read the response."""
        self.bare = False
        """True if rejections have no body."""
        self.origin: str | None = None
        self.path: str | None = None
        """The path to record, if the real path is a secret."""
        self.masks = _NO_MASKS
        self.client: str | None = None
        self.challenge: str | None = None
        """The value of `WWW-Authenticate` for a sender that couldn't be verified."""
        self.rejection: Callable[[RequestRejected], HookResponse] = rejection_response
        """Makes the response if the request is rejected: a problem document, or a page."""
        self.stream: BodyStream | None = None
        self.prefix: BodyPrefix | None = None
        self.error: RequestRejected | None = None
        """The error because of which the request was rejected."""
        self.outcomes: Sequence[Acceptance] = ()
        """The messages or the callback that were stored, or stored before."""


class RejectionHandler:
    """Counts, records and answers the rejected requests of one server."""

    def __init__(self, metrics: Metrics, record: RejectionRecord, clock: Clock, store_problem: StoreProblem) -> None:
        self._metrics = metrics
        self._record = record
        self._unverified = OngoingProblem(
            _log, clock, "the senders of a flow can't be verified", "the senders of a flow can be verified again"
        )
        self._defect = OngoingProblem(
            _log, clock, "a defect rejects requests of a flow", "requests of a flow are handled without defects again"
        )
        self._store_problem = store_problem

    def reject(self, request: HookRequest, context: RequestContext, error: RequestRejected) -> HookResponse:
        """Count and record a rejection, and return the response."""
        context.error = error
        flow_id = error.flow_id or context.flow_id
        self._metrics.rejected(flow_id, error.counted_as)
        if isinstance(error, CannotVerify):
            self._unverified.noticed(flow_id, flow=flow_id, reason=error.reason or error.message, exc_info=error.defect)
        came = context.stream.received if context.stream is not None else 0
        self._record.add(
            flow_id,
            code=error.code,
            status=error.status,
            detail=operator_detail(error),
            method=request.method,
            path=request.path if context.path is None else context.path,
            size=came or announced_size(request.headers),
            client=context.client or request.client,
            body=context.prefix.masked(context.masks) if context.prefix is not None else None,
        )
        if context.challenge is not None and isinstance(error, NotVerified):
            error.headers = (*error.headers, ("www-authenticate", context.challenge))
        return context.rejection(error)

    def failed(self, request: HookRequest, context: RequestContext, error: Exception) -> HookResponse:
        """Log an error that isn't the sender's, and return a response that asks the sender to try again."""
        if isinstance(error, StoreError):
            self._store_problem.report(error, flow_id=context.flow_id)
            return self.reject(request, context, error.for_sender(RETRY_AFTER))
        self._defect.noticed(context.flow_id, flow=context.flow_id, exc_info=error)
        return self.reject(request, context, ServiceUnavailable(retry_after=RETRY_AFTER))

    def answer(self, request: HookRequest, context: RequestContext, error: Exception) -> HookResponse:
        """Return the response to a request that failed, for whatever reason."""
        if isinstance(error, RequestRejected):
            return self.reject(request, context, error)
        # A sender takes a 503 as "try again", and a 500 may be final.
        return self.failed(request, context, error)

    def handled(self, flow_id: str) -> None:
        """Note that a request was handled without an error."""
        for problem in (self._unverified, self._defect):
            if problem.going:
                problem.absent(flow_id, flow=flow_id)

    def gone(self, context: RequestContext) -> None:
        """Count a sender that closed the connection before the response."""
        self._metrics.rejected(context.flow_id, "sender_gone")


class BodyPrefix:
    """The chunks of a body, of which the first bytes are kept. The caller bounds the size of the body."""

    def __init__(self, source: AsyncIterator[bytes], *, unasked: bool, room: int = BODY_KEPT) -> None:
        """`unasked`: the sender sends the body even if nobody reads it; false if it expects `100 Continue` first.
        `room`: the most bytes that are kept."""
        self._source = source
        self._unasked = unasked
        self._room = room
        self.bytes = b""
        self.whole = True
        """True while everything that has come is kept."""
        self.came = 0
        """The number of bytes that have come."""
        self.ended = False
        """True once the body has come to its end."""
        self._asked = False

    def __aiter__(self) -> "BodyPrefix":
        return self

    async def read(self) -> None:
        """Read the beginning of a body whose request was rejected before anybody read it."""
        if self._asked or not self._unasked:
            return
        # A sender that has gone has sent everything that it will send.
        with suppress(TimeoutError, SenderGone):
            async with asyncio.timeout(PREFIX_SECONDS):
                async for _ in self:
                    if len(self.bytes) >= self._room:
                        return

    async def __anext__(self) -> bytes:
        self._asked = True
        try:
            chunk = await anext(self._source)
        except StopAsyncIteration:
            self.ended = True
            raise
        self.came += len(chunk)
        room = self._room - len(self.bytes)
        self.bytes += chunk[:room]
        self.whole = self.whole and len(chunk) <= room
        return chunk

    def masked(self, masks: Masks) -> bytes | None:
        """The bytes to record. If fields are secret, the bytes are the whole body with these fields masked, or None if
        it is cut off."""
        if not masks.fields or not self.bytes:
            return self.bytes or None
        if not self.whole:
            return None
        try:
            # Numbers keep their digits, whatever the flow does with them.
            body: Any = decode(self.bytes, exact=True)
        except (ValueError, RecursionError):
            return None
        return encode(masks.in_body(Received(body)).body) if isinstance(body, dict | list) else None


def operator_detail(error: RequestRejected) -> str:
    """The message of a rejection for operators, with the reason and with pointers to the problems in the body."""
    parts = [error.message.rstrip(".")]
    if error.reason and error.reason != error.message:
        parts.append(error.reason)
    parts += [f"{problem.pointer or '/'} ({problem.code})" for problem in error.problems[:_PROBLEMS]]
    if len(error.problems) > _PROBLEMS:
        parts.append(f"and {len(error.problems) - _PROBLEMS} more")
    return "; ".join(parts)


def announced_size(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """The number of bytes in a request's `Content-Length`; 0 if there is none or it is no number."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and len(value) <= 18:
            return int(value)
    return 0


Handle: TypeAlias = Callable[[HookRequest, Headers, RequestContext], Awaitable[HookResponse]]


async def respond(
    request: HookRequest, rejections: RejectionHandler, handle: Handle, context: RequestContext | None = None
) -> HookResponse:
    """Return the response of `handle`, or the response to its error.

    Raises SenderGone, and nothing else: an unexpected error gives a 503.
    """
    context = context or RequestContext()
    try:
        reply = await handle(request, read_headers(request.headers), context)
    except RequestRejected as error:
        if context.prefix is not None:
            await context.prefix.read()
        reply = rejections.reject(request, context, error)
        if context.bare:
            reply = immediate_responses.drop_body(reply)
    except SenderGone:
        rejections.gone(context)
        raise
    except Exception as error:  # noqa: BLE001 - a sender takes a 503 as "try again", and a 500 may be final
        reply = rejections.failed(request, context, error)
    else:
        rejections.handled(context.flow_id)
    return reply if context.webhook is None else cors.allowing(reply, context.webhook, context.origin)
