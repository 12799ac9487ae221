"""JetStream as an intake queue: publishing, and what is left in the stream."""

import asyncio
from datetime import datetime
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js.api import PubAck, RawStreamMsg
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from hookline.api import StoreError
from hookline.api_storage import (
    Accepted,
    Blobs,
    Duplicate,
    Envelope,
    Insert,
    InsertInOrder,
    fault,
)
from hookline_nats import stream_message_encoding, stream_setup
from hookline_nats.address import parse
from hookline_nats.connection import ERRORS, connect, error_code, failing, if_found, reason
from hookline_nats.large_envelopes import LargeEnvelopes
from hookline_nats.ordered_handover import OrderedHandover
from hookline_nats.unordered_handover import UnorderedHandover

_LIMIT: Final = 10.0
"""Seconds after which a publish is given up: the servers elect another leader in less."""
_ATTEMPT: Final = 2.5
"""Seconds after which a publish is repeated; the server recognizes it by its id."""
_PAUSE: Final = 0.1
"""Seconds before it is repeated after an answer."""
_CALL: Final = 5.0
"""Seconds after which other calls fail."""
_FULL: Final = frozenset({10023, 10047, 10077})
"""Codes of the server: there is no room for the message in the stream, the account or the server."""
_IN_PROCESS: Final = 409
"""The status of a message whose id another publish has at the same moment."""


class JetStreamQueue:
    """A stream."""

    def __init__(self, url: str, blobs: Blobs) -> None:
        self._address = parse(url)
        self._subjects = stream_setup.Subjects(self._address.stream)
        self._large_envelopes = LargeEnvelopes(blobs)
        self._client: Client | None = None

    @property
    def name(self) -> str:
        return f"nats:{self._address.stream}"

    @property
    def _place(self) -> str:
        return self._address.name

    def _connected(self) -> tuple[Client, JetStreamContext]:
        if self._client is None:
            raise StoreError(f"{self._place} is closed")
        return self._client, self._client.jetstream(timeout=_CALL)

    async def open(self) -> None:
        self._client = await connect(self._address)
        try:
            with failing(self._place, "opened"):
                await stream_setup.prepare(self._connected()[1], self._address, self._subjects)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def publish(self, envelope: Envelope, *, new: bool = False) -> Accepted | Duplicate | None:
        data, blob_id = await self._large_envelopes.write(envelope)
        fault("stream.before_commit")
        # After an error, the message may be in the stream, and its blob is kept.
        ack = await self._published(envelope, data, stream_message_encoding.headers(envelope, new=new, blob_id=blob_id))
        fault("stream.after_commit")
        if not ack.duplicate or stream_message_encoding.message_id(envelope, new=new) == envelope.execution_id:
            return Accepted(envelope.execution_id)
        return await self._repeated(envelope, ack.seq, blob_id)

    async def _repeated(self, envelope: Envelope, seq: int, blob_id: str | None) -> Accepted | Duplicate | None:
        """The result of a publish whose message id the server knows."""
        original = await self._message(seq)
        given = {} if original is None else original.headers or {}
        first = given.get(stream_message_encoding.EXECUTION)
        if first == envelope.execution_id:
            return Accepted(first)  # an attempt of the same publish, whose answer was lost
        if blob_id is not None and given.get(stream_message_encoding.BLOB) != blob_id and original is not None:
            await self._large_envelopes.forget(blob_id)
        if first is None:
            return None
        if stream_message_encoding.is_open(given, envelope.accepted_at):
            return Duplicate(first)
        # The server remembers ids for longer than the flow does.
        return await self.publish(envelope, new=True)

    async def _published(self, envelope: Envelope, data: bytes, headers: dict[str, str]) -> PubAck:
        """Publish until the stream's quorum has acknowledged it. Raises StoreError."""
        loop = asyncio.get_running_loop()
        until, failure, in_doubt = loop.time() + _LIMIT, "there is no connection", False
        subject = self._subjects.of(envelope.flow_id, ordered=envelope.order_key is not None)
        while (left := until - loop.time()) > 0:
            client, jetstream = self._connected()
            # While there is no connection, the client would keep the message and send it much later.
            if client.is_connected:
                try:
                    ack = await jetstream.publish(subject, data, timeout=min(_ATTEMPT, left), headers=headers)
                    # A cluster knows an id before the quorum has its message, and then has no place to name.
                    if ack.seq:
                        return ack
                    failure, in_doubt = "another message with its id is in process", True
                except ERRORS as error:
                    failure = reason(error)
                    if error_code(error) in _FULL:
                        raise StoreError(
                            f"{self._place} is full: let the database take its messages, or raise its max_bytes",
                            in_doubt=in_doubt,
                        ) from error
                    if not _is_temporary(error):
                        message = f"{self._place} has rejected a message: {failure}"
                        raise StoreError(message, in_doubt=in_doubt) from error
                    # The server may have the message, although its answer was lost.
                    in_doubt = in_doubt or not isinstance(error, NoStreamResponseError)
            await asyncio.sleep(_PAUSE)
        message = f"{self._place} hasn't acknowledged a message within {_LIMIT:g} s: {failure}"
        raise StoreError(message, in_doubt=in_doubt)

    async def _message(self, seq: int) -> RawStreamMsg | None:
        """A message of the stream; None if it has left it. It may be the one that is being published."""
        with failing(self._place, "read", in_doubt=True):
            return await if_found(self._connected()[1].get_msg(self._address.stream, seq))

    async def oldest(self) -> datetime | None:
        with failing(self._place, "read"):
            first = await if_found(
                self._connected()[1].get_msg(self._address.stream, seq=1, subject=self._subjects.all, next=True)
            )
        return None if first is None else first.time

    async def run(self, insert: Insert) -> None:
        client, jetstream = self._connected()
        await UnorderedHandover(client, jetstream, self._address, self._subjects, self._large_envelopes).run(insert)

    async def run_in_order(self, after: bytes | None, insert: InsertInOrder) -> None:
        _, jetstream = self._connected()
        await OrderedHandover(jetstream, self._address, self._subjects, self._large_envelopes).run(after, insert)


def _is_temporary(error: BaseException) -> bool:
    """True if another attempt may succeed: after a lost connection, or while the servers elect a leader."""
    if isinstance(error, nats.errors.MaxPayloadError):
        return False
    if isinstance(error, APIError):
        return isinstance(error, ServiceUnavailableError) or error.code == _IN_PROCESS
    return isinstance(error, NoStreamResponseError | nats.errors.Error | OSError | TimeoutError)
