"""The admin API's route that gives what executions of a flow took in and did, so that a changed flow can be tried."""

from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange, Malformed
from hookline.kernel.json import encode
from hookline.model.execution import FINAL, Execution
from hookline.model.message import Attachment, Envelope, arrival_view, pack
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, answer, limit_of, paged, query
from hookline.service.views.executions import SummaryView, summary_view
from hookline.service.views.pages import PageView
from hookline.service.views.steps import StepView, step_view
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

#: Bytes of text that files may have to be told with an execution, one by one and together.
_SMALL: Final = 65536


class RecordingView(SummaryView, frozen=True):
    """An execution that has ended, with its message and each attempt at each step."""

    body: msgspec.Raw
    headers: dict[str, str]
    attachments: list[Attachment]
    steps: list[StepView]


class WholeRecordingView(RecordingView, frozen=True):
    """One execution that has ended, with what is in its message's files."""

    contents: dict[str, str]
    """By the id of an attachment, its text; those that are large, are no text or are gone have none."""


def add_recordings(api: Blueprint, engine: Engine) -> None:
    """Add the route."""

    @api.get("/flows/<flow_id>/recordings")
    @operation(PageView[RecordingView], query={"since": "Only what was accepted then or later: RFC 3339.", **PAGE})
    async def recordings(flow_id: str) -> Response:
        """Executions of a flow that have ended, newest first, with their messages and journals."""
        given = query("since", "cursor", "limit")
        page = recorded(engine.store, flow_id, given.get("since"), given.get("cursor"), limit_of(given.get("limit")))
        return answer(await paged(page))

    @api.get("/executions/<execution_id>/recording")
    @operation(WholeRecordingView)
    async def recording(execution_id: str) -> Response:
        """An execution that has ended, with its message, small texts among its files, and its journal."""
        return answer(await recorded_one(engine.store, engine.blobs, execution_id))


async def recorded(
    store: Store, flow_id: str, since: str | None, cursor: str | None, limit: int
) -> PageView[RecordingView]:
    """A page of recordings. Raises ValueError for a cursor that isn't one, Malformed, and StoreError."""
    try:
        at = None if since is None else datetime.fromisoformat(since)
    except ValueError:
        at = None
    if since is not None and (at is None or at.tzinfo is None):
        raise Malformed("since is a time with its offset, as in 2026-01-31T08:00:00Z.")
    page = await store.executions(flow_id=flow_id, since=at, cursor=cursor, limit=limit)
    found: list[RecordingView] = []
    for summary in page.items:
        execution = summary.execution
        envelope = await store.envelope(execution.id) if execution.state in FINAL else None
        if envelope is None:
            continue
        found.append(RecordingView(**await _shown(store, execution, envelope, summary.payload)))
    return PageView(found, page.next)


async def recorded_one(store: Store, blobs: Blobs, execution_id: str) -> WholeRecordingView:
    """One recording. Raises ExecutionNotFound, IllegalStateChange while it hasn't ended, and StoreError."""
    execution = await store.execution(execution_id)
    envelope = None if execution is None else await store.envelope(execution_id)
    if execution is None or envelope is None:
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
    if execution.state not in FINAL:
        raise IllegalStateChange(f"execution {execution_id!r} has not ended: it is {execution.state.value}")
    contents: dict[str, str] = {}
    left = _SMALL
    for attachment in envelope.message.attachments:
        text = None if attachment.size > left or execution.files_removed_at else await _text(blobs, attachment)
        if text is not None:
            contents[attachment.id] = text
            left -= attachment.size
    return WholeRecordingView(**await _shown(store, execution, envelope, pack(envelope)), contents=contents)


async def _shown(store: Store, execution: Execution, envelope: Envelope, payload: bytes) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.structs.asdict(summary_view(execution, arrival_view(payload)))
    body = envelope.body_json if envelope.body_json is not None else encode(envelope.message.body)
    return {
        **shown,
        "body": msgspec.Raw(body),
        "headers": envelope.message.headers,
        "attachments": list(envelope.message.attachments),
        "steps": [step_view(record) for record in await store.journal(execution.id)],
    }


async def _text(blobs: Blobs, attachment: Attachment) -> str | None:
    try:
        return b"".join([chunk async for chunk in blobs.open(attachment.id)]).decode()
    except UnicodeDecodeError:
        return None
