"""The admin API's routes about requests that were rejected."""

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.time import rfc3339
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, json_response, page_limit, page_or_malformed, query
from hookline.service.views.pages import PageView, Time
from hookline.storage.store import RejectedPage


class RejectedView(msgspec.Struct, frozen=True):
    """A request that was rejected."""

    id: str
    flow_id: str
    """`-` where no flow answers at its path."""
    at: Time
    code: str
    status: int
    detail: str
    """What the sender was told, and why, as far as that is known here."""
    method: str
    path: str
    """What followed `/hook/`, without the query."""
    size: int
    """Bytes of the body that came, or that were announced where none was read."""
    client: str | None
    body: str | None
    """The beginning of the body, secrets masked, where the flow keeps it."""


def rejected_view(page: RejectedPage) -> PageView[RejectedView]:
    """One page of rejected requests."""
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
    """Add the routes."""

    @api.get("/flows/<flow_id>/rejected")
    @operation(PageView[RejectedView], query=PAGE)
    async def list_rejected_by_flow(flow_id: str) -> Response:
        """Requests that a flow rejected, newest first; `-` is those to flows that there aren't."""
        given = query("cursor", "limit")
        found = engine.store.rejected(flow_id=flow_id, cursor=given.get("cursor"), limit=page_limit(given.get("limit")))
        return json_response(rejected_view(await page_or_malformed(found)))

    @api.get("/rejected")
    @operation(PageView[RejectedView], query=PAGE)
    async def list_rejected() -> Response:
        """Requests that were rejected, of all flows, newest first."""
        given = query("cursor", "limit")
        found = engine.store.rejected(cursor=given.get("cursor"), limit=page_limit(given.get("limit")))
        return json_response(rejected_view(await page_or_malformed(found)))
