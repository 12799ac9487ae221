"""Broadcasts between the nodes of a cluster: events, as long as somebody listens, and replies that have become durable.

Nothing depends on them. They are lost if no node listens, or if there are more than can be sent.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from hookline.storage.cluster import Membership
from hookline.telemetry.live_events import Event, Events

_ANNOUNCED: Final = 2.0
"""Seconds after which a node says again that somebody listens to its events."""
_LISTENS: Final = 3 * _ANNOUNCED
"""Seconds for which another node sends its events after that."""


class _Listens(msgspec.Struct, frozen=True, tag="listens"):
    """Somebody listens to the events of the node that sends this."""


class _Happened(msgspec.Struct, frozen=True, tag="event"):
    """An event on the node that sends this, and the number of those before it that were dropped."""

    event: Event
    dropped: int = 0


class _Replied(msgspec.Struct, frozen=True, tag="reply"):
    """An execution has replied or ended, and no caller waits on the node that has run it."""

    execution_id: str


_decode: Final = msgspec.json.Decoder(_Listens | _Happened | _Replied).decode
_encode: Final = msgspec.json.Encoder().encode


class NodeBroadcasts:
    """Sends the broadcasts of this node, as hints, and handles those of others."""

    def __init__(self, membership: Membership, events: Events, replied: Callable[[str], None]) -> None:
        """`replied` is called with executions that another node has run, and that have replied or ended."""
        self._membership = membership
        self._events = events
        self._replied = replied
        self._dropped = 0
        events.outlet = self._send
        events.on_listen = self._announce
        membership.on_hint = self._heard

    def reply(self, execution_id: str) -> None:
        """Tell the other nodes that an execution has replied or ended."""
        if not self._membership.alone:
            self._membership.send_hint(_encode(_Replied(execution_id)))

    async def run(self) -> None:
        """Tell the other nodes again and again that somebody listens, as long as somebody does."""
        while True:
            await asyncio.sleep(_ANNOUNCED)  # other nodes don't follow the engine's clock
            if self._events.heard_here:
                self._announce()

    def _announce(self) -> None:
        if not self._membership.alone:
            self._membership.send_hint(_encode(_Listens()))

    def _send(self, event: Event) -> None:
        if self._membership.alone:
            return
        if self._membership.send_hint(_encode(_Happened(event, self._dropped))):
            self._dropped = 0
        else:
            self._dropped += 1

    def _heard(self, hint: bytes) -> None:
        try:
            said = _decode(hint)
        except msgspec.DecodeError:
            return  # a newer version sends other hints
        match said:
            case _Listens():
                self._events.listen_elsewhere(_LISTENS)
            case _Happened(event, dropped):
                self._events.repeat(event, dropped)
            case _Replied(execution_id):
                self._replied(execution_id)
