"""The admin API's routes about recordings: executions with all that a backtest needs."""

from datetime import datetime
from typing import Any, Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import (
    BlobGone,
    ExecutionNotFound,
    IllegalStateChange,
)
from hookline.kernel.json import encode
from hookline.model.execution import FINAL, Execution, ExecutionFilter
from hookline.model.message import Attachment, Envelope, pack
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    page_or_malformed,
    read_query,
    require_flow,
    time,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.executions import (
    StepView,
    SummaryView,
    step_view,
    summary_view,
)
from hookline.service.views.list_page import PageView
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store

_RECORDINGS: Final = (time("since", "Only executions whose message was accepted at this time or later."), *PAGE)


#: Bytes of text in the files of a recording, for each file and for all together.
_SMALL: Final = 65536


class RecordingView(SummaryView, frozen=True):
    """An execution that has ended, with its message and each attempt at each step."""

    body: msgspec.Raw
    headers: dict[str, str]
    attachments: list[Attachment]
    steps: list[StepView]


class WholeRecordingView(RecordingView, frozen=True):
    """An execution that has ended, with the contents of its message's files."""

    contents: dict[str, str]
    """The texts of the attachments by their ids; without files that are large, are no text or were removed."""


def add_recordings(api: Blueprint, engine: Engine) -> None:

    @api.get("/flows/<flow_id>/recordings")
    @operation(PageView[RecordingView], query=_RECORDINGS)
    async def recordings(flow_id: str) -> Response:
        """List the executions of a flow that have ended, newest first, with their messages and journals."""
        given = read_query(_RECORDINGS)
        await require_flow(engine, flow_id)
        page = recorded(engine.store, flow_id, given["since"], given["cursor"], given["limit"])
        return json_response(await page_or_malformed(page))

    @api.get("/executions/<execution_id>/recording")
    @operation(
        WholeRecordingView,
        errors=(IllegalStateChange, BlobGone),
    )
    async def recording(execution_id: str) -> Response:
        """Get an execution that has ended, with its message, the small text files of the message, and its journal."""
        return json_response(await recorded_one(engine.store, engine.blobs, execution_id))


async def recorded(
    store: Store, flow_id: str, since: datetime | None, cursor: str | None, limit: int
) -> PageView[RecordingView]:
    """A page of recordings. Raises ValueError for a cursor that isn't one, and StoreError."""
    page = await store.executions(ExecutionFilter(flow_id=flow_id, since=since), cursor=cursor, limit=limit)
    found: list[RecordingView] = []
    for summary in page.items:
        execution = summary.execution
        envelope = await store.envelope(execution.id) if execution.state in FINAL else None
        if envelope is None:
            continue
        found.append(RecordingView(**await _shown(store, execution, envelope, summary.payload)))
    return PageView(found, page.next)


async def recorded_one(store: Store, blobs: Blobs, execution_id: str) -> WholeRecordingView:
    """One recording. Raises ExecutionNotFound, IllegalStateChange if it hasn't ended, and StoreError."""
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
    shown: dict[str, Any] = msgspec.structs.asdict(summary_view(execution, payload))
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
