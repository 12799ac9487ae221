"""Handing over the messages with an order key, in the order of the stream, by one process at a time.

They are read by their places in the stream, and not through a consumer: after a crash, a consumer gives later messages
before those that the dead process had. The place of the last one is committed together with the messages, and then
everything up to it is removed from the stream. So a process that takes over begins where the commits end.
"""

import asyncio
import logging
from typing import Final

import msgspec
from nats.js.api import RawStreamMsg
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from hookline.api import StoreError
from hookline.api_storage import Envelope, InsertInOrder
from hookline_nats import stream_message_encoding, stream_setup
from hookline_nats.address import Address
from hookline_nats.connection import ERRORS, check_cancelled, reason
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
    """A place in one stream. The places of another stream with the same name mean nothing here."""

    stream: str
    """The time at which it was created."""
    seq: int


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

    async def run(self, after: bytes | None, insert: InsertInOrder) -> None:
        """Hand over messages forever, beginning after a position that was committed."""
        position: _Position | None = None
        pause = _SOONEST
        while True:
            check_cancelled()
            try:
                if position is None:
                    position = await self._start(after)
                group = await self._taken(position.seq)
                if group:
                    position = await self._hand_over(group, position, insert)
                    pause = _SOONEST
                    continue
            except (*ERRORS, StoreError) as error:
                _log.debug("no messages can be taken in order from %s: %s", self._address.name, reason(error))
                pause = _AGAIN
            await asyncio.sleep(pause)
            pause = min(_LATEST, pause * 2)

    async def _start(self, after: bytes | None) -> _Position:
        """The position from which to go on. What was committed, but not removed, is removed now."""
        created = (await self._jetstream.stream_info(self._address.stream)).created
        start = _Position("" if created is None else created.isoformat(), 0)
        if after is not None:
            kept = msgspec.json.decode(after, type=_Position)
            if kept.stream == start.stream:
                start = kept
                await self._remove(start)
        return start

    async def _taken(self, after: int) -> list[RawStreamMsg]:
        group: list[RawStreamMsg] = []
        size = 0
        while len(group) < _GROUP and size < _GROUP_BYTES:
            try:
                message = await self._jetstream.get_msg(
                    self._address.stream, seq=after + 1, subject=self._subjects.every_ordered, next=True
                )
            except NotFoundError:
                break
            assert message.seq is not None  # noqa: S101 - a stored message has one
            group.append(message)
            after = message.seq
            size += (
                len(message.data or b"")
                if stream_message_encoding.BLOB not in (message.headers or {})
                else _GROUP_BYTES
            )
        return group

    async def _hand_over(self, group: list[RawStreamMsg], position: _Position, insert: InsertInOrder) -> _Position:
        last = group[-1].seq
        assert last is not None  # noqa: S101 - as above
        reached = msgspec.structs.replace(position, seq=last)
        envelopes: list[Envelope] = []
        for message in group:
            headers = message.headers or {}
            try:
                envelopes.append(await self._large_envelopes.read(message.data or b"", headers))
            except Unreadable as why:
                await self._unreadable.keep(message.subject or "", message.data or b"", headers, why)
        if envelopes:
            await insert(envelopes, msgspec.json.encode(reached))
        await self._remove(reached)
        for message in group:
            await self._large_envelopes.forget((message.headers or {}).get(stream_message_encoding.BLOB))
        return reached

    async def _remove(self, reached: _Position) -> None:
        """Remove the messages up to a position. Another attempt follows with the next ones if that fails."""
        try:
            await self._jetstream.purge_stream(
                self._address.stream, seq=reached.seq + 1, subject=self._subjects.every_ordered
            )
        except ERRORS as error:
            _log.debug("messages of %s can't be removed now: %s", self._address.name, reason(error))
