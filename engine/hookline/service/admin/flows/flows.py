"""The admin API's routes about flows: listing them, their states, and starting one by hand."""

from typing import Annotated

import msgspec
from quart import Blueprint, Response

from hookline.catalog.catalog import CatalogEntry
from hookline.catalog.versions_and_states import FlowStates
from hookline.deployments.deployment_request import tag_of
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import (
    FlowInvalid,
    FlowUnknown,
    Malformed,
    Problem,
    SchemaViolation,
)
from hookline.kernel.json import decode
from hookline.model.access import TokenScope
from hookline.model.flow import ServingState
from hookline.model.message import Message
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import decode_body, read_body
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Count, Pending, Time, Uuid, one_of, time_view
from hookline.service.views.list_page import PageView
from hookline.sources.source import SourceStatus
from hookline.storage.change_declarations import Duplicate


class SourceView(msgspec.Struct, frozen=True):
    """A trigger that runs by itself: a schedule, a poll, a broker or a subscription."""

    last_at: Time | None
    """The time at which it last ran, polled, received messages, subscribed or renewed."""
    next_at: Time | None
    """The time at which it runs or connects again; null if it doesn't, or is listening."""
    error: str | None
    """The error of its last poll, connection or subscription."""
    failures: Count
    """The number of failures in a row."""
    listening: bool | None
    """True if it is connected to its broker; null if it has none."""
    subscribed: bool | None
    """True if its provider has the subscription; null if it needs none."""


class OverrideView(msgspec.Struct, frozen=True):
    """An operator's decision about a flow's state."""

    at: Time
    file_state: Annotated[str, one_of("active", "paused", "stopped")]
    """The state in its file; once that changes, the new one holds."""


class FlowView(msgspec.Struct, frozen=True):
    """A flow."""

    id: str
    title: str
    state: Annotated[str, one_of("active", "paused", "stopped", "broken")]
    """`active`, `paused`, `stopped`, or `broken` if no version of it can serve."""
    override: OverrideView | None
    """An operator's decision about its state; null if the state is the one in its file."""
    version: str | None
    """The version that new executions get."""
    trigger: str | None
    url: str | None
    """The URL of its webhook; null if requests don't start it."""
    source: SourceView | None
    """The state of its schedule, poll, broker or subscription; null if it has none, or none that runs here."""
    file: str | None
    """null if it is served from the database."""
    problems: tuple[Problem, ...]
    """The problems of the document as it is now."""


class ChangedFlowView(FlowView, frozen=True):
    """A flow after its state was changed."""

    pending: Pending


def flow_view(entry: CatalogEntry, public_url: str, source: SourceStatus | None, states: FlowStates) -> FlowView:
    flow = entry.flow
    override = None if flow is None else states.override(flow)
    hook = flow is not None and flow.trigger.webhook is not None
    return FlowView(
        id=entry.id,
        title="" if flow is None else flow.settings.title,
        state=entry.state if flow is None else states.of(flow),
        override=None if override is None else OverrideView(rfc3339(override.at), override.file_state),
        version=None if flow is None else flow.version,
        trigger=None if flow is None else flow.trigger.use,
        url=f"{public_url}/hook/{entry.id}" if hook else None,
        source=None if source is None else _source_view(source),
        file=None if entry.file is None else str(entry.file),
        problems=entry.problems,
    )


def _source_view(source: SourceStatus) -> SourceView:
    return SourceView(
        time_view(source.last_at),
        time_view(source.next_at),
        source.error,
        source.failures,
        source.listening,
        source.subscribed,
    )


class StartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The message that starts a flow."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Any JSON value; null if it is left out."""
    headers: dict[str, str] = {}
    dedupe_key: str | None = None
    """A message with the same key starts nothing within 7 days."""


class Started(msgspec.Struct, frozen=True):
    """The execution that a message started, now or before."""

    execution_id: Uuid
    flow_id: str
    status: Annotated[str, one_of("queued", "duplicate")]
    """`queued`, or `duplicate`."""


def add_flows(api: Blueprint, engine: Engine) -> None:
    _states(api, engine)

    @api.get("/flows")
    @operation(PageView[FlowView])
    async def list_flows() -> Response:
        """List the flows, sorted by id; broken ones with their problems."""
        url = engine.options.public_url
        by = caller()
        entries = sorted(entry for entry in engine.catalog.entries.items() if by.sees(entry[0]))
        shown = [flow_view(entry, url, engine.sources.status(entry.id), engine.states) for _, entry in entries]
        return json_response(PageView(shown, None))

    @api.post("/flows/<flow_id>/start")
    @operation(
        Started,
        request=StartRequest,
        status=202,
        scope=TokenScope.OPERATE,
        errors=(SchemaViolation, FlowUnknown),
        also=(200,),
    )
    async def start_flow(flow_id: str) -> Response:
        """Start a flow by hand, whatever its trigger is."""
        given = decode_body(await read_body(), StartRequest)
        flow = engine.intake.flow(flow_id)
        headers = {name.lower(): value for name, value in given.headers.items()}
        try:
            body = None if given.body is msgspec.UNSET else decode(bytes(given.body), exact=flow.exact)
        except ValueError as error:
            raise Malformed(f"The message's body is wrong: {error}.") from None
        await engine.body_checker.check(flow, body)
        message = Message(body, headers)
        result = await engine.intake.start(
            flow,
            message,
            execution_id=engine.ids.new(),
            by=caller().actor,
            dedupe_key=given.dedupe_key,
        )
        if isinstance(result, Duplicate):
            return json_response(Started(result.execution_id, flow_id, "duplicate"))
        return json_response(Started(result.execution_id, flow_id, "queued"), 202)


def _states(api: Blueprint, engine: Engine) -> None:
    def found(flow_id: str) -> FlowView:
        entry = engine.catalog.entries.get(flow_id)
        if entry is None:
            raise engine.catalog.missing(flow_id)
        return flow_view(entry, engine.options.public_url, engine.sources.status(flow_id), engine.states)

    @api.get("/flows/<flow_id>")
    @operation(FlowView, etag=True)
    async def get_flow(flow_id: str) -> Response:
        """Get a flow. Its ETag names the version that serves, and its title."""
        response = json_response(found(flow_id))
        flow = engine.catalog.entries[flow_id].flow
        if flow is not None:
            response.set_etag(tag_of(flow))
        return response

    async def decide(flow_id: str, state: ServingState | None) -> Response:
        pending = await engine.version_switch.set_state(flow_id, state, by=caller().actor)
        return json_response(ChangedFlowView(**msgspec.structs.asdict(found(flow_id)), pending=list(pending)))

    @api.post("/flows/<flow_id>/pause")
    @operation(ChangedFlowView, scope=TokenScope.OPERATE, errors=(FlowInvalid,))
    async def pause_flow(flow_id: str) -> Response:
        """Pause a flow: it accepts messages, but doesn't start executions; running ones continue."""
        return await decide(flow_id, "paused")

    @api.post("/flows/<flow_id>/stop")
    @operation(ChangedFlowView, scope=TokenScope.OPERATE, errors=(FlowInvalid,))
    async def stop_flow(flow_id: str) -> Response:
        """Stop a flow: it accepts no messages; running executions continue."""
        return await decide(flow_id, "stopped")

    @api.post("/flows/<flow_id>/resume")
    @operation(ChangedFlowView, scope=TokenScope.OPERATE, errors=(FlowInvalid,))
    async def resume_flow(flow_id: str) -> Response:
        """Resume a flow: it accepts messages and runs them, whatever its file says."""
        return await decide(flow_id, "active")

    @api.post("/flows/<flow_id>/reset")
    @operation(ChangedFlowView, scope=TokenScope.OPERATE, errors=(FlowInvalid,))
    async def reset_flow(flow_id: str) -> Response:
        """Reset the state of a flow to the one in its file."""
        return await decide(flow_id, None)
