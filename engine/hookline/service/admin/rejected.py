"""The admin API's routes about requests that were rejected."""

from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, answer, limit_of, paged, query
from hookline.service.views.pages import PageView
from hookline.service.views.rejected import RejectedView, rejected_view


def add_rejected(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    @api.get("/flows/<flow_id>/rejected")
    @operation(PageView[RejectedView], query=PAGE)
    async def list_rejected_by_flow(flow_id: str) -> Response:
        """Requests that a flow rejected, newest first; `-` is those to flows that there aren't."""
        given = query("cursor", "limit")
        found = engine.store.rejected(flow_id=flow_id, cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        return answer(rejected_view(await paged(found)))

    @api.get("/rejected")
    @operation(PageView[RejectedView], query=PAGE)
    async def list_rejected() -> Response:
        """Requests that were rejected, of all flows, newest first."""
        given = query("cursor", "limit")
        found = engine.store.rejected(cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        return answer(rejected_view(await paged(found)))
