"""The admin API's route for the stream of events."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Final

from quart import Blueprint, Response, request

from hookline.access.caller import Caller
from hookline.engine import Engine
from hookline.kernel.errors import StoreError
from hookline.kernel.json import encode
from hookline.service.admin.gate import Gate, caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import FLOW_SCHEMA, Parameter, read_query, require_flow
from hookline.telemetry.live_events import Event

HEARTBEAT: Final = 15.0
"""Seconds without an event after which the stream sends a comment, to show that the connection is alive."""
_CHECK: Final = 3.0
"""Seconds after which the token and the session of a listener are checked again: a stream ends within 5 seconds after
them."""
TOGETHER: Final = 0.2
"""Seconds for which an event waits for those that follow, to be sent together with them: each part has its price."""
_EVENTS: Final = (Parameter("flow_id", "Only those of this flow.", FLOW_SCHEMA),)
_LAST: Final = (Parameter("Last-Event-ID", "The id of the last event that the client got.", {"type": "string"}),)


def add_events(api: Blueprint, engine: Engine, gate: Gate) -> None:

    @api.get("/events")
    @operation(str, media_type="text/event-stream", query=_EVENTS, headers=_LAST)
    async def stream_events() -> Response:
        """Stream events as server-sent events, until the client closes the connection or the server stops.

        The events are `execution.queued`, `execution.started`, `execution.waiting`, `execution.ended`, `step.finished`
        and `request.captured`, each with an id. A client that reconnects with the last id as `Last-Event-ID` gets the
        events in between, as far as they are kept. `gap` marks a place at which events are missing (`count`), because a
        client reconnected too late or reads too slowly, or because more happened on other nodes than they could send. A
        comment is sent every 15 seconds.
        """
        given = read_query(_EVENTS)
        await require_flow(engine, given["flow_id"])
        after, by = request.headers.get("Last-Event-ID"), caller()
        flows = by.flows if given["flow_id"] is None else frozenset((given["flow_id"],))
        headers = {"X-Accel-Buffering": "no"}
        response = Response(_told(engine, gate, by, flows, after), 200, headers, content_type="text/event-stream")
        response.timeout = None
        return response


async def _told(
    engine: Engine, gate: Gate, by: Caller, flows: Collection[str] | None, after: str | None
) -> AsyncIterator[bytes]:
    """The parts of a stream, until the caller may not listen any more or the server stops."""
    now, access = engine.clock.monotonic, _Access(engine, gate, by)
    with engine.events.listen(flows, after) as listener:
        yield b": hookline\n\n"
        sent = now()
        # A client that reads slowly may have held up the part before.
        while await access.holds():
            if events := listener.take():
                sent = now()
                yield b"".join(map(_event, events))
            if listener.closed:
                return
            if now() - sent >= HEARTBEAT:
                sent = now()
                yield b": here\n\n"
            if await listener.wait(engine.clock, access.seconds_left()) and not listener.closed:
                await asyncio.sleep(TOGETHER)


class _Access:
    """The access of a listener, which is looked up again every `_CHECK` seconds."""

    def __init__(self, engine: Engine, gate: Gate, by: Caller) -> None:
        self._engine = engine
        self._gate = gate
        self._by = by
        self._checked = engine.clock.monotonic()

    async def holds(self) -> bool:
        """Return true if the listener may have the next event. It may not while the store can't tell."""
        if self.seconds_left() > 0:
            return True
        self._checked = self._engine.clock.monotonic()
        try:
            return await self._gate.still_valid(self._by)
        except StoreError as error:
            self._engine.store_problem.report(error)
            return False

    def seconds_left(self) -> float:
        """The seconds until it is looked up again."""
        return max(0.0, self._checked + _CHECK - self._engine.clock.monotonic())


def _event(event: Event) -> bytes:
    id_ = f"id: {event.id}\n".encode() if event.id else b""
    return b"%bevent: %b\ndata: %b\n\n" % (id_, event.kind.encode(), encode(event.data))
