"""Handing over the messages with an order key, in the order of the stream, by one process at a time.

They are read by their places in the stream, and not through a consumer: after a crash, a consumer gives later messages
before those that the dead process had. The place of the last one is committed together with the messages or after them,
and then everything up to it is removed from the stream. Only then more is read, from the beginning of the stream, so
that nothing is passed over: whatever is there isn't inserted. So a process that takes over misses none.

A place alone doesn't tell which message is meant. Another stream with the same name, and a server that has lost the end
of a stream, give the same places to other messages. So everything up to a place is removed only if the message that was
inserted is still there, and only under the subjects of its stream, which no later one has (see `stream_setup`): so a
removal that comes late removes nothing from a later stream.
"""

import asyncio
import logging
from typing import Final

import msgspec
from nats.js.api import RawStreamMsg
from nats.js.client import JetStreamContext

from hookline.api import StoreError
from hookline.api_storage import Envelope, InsertInOrder
from hookline_nats import stream_message_encoding, stream_setup
from hookline_nats.address import Address
from hookline_nats.connection import ERRORS, check_cancelled, if_found, reason
from hookline_nats.large_envelopes import LargeEnvelopes, Unreadable
from hookline_nats.unreadable_messages import UnreadableMessages

_GROUP: Final = 256
_GROUP_BYTES: Final = 4 * 1024 * 1024
_AGAIN: Final = 1.0
"""Seconds before the next attempt after an error."""
_SOONEST: Final = 0.02
_LATEST: Final = 0.25
"""Seconds before the stream is asked again when it has nothing more: the first time, and at most."""

_log: Final = logging.getLogger("hookline.queue")


class _Position(msgspec.Struct, frozen=True):
    """The last of the messages that were inserted."""

    seq: int
    execution_id: str = ""
    """Tells it from another message with the same place."""


_BEGINNING: Final = _Position(0)
"""The position as long as no message was inserted."""


class OrderedHandover:
    """Takes messages in groups, in the order in which they were published."""

    def __init__(
        self,
        jetstream: JetStreamContext,
        address: Address,
        subjects: stream_setup.Subjects,
        large_envelopes: LargeEnvelopes,
    ) -> None:
        self._jetstream = jetstream
        self._address = address
        self._subjects = subjects
        self._large_envelopes = large_envelopes
        self._unreadable = UnreadableMessages(jetstream, address, subjects)
        self._stuck: set[int] = set()
        """The places of unreadable messages that can't be kept apart now. Others are taken together with them."""
        self._reached = _BEGINNING
        """The position of the last message that is committed."""
        self._inserted: list[RawStreamMsg] | None = None
        """The messages that were committed with it and may still be in the stream; None if they were removed."""

    async def run(self, after: bytes | None, insert: InsertInOrder) -> None:
        """Hand over messages forever, beginning after a position that was committed."""
        if after is not None:
            self._reached, self._inserted = msgspec.json.decode(after, type=_Position), []
        pause = _SOONEST
        while True:
            check_cancelled()
            try:
                await self._remove_inserted()
                group = await self._taken()
                if group:
                    await self._hand_over(group, insert)
                    pause = _SOONEST
                    continue
            except (*ERRORS, StoreError) as error:
                _log.debug("no messages can be taken in order from %s: %s", self._address.name, reason(error))
                pause = _AGAIN
            await asyncio.sleep(pause)
            pause = min(_LATEST, pause * 2)

    async def _taken(self) -> list[RawStreamMsg]:
        """The next messages, from the first one on; none if the stream was made again meanwhile."""
        group: list[RawStreamMsg] = []
        size = 0
        while len(group) < _GROUP and size < _GROUP_BYTES:
            message = await self._next(_seq(group[-1]) if group else 0)
            if message is None:
                break
            group.append(message)
            if _seq(message) not in self._stuck:
                large = stream_message_encoding.BLOB in (message.headers or {})
                size += _GROUP_BYTES if large else len(message.data or b"")
        if len(group) > 1:
            # The later ones may be those of another stream, which has more before them.
            first = await self._next(0)
            if first is None or _position(first) != _position(group[0]):
                return []
        return group

    async def _next(self, after: int) -> RawStreamMsg | None:
        """The first message with an order key after a place; None if there is none."""
        return await if_found(
            self._jetstream.get_msg(
                self._address.stream, seq=after + 1, subject=self._subjects.every_ordered, next=True
            )
        )

    async def _found(self, position: _Position) -> RawStreamMsg | None:
        """The message of a position; None if it isn't in the stream, or another one is in its place."""
        if position == _BEGINNING:
            return None
        message = await if_found(self._jetstream.get_msg(self._address.stream, position.seq))
        return message if message is not None and _position(message) == position else None

    async def _hand_over(self, group: list[RawStreamMsg], insert: InsertInOrder) -> None:
        readable, unreadable = await self._read(group)
        envelopes = [envelope for _, envelope in readable]
        try:
            for message, why in unreadable:
                await self._unreadable.keep(
                    _seq(message), message.subject or "", message.data or b"", message.headers or {}, why
                )
        except ERRORS as error:
            # A full stream has room for it only when others have left. The position has to stay before it until then.
            _log.warning("an unreadable message can't be kept apart now: %s", reason(error))
            self._stuck = {_seq(message) for message, _ in unreadable}
            if envelopes:
                await insert(envelopes, msgspec.json.encode(self._reached))
            for message, _ in readable:
                if await self._found(_position(message)) is not None:
                    await self._jetstream.delete_msg(self._address.stream, _seq(message))
                    await self._forget(message)
            raise
        reached = _position(group[-1])
        if envelopes:
            await insert(envelopes, msgspec.json.encode(reached))
        self._reached, self._inserted = reached, [message for message, _ in readable]

    async def _read(
        self, group: list[RawStreamMsg]
    ) -> tuple[list[tuple[RawStreamMsg, Envelope]], list[tuple[RawStreamMsg, Unreadable]]]:
        """Return messages with their envelopes, and those that can't be read."""
        readable: list[tuple[RawStreamMsg, Envelope]] = []
        unreadable: list[tuple[RawStreamMsg, Unreadable]] = []
        for message in group:
            try:
                envelope = await self._large_envelopes.read(message.data or b"", message.headers or {})
            except Unreadable as why:
                unreadable.append((message, why))
            else:
                readable.append((message, envelope))
        return readable, unreadable

    async def _remove_inserted(self) -> None:
        """Remove the messages up to the position, with their blobs. If the last one isn't there, they have left the
        stream, or it is another one. Then the sweeper removes the blobs that no message in the stream needs."""
        if self._inserted is None:
            return
        last = await self._found(self._reached)
        if last is not None:
            subjects = self._subjects.removable_with(last.subject or "")
            await self._jetstream.purge_stream(self._address.stream, seq=self._reached.seq + 1, subject=subjects)
            for message in self._inserted:
                await self._forget(message)
        self._inserted = None

    async def _forget(self, message: RawStreamMsg) -> None:
        await self._large_envelopes.forget((message.headers or {}).get(stream_message_encoding.BLOB))


def _position(message: RawStreamMsg) -> _Position:
    return _Position(_seq(message), (message.headers or {}).get(stream_message_encoding.EXECUTION, ""))


def _seq(message: RawStreamMsg) -> int:
    assert message.seq is not None  # noqa: S101 - a stored message has one
    return message.seq
