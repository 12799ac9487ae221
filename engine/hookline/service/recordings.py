"""The admin API's route that gives what executions of a flow took in and did, so that a changed flow can be tried."""

from datetime import datetime
from typing import Any

import msgspec
from quart import Blueprint, Response

from hookline.errors import Malformed
from hookline.jsontypes import encode
from hookline.model.execution import FINAL
from hookline.model.message import Attachment, arrival_view
from hookline.ports import Store
from hookline.runtime.engine import Engine
from hookline.service.api_messages import PAGE, answer, limit_of, paged, query
from hookline.service.openapi import operation
from hookline.service.views import PageView, StepView, SummaryView, step_view, summary_view


class RecordingView(SummaryView, frozen=True):
    """An execution that has ended, with its message and each attempt at each step."""

    body: msgspec.Raw
    headers: dict[str, str]
    attachments: list[Attachment]
    steps: list[StepView]


def add_recordings(api: Blueprint, engine: Engine) -> None:
    """Add the route."""

    @api.get("/flows/<flow_id>/recordings")
    @operation(PageView[RecordingView], query={"since": "Only what was accepted then or later: RFC 3339.", **PAGE})
    async def recordings(flow_id: str) -> Response:
        """Executions of a flow that have ended, newest first, with their messages and journals."""
        given = query("since", "cursor", "limit")
        page = recorded(engine.store, flow_id, given.get("since"), given.get("cursor"), limit_of(given.get("limit")))
        return answer(await paged(page))


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
        shown: dict[str, Any] = msgspec.structs.asdict(summary_view(execution, arrival_view(summary.payload)))
        body = envelope.body_json if envelope.body_json is not None else encode(envelope.message.body)
        found.append(
            RecordingView(
                **shown,
                body=msgspec.Raw(body),
                headers=envelope.message.headers,
                attachments=list(envelope.message.attachments),
                steps=[step_view(record) for record in await store.journal(execution.id)],
            )
        )
    return PageView(found, page.next)
