"""The admin API's routes about requests that were refused."""

from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, answer, limit_of, paged, query
from hookline.service.views.pages import PageView
from hookline.service.views.rejected import RefusedView, refused_view


def add_refused(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    @api.get("/flows/<flow_id>/refused")
    @operation(PageView[RefusedView], query=PAGE)
    async def list_refused_by_flow(flow_id: str) -> Response:
        """Requests that a flow refused, newest first; `-` is those to flows that there aren't."""
        given = query("cursor", "limit")
        found = engine.store.refused(flow_id=flow_id, cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        return answer(refused_view(await paged(found)))

    @api.get("/refused")
    @operation(PageView[RefusedView], query=PAGE)
    async def list_refused() -> Response:
        """Requests that were refused, of all flows, newest first."""
        given = query("cursor", "limit")
        found = engine.store.refused(cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        return answer(refused_view(await paged(found)))
