"""The admin API's routes that repair and explain: replays, dead letters, many at once, and what happens now."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from quart import Blueprint, Response, request

from hookline.clock import rfc3339
from hookline.errors import ExecutionNotFound, Malformed
from hookline.jsontypes import encode
from hookline.model.cause import normalised, step_of
from hookline.model.execution import Outcome, State
from hookline.ports import DeadLetters
from hookline.runtime.bulk import Chosen, Done
from hookline.runtime.engine import Engine
from hookline.runtime.events import Event
from hookline.runtime.explaining import Explained, explain
from hookline.runtime.replaying import Edit, Which
from hookline.service import views
from hookline.service.api_messages import PAGE, answer, decoded, limit_of, paged, query
from hookline.service.openapi import operation

HEARTBEAT: Final = 15.0
"""Seconds after which a stream of events says that it is still there."""

_FILTERS: Final = {
    "flow_id": "Only those of this flow.",
    "state": "Only those in this state.",
    "outcome": "Only those that ended like this.",
    "error_code": "Only those that failed with this code, such as `http.503`.",
    "cause": "Only dead letters of this group: see `dead-letters`.",
    "since": "Only those whose message was accepted then or later: RFC 3339.",
    "until": "Only those whose message was accepted before: RFC 3339.",
}
FILTERS: Final = {**_FILTERS, "replay_of": "Only those that do this execution again."}
"""The parameters that choose among executions."""


class EditRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is changed of the message of a replay. All are optional, and so is the body of the request."""

    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    """Any JSON value, in place of the body of the message that came, or that reaches the step."""
    headers: dict[str, str] | None = None
    """In place of its headers."""
    edits: dict[str, Any] = {}
    """Values by JSONPath, such as `$.body.currency`; not with a step."""
    merge: Any = None
    """A JSON merge patch (RFC 7396) of the body; not with a step."""


class Replayed(msgspec.Struct, frozen=True):
    """An execution that does another again."""

    execution_id: str
    flow_id: str
    replay_of: str


class ManyRequest(EditRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be done with a page of executions. The filters are those of the list of executions."""

    do: Literal["retry", "replay", "cancel", "discard"]
    flow_id: str | None = None
    state: str | None = None
    outcome: str | None = None
    error_code: str | None = None
    cause: str | None = None
    since: str | None = None
    until: str | None = None
    step: str | None = None
    """The step from which on they are replayed."""
    version: Literal["current", "same"] = "current"
    """The version on which they are replayed."""
    cursor: str | None = None
    limit: int = 50


class DoneView(msgspec.Struct, frozen=True):
    """An execution with which it was done."""

    id: str
    new_id: str | None
    """The execution that does it again."""


class RefusalView(msgspec.Struct, frozen=True):
    """An execution with which it couldn't be done."""

    id: str
    code: str
    message: str


class ManyDone(msgspec.Struct, frozen=True):
    """What came of one page."""

    done: list[DoneView]
    refused: list[RefusalView]
    next: str | None
    """The cursor of the next page; null at the end."""


class DeadLettersView(msgspec.Struct, frozen=True):
    """Executions that failed for one cause, and were neither retried nor discarded."""

    cause: str
    """Names the group: the flow's id, a colon, and a hash of code, step and message."""
    flow_id: str
    error: views.ErrorView
    """Its message without what differs from one to the next: numbers, ids, texts in quotes. Its step without the
    places of items."""
    count: int
    first_at: views.Time
    last_at: views.Time
    newest: str
    """The execution that was accepted last."""
    example: str
    """The message of that one's error."""


def repair_routes(api: Blueprint, engine: Engine) -> None:
    """Add the routes of an engine."""
    _one(api, engine)
    _many(api, engine)
    _events(api, engine)


def _one(api: Blueprint, engine: Engine) -> None:
    @api.post("/executions/<execution_id>/cancel")
    @operation(views.ExecutionView, status=202)
    async def cancel_execution(execution_id: str) -> Response:
        """Let an execution end as cancelled: what runs is cut off, and each `finally` on the way out runs."""
        await engine.cancel(execution_id)
        return answer(await views.execution_view(engine.store, execution_id, engine.resume_url), 202)

    @api.post("/executions/<execution_id>/discard")
    @operation(views.ExecutionView)
    async def discard_execution(execution_id: str) -> Response:
        """Let a failed execution be a dead letter no longer. It stays in the history, and can still be replayed."""
        await engine.discard(execution_id)
        return answer(await views.execution_view(engine.store, execution_id, engine.resume_url))

    @api.post("/executions/<execution_id>/replay")
    @operation(
        Replayed,
        request=EditRequest,
        status=202,
        query={
            "from": "The path or the id of the step from which on it is done again; what ran before isn't.",
            "version": "`current`, which is the default, or `same`: the version on which it ran.",
        },
    )
    async def replay_execution(execution_id: str) -> Response:
        """Do an execution again, as a new one: with its message, or from one of its steps on."""
        given = query("from", "version")
        edit = _edit(await _body(EditRequest))
        new_id = await engine.replay(
            execution_id, step=given.get("from"), version=_version(given.get("version")), edit=edit
        )
        made = await engine.store.execution(new_id)
        flow_id = "" if made is None else made.flow_id
        return answer(Replayed(new_id, flow_id, execution_id), 202)

    @api.get("/executions/<execution_id>/provenance")
    @operation(Explained, query={"field": "`steps.invoice.body.amount`, say, or `body.amount` of what it ended with."})
    async def explain_field(execution_id: str) -> Response:
        """Where a value comes from: the expression that made it, what that read, and so on to what came in."""
        field = query("field").get("field")
        if field is None:
            raise Malformed("field says of which value: steps.<id>.body.<key>, or body.<key> of what it ended with.")
        return answer(await explain(engine.store, engine.catalog, execution_id, field))


def _many(api: Blueprint, engine: Engine) -> None:
    @api.post("/executions/many")
    @operation(ManyDone, request=ManyRequest)
    async def many_executions() -> Response:
        """Retry, replay, cancel or discard a page of executions, newest first; `next` goes on with the next page.

        What can't be done with one of them is told, and done with the others. Replaying the dead letters of a cause
        discards each with its replay, so that whoever is stopped in the middle can begin anew.
        """
        given = await _body(ManyRequest)
        if not 1 <= given.limit <= 200:
            raise Malformed("limit is a number from 1 to 200.")
        chosen = chosen_of({name: value for name in _FILTERS if (value := getattr(given, name)) is not None})
        page = engine.many(
            given.do,
            chosen,
            version=given.version,
            step=given.step,
            edit=_edit(given),
            cursor=given.cursor,
            limit=given.limit,
        )
        return answer(done_view(await paged(page)))

    @api.get("/dead-letters")
    @operation(views.PageView[DeadLettersView], query={"flow_id": "Only those of this flow.", **PAGE})
    async def list_dead_letters() -> Response:
        """What failed and wasn't taken care of, grouped by cause; the group with the newest execution first."""
        given = query("flow_id", "cursor", "limit")
        page = await paged(
            engine.store.dead_letters(
                flow_id=given.get("flow_id"), cursor=given.get("cursor"), limit=limit_of(given.get("limit"))
            )
        )
        return answer(views.PageView([dead_letters_view(one) for one in page.items], page.next))

    @api.get("/dead-letters/<cause>")
    @operation(DeadLettersView)
    async def get_dead_letters(cause: str) -> Response:
        """One group. Its executions are `executions?cause=…`."""
        flow_id, own = cause_parts(cause)
        page = await engine.store.dead_letters(flow_id=flow_id, cause=own, limit=1)
        if not page.items:
            raise ExecutionNotFound(f"there are no dead letters of the cause {cause!r}")
        return answer(dead_letters_view(page.items[0]))


def _events(api: Blueprint, engine: Engine) -> None:
    @api.get("/events")
    @operation(str, media_type="text/event-stream", query={"flow_id": "Only those of this flow."})
    async def stream_events() -> Response:
        """What happens from now on, as server-sent events, until the client goes or the server stops.

        `execution.queued`, `execution.started`, `execution.waiting`, `execution.ended` and `step.finished`, each with
        an id: a client that comes back with the last as `Last-Event-ID` gets what it missed, as far as it is kept.
        `missed` says how many events are lost to one that comes too late, or reads too slowly. A comment comes every
        15 seconds.
        """
        given = query("flow_id")
        after = request.headers.get("Last-Event-ID")

        async def told() -> AsyncIterator[bytes]:
            with engine.events.listen(given.get("flow_id"), after) as listener:
                yield b": hookline\n\n"
                while True:
                    events = listener.take()
                    for event in events:
                        yield _event(event)
                    if listener.closed:
                        return
                    if not events and not await listener.wait(engine.clock, HEARTBEAT):
                        yield b": here\n\n"

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = Response(told(), 200, headers, content_type="text/event-stream")
        response.timeout = None
        return response


def _event(event: Event) -> bytes:
    id_ = f"id: {event.id}\n".encode() if event.id else b""
    return b"%bevent: %b\ndata: %b\n\n" % (id_, event.kind.encode(), encode(event.data))


def done_view(done: Done) -> ManyDone:
    """What came of one page."""
    return ManyDone(
        [DoneView(id_, new_id) for id_, new_id in done.done],
        [RefusalView(one.id, one.code, one.message) for one in done.refused],
        done.next,
    )


def dead_letters_view(group: DeadLetters) -> DeadLettersView:
    """One group of dead letters."""
    error = group.error
    return DeadLettersView(
        cause=views.cause_view(group.flow_id, group.cause),
        flow_id=group.flow_id,
        error=views.ErrorView(error.code, normalised(error.message), step_of(error), error.retryable),
        count=group.count,
        first_at=rfc3339(group.first_at),
        last_at=rfc3339(group.last_at),
        newest=group.newest,
        example=error.message,
    )


def cause_parts(cause: str) -> tuple[str, str]:
    """The flow and the hash of a cause as it is shown. Raises Malformed."""
    flow_id, colon, own = cause.rpartition(":")
    if not colon or not flow_id:
        raise Malformed(f"{cause!r} is no cause: those of `dead-letters` read <flow>:<hash>.")
    return flow_id, own


def chosen_by(given: Mapping[str, str]) -> dict[str, Any]:
    """The filters of a list of executions, for the store. Raises Malformed."""
    chosen = chosen_of({name: value for name, value in given.items() if name in _FILTERS})
    found: dict[str, Any] = {name: getattr(chosen, name) for name in _FILTERS}
    return found | {"replay_of": given.get("replay_of")}


def chosen_of(given: Mapping[str, str]) -> Chosen:
    """The executions that a request means. Raises Malformed."""
    flow_id, cause = given.get("flow_id"), given.get("cause")
    if cause is not None:
        of, cause = cause_parts(cause)
        if flow_id not in (None, of):
            raise Malformed(f"The cause is one of flow {of!r}, and not of {flow_id!r}.")
        flow_id = of
    return Chosen(
        flow_id=flow_id,
        state=_member(State, given.get("state"), "state"),
        outcome=_member(Outcome, given.get("outcome"), "outcome"),
        error_code=given.get("error_code"),
        cause=cause,
        since=_time(given.get("since"), "since"),
        until=_time(given.get("until"), "until"),
    )


def _member(kind: Any, text: str | None, name: str) -> Any:
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise Malformed(f"There is no {name} {text!r}; there are {known}.") from None


def _time(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Malformed(f"{name} is a time such as 2026-01-31T08:00:00Z, and not {text!r}.")
    return at


def _version(text: str | None) -> Which:
    if text in (None, "current"):
        return "current"
    if text == "same":
        return "same"
    raise Malformed(f"version is current or same, and not {text!r}.")


async def _body(kind: Any) -> Any:
    data = await request.get_data(as_text=False)
    return decoded(data or b"{}", kind)


def _edit(given: EditRequest) -> Edit:
    body = None if given.body is msgspec.UNSET else bytes(given.body)
    merge = given.merge
    if merge is not None and not isinstance(merge, dict):
        raise Malformed("merge is an object: what it names is replaced, and null removes a key.")
    return Edit(body, given.headers, given.edits, merge)
