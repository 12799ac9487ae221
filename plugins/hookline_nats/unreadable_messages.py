"""Messages of the stream that nobody can read."""

import logging
from collections.abc import Mapping
from typing import Final

from nats.js.client import JetStreamContext

from hookline_nats import stream_message_encoding, stream_setup
from hookline_nats.address import Address
from hookline_nats.connection import if_found
from hookline_nats.large_envelopes import Unreadable

_log: Final = logging.getLogger("hookline.queue")


class UnreadableMessages:
    """Keeps messages apart that nobody can read: they stay in the stream, under a subject that nobody takes from."""

    def __init__(self, jetstream: JetStreamContext, address: Address, subjects: stream_setup.Subjects) -> None:
        self._jetstream = jetstream
        self._address = address
        self._subjects = subjects

    async def keep(self, seq: int, subject: str, data: bytes, headers: Mapping[str, str], why: Unreadable) -> None:
        """Return when the message is durable under its new subject, unless it has left the stream.

        Then another process has dealt with it since it was delivered here, and has removed its blob.
        """
        found = await if_found(self._jetstream.get_msg(self._address.stream, seq))
        execution_id = headers.get(stream_message_encoding.EXECUTION)
        if found is None or (found.headers or {}).get(stream_message_encoding.EXECUTION) != execution_id:
            return
        to = self._subjects.unreadable(subject)
        kept = {
            **headers,
            stream_message_encoding.MESSAGE_ID: f"{to}:{headers.get(stream_message_encoding.MESSAGE_ID, '')}",
        }
        await self._jetstream.publish(to, data, headers=kept)
        _log.error(
            "a message of %s can't be stored: %s. It is kept in the stream under %s; execution_id=%s",
            self._address.name,
            why,
            to,
            execution_id,
        )
