"""The admin API's routes about rejected requests."""

from typing import Annotated, Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.model.flow import FLOW_ID
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    FLOW_SCHEMA,
    PAGE,
    Parameter,
    Query,
    page_or_malformed,
    read_query,
    require_flow,
)
from hookline.service.admin.responses import json_response
from hookline.service.admin.visible_pages import visible_page
from hookline.service.hooks.rejection import UNKNOWN_FLOW
from hookline.service.views.json_field_types import Count, Time, Uuid
from hookline.service.views.list_page import PageView
from hookline.storage.store import RejectedPage


class RejectedView(msgspec.Struct, frozen=True):
    """A rejected request."""

    id: Uuid
    flow_id: str
    """`-` if there is no flow at its path."""
    at: Time
    code: str
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    detail: str
    """The message to the sender, and the reason as far as it is known."""
    method: str
    path: str
    """The path after `/hook/`, without the query."""
    size: Count
    """Bytes of the received body, or of the announced one if none was read."""
    client: str | None
    body: str | None
    """The beginning of the body, secrets masked, if the flow records it."""


class RejectionReasonView(msgspec.Struct, frozen=True):
    """The stored rejected requests of a flow with one code."""

    flow_id: str
    """`-` if there is no flow at their path."""
    code: str
    count: Count
    newest_at: Time


class RejectionReasonsView(msgspec.Struct, frozen=True):
    """The reasons of rejected requests, by flow and code."""

    items: list[RejectionReasonView]


def rejected_view(page: RejectedPage) -> PageView[RejectedView]:
    return PageView(
        [
            RejectedView(
                id=one.id,
                flow_id=one.flow_id,
                at=rfc3339(one.at),
                code=one.code,
                status=one.status,
                detail=one.detail,
                method=one.method,
                path=one.path,
                size=one.size,
                client=one.client,
                body=None if one.body is None else one.body.decode(errors="replace"),
            )
            for one in page.items
        ],
        page.next,
    )


_CODE: Final = Parameter("code", "Only those with this code, such as `request.not_verified`.")
_BY_FLOW: Final[Query] = (_CODE, *PAGE)
_ALL: Final[Query] = (
    Parameter(
        "flow_id",
        "Only those of this flow; `-` stands for unknown flows.",
        FLOW_SCHEMA | {"pattern": f"^-$|{FLOW_ID}"},
    ),
    *_BY_FLOW,
)


def add_rejected(api: Blueprint, engine: Engine) -> None:

    @api.get("/flows/<flow_id>/rejected")
    @operation(PageView[RejectedView], query=_BY_FLOW, path={"flow_id": f"^-$|{FLOW_ID}"})
    async def list_rejected_by_flow(flow_id: str) -> Response:
        """List the requests that a flow rejected, newest first; `-` stands for unknown flows."""
        return await page(flow_id, **read_query(_BY_FLOW))

    @api.get("/rejected")
    @operation(PageView[RejectedView], query=_ALL)
    async def list_rejected() -> Response:
        """List the rejected requests of all flows or of one, newest first."""
        return await page(**read_query(_ALL))

    async def page(flow_id: str | None, code: str | None, cursor: str | None, limit: int) -> Response:
        await require_flow(engine, None if flow_id == UNKNOWN_FLOW else flow_id)

        async def page_of(flow_id: str | None) -> RejectedPage:
            return await engine.store.rejected(flow_id=flow_id, code=code, cursor=cursor, limit=limit)

        found = visible_page(caller(), flow_id, page_of, RejectedPage, lambda one: one.id, limit)
        return json_response(rejected_view(await page_or_malformed(found)))

    @api.get("/rejected/reasons")
    @operation(RejectionReasonsView)
    async def list_rejection_reasons() -> Response:
        """List the reasons of the rejected requests, with the number of each, by flow and code."""
        by = caller()
        found = [one for one in await engine.store.rejection_reasons() if by.sees(one.flow_id)]
        items = [RejectionReasonView(one.flow_id, one.code, one.count, rfc3339(one.newest_at)) for one in found]
        return json_response(RejectionReasonsView(items))
