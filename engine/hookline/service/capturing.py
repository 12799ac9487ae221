"""Capturing requests: the hook in front of the hook, which keeps the requests to flows that are captured.

It stands in front, so that a request to a flow that isn't captured, and the flow's own checks, know nothing of it.
"""

from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec

from hookline.catalog.catalog import Catalog
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import FlowUnknown
from hookline.kernel.ids import Ids
from hookline.kernel.json import encode
from hookline.model.rejection import TEXT_KEPT
from hookline.service.captured_request_masking import SeenRequest
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.hooks.hook_endpoint import Hook, MessageIntake
from hookline.service.hooks.receive import RequestReceiver
from hookline.service.hooks.rejection import (
    BodyPrefix,
    RejectionHandler,
    RequestContext,
    announced_size,
    operator_detail,
    respond,
)
from hookline.storage.captures import BODY_CAPTURED, CapturedInfo, CaptureResult
from hookline.storage.change_declarations import Accepted, CallbackStored
from hookline.telemetry.captures import CaptureRecord

_JSON: Final = b"application/json"


class CapturingHook:
    """The endpoint for requests to `/hook/…`, with the captures that are open."""

    def __init__(
        self,
        hook: Hook,
        *,
        captures: CaptureRecord,
        intake: MessageIntake,
        receiver: RequestReceiver,
        catalog: Catalog,
        rejections: RejectionHandler,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._hook = hook
        self.captures = captures
        self._intake = intake
        self._receiver = receiver
        self._catalog = catalog
        self._rejections = rejections
        self._clock = clock
        self._ids = ids

    def handle(self, request: HookRequest) -> Coroutine[Any, Any, HookResponse]:
        """Return the response to a request. Raises SenderGone."""
        if self.captures.takes(flow_id := request.path.partition("/")[0]):
            return self._captured(request, flow_id)
        return self._hook.handle(request)

    async def _captured(self, request: HookRequest, flow_id: str) -> HookResponse:
        at, context = self._clock.now(), RequestContext()
        unasked = not any(name == b"expect" for name, _ in request.headers)
        body = BodyPrefix(request.body, unasked=unasked, room=BODY_CAPTURED + 1)
        request = msgspec.structs.replace(request, body=body)
        entry = self._catalog.entries.get(flow_id)
        with self.captures.reading():
            if entry is None:
                response = await respond(request, self._rejections, partial(self._without_flow, flow_id, body), context)
            else:
                response = await self._hook.handle(request, context)
                await body.read()
        info = CapturedInfo(
            id=self._ids.new(at),
            flow_id=flow_id,
            at=at,
            method=request.method[:TEXT_KEPT],
            path=request.path[:TEXT_KEPT],
            client=context.client or request.client,
            content_type=_header(request, b"content-type"),
            size=body.came if body.ended else max(body.came, announced_size(request.headers)),
            status=response.status,
            **_told(context, "captured" if entry is None else "answered"),
        )
        flow = None if entry is None else entry.flow
        seen = SeenRequest(info, request, body.bytes, _why_no_body(request, body), flow)
        self.captures.add(flow_id, seen.masked)
        return response

    async def _without_flow(
        self, flow_id: str, body: BodyPrefix, request: HookRequest, headers: Headers, context: RequestContext
    ) -> HookResponse:
        """Take a request to a flow that doesn't exist yet."""
        context.flow_id, context.client = flow_id, self._receiver.client(request, headers.joined)
        with suppress(FlowUnknown):
            self._intake.flow(flow_id)
        await body.read()
        return HookResponse(202, ((b"content-type", _JSON),), encode({"flow_id": flow_id, "status": "captured"}))


def _told(context: RequestContext, otherwise: CaptureResult) -> dict[str, Any]:
    """The result of a request; `otherwise` if it had no message."""
    if context.error is not None:
        return {"result": "rejected", "code": context.error.code, "reason": operator_detail(context.error)[:TEXT_KEPT]}
    if not context.outcomes:
        return {"result": otherwise}
    new = [one for one in context.outcomes if isinstance(one, Accepted | CallbackStored)]
    first = (new or context.outcomes)[0]
    return {"result": "accepted" if new else "duplicate", "execution_id": first.execution_id}


def _header(request: HookRequest, name: bytes) -> str | None:
    return next((value.decode("latin-1")[:TEXT_KEPT] for one, value in request.headers if one == name), None)


def _why_no_body(request: HookRequest, body: BodyPrefix) -> str | None:
    """The reason why the body isn't kept; None if it is."""
    if len(body.bytes) > BODY_CAPTURED:
        return f"it has more than {BODY_CAPTURED:,} bytes"
    if not body.ended and announced_size(request.headers) != len(body.bytes):
        return "it didn't come to its end"
    if _header(request, b"content-encoding") is not None:
        return "it is compressed"
    return None
