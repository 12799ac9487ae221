"""The admin API's route for the stream of events."""

from collections.abc import AsyncIterator
from typing import Final

from quart import Blueprint, Response, request

from hookline.engine import Engine
from hookline.kernel.json import encode
from hookline.service.admin.callers import Gate, caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import FLOW_SCHEMA, Parameter, read_query, require_flow
from hookline.telemetry.events import Event

HEARTBEAT: Final = 15.0
"""Seconds without an event after which the stream sends a comment, to show that the connection is alive."""


_CHECK: Final = 3.0
"""Seconds after which the token and the session of a listener are checked again: a stream ends within 5 seconds after
them."""
_EVENTS: Final = (Parameter("flow_id", "Only those of this flow.", FLOW_SCHEMA),)
_LAST: Final = (Parameter("Last-Event-ID", "The id of the last event that the client got.", {"type": "string"}),)


def add_events(api: Blueprint, engine: Engine, gate: Gate) -> None:

    @api.get("/events")
    @operation(str, media_type="text/event-stream", query=_EVENTS, headers=_LAST)
    async def stream_events() -> Response:
        """Stream events as server-sent events, until the client closes the connection or the server stops.

        The events are `execution.queued`, `execution.started`, `execution.waiting`, `execution.ended` and
        `step.finished`, each with an id. A client that reconnects with the last id as `Last-Event-ID` gets the events
        in between, as far as they are kept. `gap` marks a place at which events are missing (`count`),
        because a client reconnected too late or reads too slowly, or because more happened on other nodes than they
        could send. A comment is sent every 15 seconds.
        """
        given = read_query(_EVENTS)
        await require_flow(engine, given["flow_id"])
        after, by = request.headers.get("Last-Event-ID"), caller()
        flows = by.flows if given["flow_id"] is None else frozenset((given["flow_id"],))

        async def told() -> AsyncIterator[bytes]:
            with engine.events.listen(flows, after) as listener:
                yield b": hookline\n\n"
                now = engine.clock.monotonic
                checked = sent = now()
                while True:
                    if now() - checked >= _CHECK:
                        if not await gate.still_valid(by):
                            return
                        checked = now()
                    for event in listener.take():
                        sent = now()
                        yield _event(event)
                    if listener.closed:
                        return
                    if now() - sent >= HEARTBEAT:
                        sent = now()
                        yield b": here\n\n"
                    await listener.wait(engine.clock, max(0.0, checked + _CHECK - now()))

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = Response(told(), 200, headers, content_type="text/event-stream")
        response.timeout = None
        return response


def _event(event: Event) -> bytes:
    id_ = f"id: {event.id}\n".encode() if event.id else b""
    return b"%bevent: %b\ndata: %b\n\n" % (id_, event.kind.encode(), encode(event.data))
