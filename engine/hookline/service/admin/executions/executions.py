"""The admin API's routes about executions: lists, journals, and the provenance of values."""

import re
from typing import Final

import msgspec
from quart import Blueprint, Response

from hookline.access.caller import Caller
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import (
    ExecutionNotFound,
    FlowInvalid,
    FlowNotFound,
    Malformed,
    ProvenanceUnknown,
)
from hookline.model.execution import TAG, ExecutionFilter, Outcome, State
from hookline.operations.value_provenance import Explained, provenance_of
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    CAUSE_SCHEMA,
    EXECUTION_SCHEMA,
    FLOW_SCHEMA,
    PAGE,
    Parameter,
    Query,
    choice,
    flag,
    page_or_malformed,
    read_query,
    require_flow,
    time,
)
from hookline.service.admin.responses import json_response
from hookline.service.admin.visible_pages import visible_page
from hookline.service.views.excerpts import excerpt
from hookline.service.views.executions import (
    ExecutionView,
    StateName,
    StepView,
    SummaryView,
    cause_parts,
    execution_view,
    page_view,
    steps_view,
)
from hookline.service.views.json_field_types import Time, Uuid
from hookline.service.views.list_page import PageView
from hookline.storage.store import ExecutionPage, Store

FILTERS: Final[Query] = (
    Parameter("flow_id", "Only executions of this flow.", FLOW_SCHEMA),
    choice("state", "Only executions in this state.", State),
    choice("outcome", "Only executions that ended in this way.", Outcome),
    Parameter("error_code", "Only executions that failed with this code, such as `http.503`."),
    Parameter("cause", "Only dead letters of this cause: see `dead-letters`.", CAUSE_SCHEMA),
    time("since", "Only executions whose message was accepted at this time or later."),
    time("until", "Only executions whose message was accepted before this time."),
    Parameter("replay_of", "Only replays of this execution.", EXECUTION_SCHEMA),
    Parameter("tag", "Only executions with this tag: `<name>:<value>`.", {"type": "string", "pattern": TAG}),
    Parameter("order_key", "Only executions with this value of their flow's `order_by`; of several, their JSON list."),
)
"""The query parameters of the fields of an `ExecutionFilter`."""
_LIST: Final = (*FILTERS, *PAGE)
_FIELD: Final = (
    Parameter(
        "field", "The value, such as `steps.invoice.body.amount`, or `body.amount` of the result.", required=True
    ),
    flag("short", "Leave out most of large values: they are only the beginning of each text, list and object."),
)
_OUTLINE: Final = (flag("outline", "Leave out the inputs and the outputs of the steps: they are null then."),)
_STEPS: Final = (*_OUTLINE, *PAGE)


def with_cause_divided(given: ExecutionFilter) -> ExecutionFilter:
    """The filter with flow and cause apart; requests write them as one, `<flow>:<cause>`. Raises Malformed."""
    if given.cause is None:
        return given
    flow_id, cause = cause_parts(given.cause)
    if given.flow_id not in (None, flow_id):
        raise Malformed(f"The cause belongs to flow {flow_id!r}, not to {given.flow_id!r}.")
    return msgspec.structs.replace(given, flow_id=flow_id, cause=cause)


class MatchView(msgspec.Struct, frozen=True):
    """An execution that a part of its id names."""

    id: Uuid
    flow_id: str
    state: StateName
    created_at: Time


class MatchesView(msgspec.Struct, frozen=True):
    """The executions that a part of an id names, newest first."""

    items: list[MatchView]
    more: bool


#: The most executions that a part of an id lists.
_MATCHES: Final = 10
_PART_OF_ID: Final = re.compile(r"[0-9a-f-]{1,36}\Z")


async def visible_executions(
    store: Store, by: Caller, chosen: ExecutionFilter, cursor: str | None, limit: int
) -> ExecutionPage:
    """Return a page with the executions that a caller may see. Raises ValueError for an invalid cursor."""

    async def page_of(flow_id: str | None) -> ExecutionPage:
        one = msgspec.structs.replace(chosen, flow_id=flow_id)
        return await store.executions(one, cursor=cursor, limit=limit)

    return await visible_page(by, chosen.flow_id, page_of, ExecutionPage, lambda item: item.execution.id, limit)


def add_executions(api: Blueprint, engine: Engine) -> None:

    @api.get("/executions")
    @operation(
        PageView[SummaryView],
        query=_LIST,
    )
    async def list_executions() -> Response:
        """List executions, newest first."""
        given = read_query(_LIST)
        chosen = with_cause_divided(ExecutionFilter(**{one.name: given[one.name] for one in FILTERS}))
        if chosen.flow_id is not None:
            caller().require_flow(chosen.flow_id)
        await require_flow(engine, chosen.flow_id)

        found = visible_executions(engine.store, caller(), chosen, given["cursor"], given["limit"])
        return json_response(page_view(await page_or_malformed(found)))

    @api.get("/executions/matching/<part>")
    @operation(MatchesView)
    async def list_matching(part: str) -> Response:
        """List the executions whose ids begin with a part of an id, or end with it: the newest 10."""
        if not _PART_OF_ID.match(part):
            raise Malformed("A part of an id has digits, the letters a to f, and dashes.")
        found = await engine.store.matching_ids(part, _MATCHES + 1, caller().flows)
        known = [one for id_ in found[:_MATCHES] if (one := await engine.store.execution(id_)) is not None]
        shown = [MatchView(one.id, one.flow_id, one.state.value, rfc3339(one.created_at)) for one in known]
        return json_response(MatchesView(shown, len(found) > _MATCHES))

    @api.get("/executions/<but(many,search):execution_id>")
    @operation(ExecutionView, query=_OUTLINE)
    async def get_execution(execution_id: str) -> Response:
        """Get an execution with the latest attempt at each of its steps."""
        outline = read_query(_OUTLINE)["outline"]
        view = await execution_view(engine.store, execution_id, engine.resume_url, outline=outline)
        if view is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return json_response(view)

    @api.get("/executions/<execution_id>/steps")
    @operation(PageView[StepView], query=_STEPS)
    async def list_steps(execution_id: str) -> Response:
        """List the attempts at the steps of an execution, in order."""
        given = read_query(_STEPS)
        if await engine.store.execution(execution_id) is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        shown = steps_view(engine.store, execution_id, given["cursor"], given["limit"], outline=given["outline"])
        return json_response(await page_or_malformed(shown))

    @api.get("/executions/<execution_id>/provenance")
    @operation(Explained, query=_FIELD, errors=(ProvenanceUnknown, FlowNotFound, FlowInvalid), connectors=True)
    async def explain_field(execution_id: str) -> Response:
        """Explain where a value comes from: the expression that computed it, the values that this read, and so on."""
        given = read_query(_FIELD)
        explained = await provenance_of(engine.store, engine.catalog, execution_id, given["field"])
        return json_response(shorten_provenance(explained) if given["short"] else explained)


#: Values and characters in each short value of an explanation.
_SHORT: Final = 20
_SHORT_TEXTS: Final = 500


def shorten_provenance(explained: Explained) -> Explained:
    """An explanation with the beginnings of large values."""
    value = excerpt(explained.value, values=_SHORT, texts=_SHORT_TEXTS).value
    return msgspec.structs.replace(explained, value=value, reads=[shorten_provenance(one) for one in explained.reads])
