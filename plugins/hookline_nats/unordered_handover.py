"""Handing over the messages without an order key, through the consumer that all processes share.

A message is acknowledged after the commit that stores it. If the process dies before, another one gets the message, and
the store recognizes its execution.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from hookline.api import StoreError
from hookline.api_storage import Envelope, Insert
from hookline_nats import stream_message_encoding, stream_setup
from hookline_nats.address import Address
from hookline_nats.connection import ERRORS, check_cancelled, reason
from hookline_nats.large_envelopes import LargeEnvelopes, Unreadable
from hookline_nats.unreadable_messages import UnreadableMessages

GROUP: Final = 256
"""The most messages that are handed over at once."""
_GROUP_BYTES: Final = 16 * 1024 * 1024
"""Bytes of large envelopes after which a group is handed over."""
_WAIT: Final = 2.0
"""Seconds for which one request waits for a message."""
_GATHER: Final = 0.01
"""Seconds in which more messages may join the first one."""
_AGAIN: Final = 1.0
"""Seconds before the next attempt after an error."""
_ACK: Final = 5.0

_log: Final = logging.getLogger("hookline.queue")


class UnorderedHandover:
    """Takes messages in groups."""

    def __init__(
        self,
        client: Client,
        jetstream: JetStreamContext,
        address: Address,
        subjects: stream_setup.Subjects,
        large_envelopes: LargeEnvelopes,
    ) -> None:
        self._client = client
        self._jetstream = jetstream
        self._address = address
        self._subjects = subjects
        self._large_envelopes = large_envelopes
        self._unreadable = UnreadableMessages(jetstream, address, subjects)

    async def run(self, insert: Insert) -> None:
        """Hand over messages forever."""
        while True:
            try:
                consumer = await stream_setup.add_consumer(self._jetstream, self._address, self._subjects)
                taken = await self._jetstream.pull_subscribe_bind(consumer=consumer, stream=self._address.stream)
                try:
                    while True:
                        check_cancelled()
                        group = await self._taken(taken)
                        if group:
                            await self._hand_over(group, insert)
                        else:
                            # An error, if the stream was removed: its consumer gives nothing, not even an error.
                            await taken.consumer_info()
                finally:
                    with contextlib.suppress(*ERRORS):
                        await taken.unsubscribe()
            except ERRORS as error:
                _log.debug("no messages can be taken from %s: %s", self._address.name, reason(error))
                await asyncio.sleep(_AGAIN)

    async def _taken(self, taken: JetStreamContext.PullSubscription) -> list[Msg]:
        """Return the next messages, or none after a while."""
        try:
            group = await taken.fetch(1, timeout=_WAIT)
        except TimeoutError:
            return []
        with contextlib.suppress(TimeoutError):
            # A request for several waits until it has them all, or until its time is over.
            group += await taken.fetch(GROUP - 1, timeout=_GATHER)
        return group

    async def _hand_over(self, group: Sequence[Msg], insert: Insert) -> None:
        async with self._held(group):
            left = list(group)
            unreadable: list[tuple[Msg, Unreadable]] = []
            while left:
                readable, left = await self._read(left, unreadable)
                if readable:
                    await insert([envelope for _, envelope in readable])
                for message, _ in readable:
                    await self._done(message)
            # A full stream has room for them only when others have left it.
            for message, why in unreadable:
                await self._keep(message, why)

    async def _read(
        self, group: Sequence[Msg], unreadable: list[tuple[Msg, Unreadable]]
    ) -> tuple[list[tuple[Msg, Envelope]], list[Msg]]:
        """Return messages with their envelopes, and the rest, which doesn't fit into memory beside them. Those that
        can't be read are added to `unreadable`."""
        readable: list[tuple[Msg, Envelope]] = []
        size = 0
        for place, message in enumerate(group):
            if size > _GROUP_BYTES:
                return readable, list(group[place:])
            headers = message.headers or {}
            try:
                envelope = await self._large_envelopes.read(message.data, headers)
            except Unreadable as why:
                unreadable.append((message, why))
            except StoreError as error:
                _log.warning("the payload of a message can't be read now: %s", error.message)
                await message.nak(delay=_AGAIN)
            else:
                readable.append((message, envelope))
                if stream_message_encoding.BLOB in headers:
                    size += len(envelope.body_json or b"") + len(envelope.raw or b"") + stream_message_encoding.LARGEST
        return readable, []

    async def _keep(self, message: Msg, why: Unreadable) -> None:
        seq = message.metadata.sequence.stream
        try:
            await self._unreadable.keep(seq, message.subject, message.data, message.headers or {}, why)
        except ERRORS as error:
            _log.warning("an unreadable message can't be kept apart now: %s", reason(error))
            await message.nak(delay=_AGAIN)
        else:
            await message.ack()

    async def _done(self, message: Msg) -> None:
        blob_id = (message.headers or {}).get(stream_message_encoding.BLOB)
        if blob_id is None:
            await message.ack()
            return
        # The message may come again unless the server has its acknowledgement, and then it needs its blob.
        await message.ack_sync(timeout=_ACK)
        await self._large_envelopes.forget(blob_id)

    @contextlib.asynccontextmanager
    async def _held(self, group: Sequence[Msg]) -> AsyncIterator[None]:
        """Keep messages from other processes; those that remain at the end are given to other processes at once."""
        holding = asyncio.create_task(self._hold(group))
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.wait((holding,))
            for message in group:
                if not message.is_acked:
                    with contextlib.suppress(*ERRORS):
                        await message.nak()

    async def _hold(self, group: Sequence[Msg]) -> None:
        while True:
            await asyncio.sleep(stream_setup.ACK_WAIT / 3)
            for message in group:
                if not message.is_acked and self._client.is_connected:
                    with contextlib.suppress(*ERRORS):
                        await message.in_progress()
