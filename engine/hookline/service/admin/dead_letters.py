"""The admin API's routes about dead letters."""

from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, answer, limit_of, paged, query
from hookline.service.views.dead_letters import DeadLettersView, cause_parts, dead_letters_view
from hookline.service.views.pages import PageView


def add_dead_letters(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    @api.get("/dead-letters")
    @operation(PageView[DeadLettersView], query={"flow_id": "Only those of this flow.", **PAGE})
    async def list_dead_letters() -> Response:
        """What failed and wasn't taken care of, grouped by cause; the group with the newest execution first."""
        given = query("flow_id", "cursor", "limit")
        page = await paged(
            engine.store.dead_letters(
                flow_id=given.get("flow_id"), cursor=given.get("cursor"), limit=limit_of(given.get("limit"))
            )
        )
        return answer(PageView([dead_letters_view(one) for one in page.items], page.next))

    @api.get("/dead-letters/<cause>")
    @operation(DeadLettersView)
    async def get_dead_letters(cause: str) -> Response:
        """One group. Its executions are `executions?cause=…`."""
        flow_id, own = cause_parts(cause)
        page = await engine.store.dead_letters(flow_id=flow_id, cause=own, limit=1)
        if not page.items:
            raise ExecutionNotFound(f"there are no dead letters of the cause {cause!r}")
        return answer(dead_letters_view(page.items[0]))
