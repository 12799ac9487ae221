"""Handing over the messages with an order key, in the order of the stream, by one process at a time.

They are read by their places in the stream, and not through a consumer: after a crash, a consumer gives later messages
before those that the dead process had. The place of the last one is committed together with the messages or after them,
and then everything up to it is removed from the stream. So a process that takes over misses none.
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
        self._stuck: set[int] = set()
        """The places of unreadable messages that can't be kept apart now. Others are taken together with them."""

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
            group.append(message)
            after = _seq(message)
            if after not in self._stuck:
                large = stream_message_encoding.BLOB in (message.headers or {})
                size += _GROUP_BYTES if large else len(message.data or b"")
        return group

    async def _hand_over(self, group: list[RawStreamMsg], position: _Position, insert: InsertInOrder) -> _Position:
        reached = msgspec.structs.replace(position, seq=_seq(group[-1]))
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
                await insert(envelopes, msgspec.json.encode(position))
            for message, _ in readable:
                await self._jetstream.delete_msg(self._address.stream, _seq(message))
                await self._forget(message)
            raise
        if envelopes:
            await insert(envelopes, msgspec.json.encode(reached))
        if await self._remove(reached):
            for message, _ in readable:
                await self._forget(message)
        return reached

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

    async def _remove(self, reached: _Position) -> bool:
        """Return true if the messages up to a position are removed. If not, another attempt follows with the next ones,
        and the sweeper removes their blobs: a blob is kept as long as its message is in the stream."""
        try:
            await self._jetstream.purge_stream(
                self._address.stream, seq=reached.seq + 1, subject=self._subjects.every_ordered
            )
        except ERRORS as error:
            _log.debug("messages of %s can't be removed now: %s", self._address.name, reason(error))
            return False
        return True

    async def _forget(self, message: RawStreamMsg) -> None:
        await self._large_envelopes.forget((message.headers or {}).get(stream_message_encoding.BLOB))


def _seq(message: RawStreamMsg) -> int:
    assert message.seq is not None  # noqa: S101 - a stored message has one
    return message.seq
