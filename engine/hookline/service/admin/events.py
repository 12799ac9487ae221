"""The admin API's route that tells what happens now."""

from collections.abc import AsyncIterator
from typing import Final

from quart import Blueprint, Response, request

from hookline.engine import Engine
from hookline.kernel.json import encode
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import query
from hookline.telemetry.events import Event

HEARTBEAT: Final = 15.0
"""Seconds after which a stream of events says that it is still there."""


def add_events(api: Blueprint, engine: Engine) -> None:
    """Add the route."""

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
