"""The admin API's routes about rejected requests."""

from typing import Annotated

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.time import rfc3339
from hookline.model.flow import FLOW_ID
from hookline.service.admin.callers import caller
from hookline.service.admin.limited import visible_page
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, json_response, page_or_malformed, read_query, require_flow
from hookline.service.hooks.rejection import UNKNOWN_FLOW
from hookline.service.views.pages import Count, PageView, Time, Uuid
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


def add_rejected(api: Blueprint, engine: Engine) -> None:

    @api.get("/flows/<flow_id>/rejected")
    @operation(PageView[RejectedView], query=PAGE, path={"flow_id": f"^-$|{FLOW_ID}"})
    async def list_rejected_by_flow(flow_id: str) -> Response:
        """List the requests that a flow rejected, newest first; `-` stands for unknown flows."""
        given = read_query(PAGE)
        await require_flow(engine, None if flow_id == UNKNOWN_FLOW else flow_id)
        found = engine.store.rejected(flow_id=flow_id, cursor=given["cursor"], limit=given["limit"])
        return json_response(rejected_view(await page_or_malformed(found)))

    @api.get("/rejected")
    @operation(PageView[RejectedView], query=PAGE)
    async def list_rejected() -> Response:
        """List the rejected requests of all flows, newest first."""
        given = read_query(PAGE)

        async def page_of(flow_id: str | None) -> RejectedPage:
            return await engine.store.rejected(flow_id=flow_id, cursor=given["cursor"], limit=given["limit"])

        found = visible_page(caller(), None, page_of, RejectedPage, lambda one: one.id, given["limit"])
        return json_response(rejected_view(await page_or_malformed(found)))
