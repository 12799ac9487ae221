"""The admin API's routes for captures: the requests that come to the URL of a flow, which may not exist yet."""

import base64
from typing import Annotated, Literal

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import CaptureNotFound, FlowNotFound, TooManyCaptures
from hookline.model.access import TokenScope
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import PAGE, FlowId, decode_body, page_or_malformed, read_body, read_query
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Count, Pending, Time, Uuid
from hookline.service.views.list_page import PageView
from hookline.storage.captures import Capture, CapturedInfo, CapturedRequest, CaptureResult


class CaptureRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A flow whose requests are to be captured."""

    flow_id: FlowId
    """It need not exist."""


class CaptureView(msgspec.Struct, frozen=True):
    """A capture of the requests to a flow's URL."""

    flow_id: str
    url: str
    """The URL whose requests are captured."""
    open: bool
    opened_at: Time
    expires_at: Time
    """It is open until then. Each request is kept for an hour."""
    opened_by: str
    requests: Count
    """The number of requests that it has kept."""


class OpenedCaptureView(CaptureView, frozen=True):
    """A capture that was opened."""

    pending: Pending


class CapturedInfoView(msgspec.Struct, frozen=True):
    """The facts about a captured request, besides its headers, query and body."""

    id: Uuid
    at: Time
    method: str
    path: str
    """The path after `/hook/`, without the query."""
    client: str | None
    content_type: str | None
    size: Count
    """The bytes of the body that were received, or else announced."""
    result: CaptureResult
    """`captured` if there was no flow, `answered` for a handshake or a request without a message."""
    status: Annotated[int, msgspec.Meta(ge=100, le=599)]
    """The status of the response."""
    code: str | None
    """The code of the error, if it was rejected."""
    reason: str | None
    """The reason of a rejection, as far as it is known."""
    execution_id: str | None
    """The execution that its message has started, or had started before."""


class CapturedRequestView(CapturedInfoView, frozen=True):
    """A captured request. Secrets are masked."""

    headers: list[tuple[str, str]]
    """In their order; names in lower case."""
    query: str
    body: str | None
    """Null if it is left out."""
    encoding: Literal["text", "base64"]
    """The encoding of `body`; base64 if it isn't UTF-8."""
    left_out: str | None
    """The reason why there is no body."""


def add_captures(api: Blueprint, engine: Engine) -> None:
    captures = engine.capture_operations

    @api.post("/captures")
    @operation(
        OpenedCaptureView,
        request=CaptureRequest,
        status=201,
        also=(200,),
        scope=TokenScope.AUTHOR,
        errors=(FlowNotFound, TooManyCaptures),
    )
    async def open_capture() -> Response:
        """Capture the requests to a flow's URL for 10 minutes from now, on all nodes, also those that are rejected.

        The flow need not exist: then the requests get 202 and `captured`. The newest 50 requests are kept, for an hour.
        The status is 200 if the capture was open already.
        """
        given, by = decode_body(await read_body(), CaptureRequest), caller()
        by.require_flow(given.flow_id)
        opened = await captures.open(given.flow_id, by=by.actor)
        shown = msgspec.structs.asdict(_view(engine, opened.capture))
        return json_response(OpenedCaptureView(**shown, pending=list(opened.pending)), 201 if opened.anew else 200)

    @api.get("/captures")
    @operation(PageView[CaptureView], scope=TokenScope.AUTHOR)
    async def list_captures() -> Response:
        """List the captures that are open, or have requests. A limited token sees those of its flows."""
        read_query(())
        by = caller()
        found = [_view(engine, one) for one in await captures.all() if by.sees(one.flow_id)]
        return json_response(PageView(found, None))

    @api.get("/captures/<flow_id>")
    @operation(CaptureView, scope=TokenScope.AUTHOR, errors=(CaptureNotFound,))
    async def get_capture(flow_id: str) -> Response:
        """Get the capture of a flow."""
        return json_response(_view(engine, await captures.get(flow_id)))

    @api.get("/captures/<flow_id>/requests")
    @operation(PageView[CapturedInfoView], query=PAGE, scope=TokenScope.AUTHOR, errors=(CaptureNotFound,))
    async def list_captured(flow_id: str) -> Response:
        """List the captured requests to a flow's URL of the last hour, newest first."""
        given = read_query(PAGE)
        page = await page_or_malformed(captures.requests(flow_id, cursor=given["cursor"], limit=given["limit"]))
        return json_response(PageView([_info_view(one) for one in page.items], page.next))

    @api.get("/captures/<flow_id>/requests/<request_id>")
    @operation(CapturedRequestView, scope=TokenScope.AUTHOR, errors=(CaptureNotFound,))
    async def get_captured(flow_id: str, request_id: str) -> Response:
        """Get a captured request with its headers, its query and its body."""
        return json_response(_request_view(await captures.request(flow_id, request_id)))

    @api.post("/captures/<flow_id>/close")
    @operation(CaptureView, scope=TokenScope.AUTHOR, errors=(CaptureNotFound,))
    async def close_capture(flow_id: str) -> Response:
        """Capture no more requests to a flow's URL. Those that it has kept stay for their hour."""
        return json_response(_view(engine, await captures.close(flow_id, by=caller().actor)))

    @api.delete("/captures/<flow_id>")
    @operation(status=204, scope=TokenScope.AUTHOR, errors=(CaptureNotFound,))
    async def delete_capture(flow_id: str) -> Response:
        """Delete the capture of a flow, with its requests."""
        await captures.drop(flow_id, by=caller().actor)
        return Response(status=204)


def _view(engine: Engine, it: Capture) -> CaptureView:
    return CaptureView(
        flow_id=it.flow_id,
        url=f"{engine.options.public_url.rstrip('/')}/hook/{it.flow_id}",
        open=it.expires_at > engine.clock.now(),
        opened_at=rfc3339(it.opened_at),
        expires_at=rfc3339(it.expires_at),
        opened_by=str(it.by),
        requests=it.requests,
    )


def _info_view(it: CapturedInfo) -> CapturedInfoView:
    told = msgspec.structs.asdict(it) | {"at": rfc3339(it.at)}
    told.pop("flow_id")
    return CapturedInfoView(**told)


def _request_view(it: CapturedRequest) -> CapturedRequestView:
    body: str | None = None
    encoding: Literal["text", "base64"] = "text"
    if it.body is not None:
        try:
            body = it.body.decode()
        except UnicodeDecodeError:
            body, encoding = base64.b64encode(it.body).decode(), "base64"
    return CapturedRequestView(
        **msgspec.structs.asdict(_info_view(it.info)),
        headers=list(it.headers),
        query=it.query,
        body=body,
        encoding=encoding,
        left_out=it.left_out,
    )
