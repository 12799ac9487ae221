"""The admin API's routes about dead letters."""

from typing import Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import ExecutionNotFound, FlowNotFound
from hookline.model.dead_letter_causes import full_cause, normalised, step_of
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    FLOW_SCHEMA,
    PAGE,
    Parameter,
    page_or_malformed,
    read_query,
    require_flow,
)
from hookline.service.admin.responses import json_response
from hookline.service.admin.visible_pages import visible_page
from hookline.service.views.executions import ErrorView, cause_parts
from hookline.service.views.json_field_types import Count, Time, Uuid
from hookline.service.views.list_page import PageView
from hookline.storage.store import DeadLetterPage, DeadLetters


class DeadLettersView(msgspec.Struct, frozen=True):
    """Failed executions with one cause that were neither retried nor discarded."""

    cause: str
    """The name of the group: the flow's id, a colon, and a hash of code, step and message."""
    flow_id: str
    error: ErrorView
    """Its message is without the parts that differ: numbers, ids, quoted texts. Its step is without the places of
    items."""
    count: Count
    first_at: Time
    last_at: Time
    newest: Uuid
    """The execution that was accepted last."""
    example: str
    """The message of the newest execution's error."""


def dead_letters_view(group: DeadLetters) -> DeadLettersView:
    error = group.error
    return DeadLettersView(
        cause=full_cause(group.flow_id, group.cause),
        flow_id=group.flow_id,
        error=ErrorView(error.code, normalised(error.message), step_of(error), error.retryable),
        count=group.count,
        first_at=rfc3339(group.first_at),
        last_at=rfc3339(group.last_at),
        newest=group.newest,
        example=error.message,
    )


_LIST: Final = (Parameter("flow_id", "Only those of this flow.", FLOW_SCHEMA), *PAGE)


def add_dead_letters(api: Blueprint, engine: Engine) -> None:

    @api.get("/dead-letters")
    @operation(PageView[DeadLettersView], query=_LIST)
    async def list_dead_letters() -> Response:
        """List the failed executions that need attention, grouped by cause; the group with the newest execution comes
        first."""
        given = read_query(_LIST)
        await require_flow(engine, given["flow_id"])

        async def page_of(flow_id: str | None) -> DeadLetterPage:
            return await engine.store.dead_letters(flow_id=flow_id, cursor=given["cursor"], limit=given["limit"])

        found = visible_page(
            caller(), given["flow_id"], page_of, DeadLetterPage, lambda group: group.newest, given["limit"]
        )
        page = await page_or_malformed(found)
        return json_response(PageView([dead_letters_view(one) for one in page.items], page.next))

    @api.get("/dead-letters/<cause>")
    @operation(DeadLettersView, errors=(FlowNotFound,))
    async def get_dead_letters(cause: str) -> Response:
        """Get one group. Its executions are `executions?cause=…`."""
        flow_id, own = cause_parts(cause)
        caller().require_flow(flow_id)
        page = await engine.store.dead_letters(flow_id=flow_id, cause=own, limit=1)
        if not page.items:
            raise ExecutionNotFound(f"there are no dead letters of the cause {cause!r}")
        return json_response(dead_letters_view(page.items[0]))
