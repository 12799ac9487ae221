"""The admin API's routes for operations on executions: retry, resume, release, cancel, discard and replay, also in
bulk."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import (
    FlowInvalid,
    FlowNotFound,
    FlowUnknown,
    IllegalStateChange,
    InputInvalid,
    NotReplayable,
    RedactedUnreadable,
    SchemaViolation,
)
from hookline.model.access import TokenScope
from hookline.model.execution import ExecutionFilter
from hookline.operations.bulk import BulkResult
from hookline.operations.replay import Edit
from hookline.service.admin.executions.executions import with_cause_divided
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    CURSOR_SCHEMA,
    MAX_LIMIT,
    Cause,
    ExecutionId,
    FlowId,
    Parameter,
    body_of,
    choice,
    decode_body,
    page_or_malformed,
    read_body,
    read_query,
    require_flow,
)
from hookline.service.admin.responses import json_response
from hookline.service.admin.visible_pages import require_named_flow
from hookline.service.views.executions import ExecutionView, execution_view
from hookline.service.views.json_field_types import Uuid

Reason = Annotated[str, msgspec.Meta(max_length=500)]


class ResumeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A callback to a waiting step, sent by an operator."""

    step: str
    """The path of the waiting step, or its id if only one step with that id waits."""
    body: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    """Any JSON value: the body of the callback."""


class EditRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of the message of a replay. All are optional, and so is the body of the request."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Any JSON value that replaces the body of the message, or of the message that reaches the step."""
    headers: dict[str, str] | None = None
    """They replace its headers."""
    edits: dict[str, Any] = {}
    """Values by JSONPath, such as `$.body.currency`; not with a step."""
    merge: dict[str, Any] | None = None
    """A JSON merge patch (RFC 7396) of the body; not with a step."""


class DiscardRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason for a discard. The body of the request is optional."""

    reason: Reason = ""
    """It is recorded in the audit."""


class Replayed(msgspec.Struct, frozen=True):
    """The new execution of a replay."""

    execution_id: Uuid
    flow_id: str
    replay_of: Uuid


class _Version(StrEnum):
    CURRENT = "current"
    SAME = "same"


_REPLAY: Final = (
    Parameter("from", "The path or the id of the step from which on it is done again; what ran before isn't."),
    choice("version", "`same` is the version on which it ran.", _Version, _Version.CURRENT),
)

_ERRORS: Final = (IllegalStateChange, FlowNotFound, FlowInvalid)
"""The errors of each operation on an execution."""


def add_operations(api: Blueprint, engine: Engine) -> None:

    @api.post("/executions/<execution_id>/retry")
    @operation(
        ExecutionView,
        status=202,
        scope=TokenScope.OPERATE,
        errors=(*_ERRORS, NotReplayable, RedactedUnreadable),
        connectors=True,
    )
    async def retry_execution(execution_id: str) -> Response:
        """Retry a failed execution. Completed steps don't run again."""
        await engine.operations.retry(execution_id, by=caller().actor)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url), 202)

    @api.post("/executions/<execution_id>/resume")
    @operation(
        ExecutionView,
        request=ResumeRequest,
        status=202,
        scope=TokenScope.OPERATE,
        errors=(*_ERRORS, RedactedUnreadable, SchemaViolation, InputInvalid),
    )
    async def resume_execution(execution_id: str) -> Response:
        """Resume a waiting step, in place of its callback."""
        given = decode_body(await read_body(), ResumeRequest)
        await engine.operations.resume(execution_id, given.step, bytes(given.body), by=caller().actor)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url), 202)

    @api.post("/executions/<execution_id>/release")
    @operation(
        ExecutionView,
        scope=TokenScope.OPERATE,
        errors=_ERRORS,
    )
    async def release_execution(execution_id: str) -> Response:
        """Release the order key of a failed execution, so that the next execution with that key runs."""
        await engine.operations.release(execution_id, by=caller().actor)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url))

    @api.post("/executions/<execution_id>/cancel")
    @operation(
        ExecutionView,
        status=202,
        scope=TokenScope.OPERATE,
        errors=_ERRORS,
    )
    async def cancel_execution(execution_id: str) -> Response:
        """Cancel an execution: running steps are cancelled, and each `finally` around them runs."""
        await engine.operations.cancel(execution_id, by=caller().actor)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url), 202)

    @api.post("/executions/<execution_id>/discard")
    @operation(
        ExecutionView,
        request=DiscardRequest,
        body_required=False,
        scope=TokenScope.OPERATE,
        errors=_ERRORS,
    )
    async def discard_execution(execution_id: str) -> Response:
        """Discard a dead letter. The execution stays in the history, and can still be replayed."""
        given = await body_of(DiscardRequest)
        await engine.operations.discard(execution_id, by=caller().actor, reason=given.reason)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url))

    @api.post("/executions/<execution_id>/replay")
    @operation(
        Replayed,
        request=EditRequest,
        status=202,
        body_required=False,
        query=_REPLAY,
        scope=TokenScope.OPERATE,
        errors=(*_ERRORS, NotReplayable, RedactedUnreadable, SchemaViolation, FlowUnknown),
    )
    async def replay_execution(execution_id: str) -> Response:
        """Replay an execution as a new one: with its message, or from one of its steps on."""
        given = read_query(_REPLAY)
        edit = message_edit(await body_of(EditRequest))
        new_id = await engine.operations.replay(
            execution_id, by=caller().actor, step=given["from"], version=given["version"].value, edit=edit
        )
        made = await engine.store.execution(new_id)
        flow_id = "" if made is None else made.flow_id
        return json_response(Replayed(new_id, flow_id, execution_id), 202)


def message_edit(given: "EditRequest | BulkRequest") -> Edit:
    """The changes of a message in a request."""
    body = None if given.body is msgspec.UNSET else bytes(given.body)
    return Edit(body, given.headers, given.edits, given.merge)


class BulkRequest(ExecutionFilter, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An operation and the filter of its executions; for replays also changes of the messages."""

    flow_id: FlowId | None = None
    cause: Cause | None = None
    replay_of: ExecutionId | None = None
    do: Literal["retry", "replay", "cancel", "discard"]
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    headers: dict[str, str] | None = None
    edits: dict[str, Any] = msgspec.field(default_factory=dict)
    merge: dict[str, Any] | None = None
    step: str | None = None
    """The step from which on they are replayed."""
    version: Literal["current", "same"] = "current"
    """The version in which they are replayed."""
    reason: Reason = ""
    """The reason for which they are discarded."""
    cursor: Annotated[str, msgspec.Meta(extra_json_schema=CURSOR_SCHEMA)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = 50


class DoneView(msgspec.Struct, frozen=True):
    """An execution for which the operation succeeded."""

    id: Uuid
    new_id: Uuid | None
    """The execution that replays it."""


class RejectionView(msgspec.Struct, frozen=True):
    """An execution for which the operation failed."""

    id: Uuid
    code: str
    message: str


class BulkResultView(msgspec.Struct, frozen=True):
    """The result for one page."""

    done: list[DoneView]
    rejected: list[RejectionView]
    next: str | None
    """The cursor of the next page; null at the end."""


def add_bulk(api: Blueprint, engine: Engine) -> None:

    @api.post("/executions/many")
    @operation(BulkResultView, request=BulkRequest, scope=TokenScope.OPERATE, errors=(FlowNotFound,), connectors=True)
    async def many_executions() -> Response:
        """Retry, replay, cancel or discard a page of executions, newest first; `next` is the cursor of the next page.

        If the operation fails for one of them, the response says so, and the others are not affected. Replaying the
        dead letters of a cause discards each with its replay, so that an interrupted run can start again.
        """
        given = await body_of(BulkRequest)
        chosen = with_cause_divided(msgspec.convert(given, ExecutionFilter, from_attributes=True))
        require_named_flow(caller(), chosen.flow_id)
        await require_flow(engine, chosen.flow_id)
        page = engine.operations.bulk(
            given.do,
            chosen,
            by=caller().actor,
            version=given.version,
            step=given.step,
            edit=message_edit(given),
            reason=given.reason,
            cursor=given.cursor,
            limit=given.limit,
        )
        return json_response(bulk_result_view(await page_or_malformed(page)))


def bulk_result_view(done: BulkResult) -> BulkResultView:
    return BulkResultView(
        [DoneView(id_, new_id) for id_, new_id in done.done],
        [RejectionView(one.id, one.code, one.message) for one in done.rejected],
        done.next,
    )
