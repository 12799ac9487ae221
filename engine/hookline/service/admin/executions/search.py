"""The admin API's route that searches the messages of executions."""

from functools import partial
from typing import Annotated, TypeAlias

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import FlowNotFound, Malformed
from hookline.model.execution import ExecutionFilter
from hookline.service.admin.executions.executions import visible_executions, with_cause_divided
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    CURSOR_SCHEMA,
    MAX_LIMIT,
    Cause,
    ExecutionId,
    FlowId,
    body_of,
    page_or_malformed,
    require_flow,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.executions import SummaryView, summary_view
from hookline.service.views.json_field_types import Count

_Sought: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class SearchRequest(ExecutionFilter, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The filters of the list, and what is sought in the messages: a text, the values of a JSONPath, or both."""

    flow_id: FlowId | None = None
    cause: Cause | None = None
    replay_of: ExecutionId | None = None
    text: _Sought | None = None
    """Upper and lower case are the same."""
    jsonpath: _Sought | None = None
    """A JSONPath that finds something, or with a text, finds a value that has it. It sees `body`, `headers`,
    `attachments`, `trigger` and `tags`."""
    after: Annotated[str, msgspec.Meta(extra_json_schema=CURSOR_SCHEMA)] | None = None
    """The `next` of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 50


class SearchView(msgspec.Struct, frozen=True):
    """The executions that were found, newest first."""

    items: list[SummaryView]
    next: str | None
    """The cursor at which the search continues; null at the end."""
    scanned: Count
    """The number of executions that were searched."""


def add_search(api: Blueprint, engine: Engine) -> None:

    @api.post("/executions/search")
    @operation(SearchView, request=SearchRequest, errors=(FlowNotFound,))
    async def search_executions() -> Response:
        """Search the messages of executions, newest first. A page ends after 5 s or 50,000 executions at the latest, so
        it may have few results or none; `next` continues. What a flow redacts never matches."""
        given = await body_of(SearchRequest)
        if given.text is None and given.jsonpath is None:
            raise Malformed("Say what is sought: text, jsonpath, or both.")
        chosen = with_cause_divided(msgspec.convert(given, ExecutionFilter, from_attributes=True))
        by = caller()
        if chosen.flow_id is not None:
            by.require_flow(chosen.flow_id)
        await require_flow(engine, chosen.flow_id)
        found = engine.search.find(
            partial(visible_executions, engine.store, by, chosen),
            text=given.text,
            jsonpath=given.jsonpath,
            cursor=given.after,
            limit=given.limit,
        )
        result = await page_or_malformed(found)
        items = [summary_view(one.execution, one.payload) for one in result.items]
        return json_response(SearchView(items, result.next, result.scanned))
