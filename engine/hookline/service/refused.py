"""The body of a request that is refused, as far as it is kept: its beginning, without secrets, where a flow asks."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from hookline.errors import RequestRefused
from hookline.jsontypes import decode, encode
from hookline.service.bodies.received import Received
from hookline.service.masking import Masks

BEGINNING: Final = 4096
"""Bytes."""
_PROBLEMS: Final = 5


class Refusals(Protocol):
    """Where refused requests are recorded: `hookline.runtime.refusals`."""

    def add(
        self,
        flow_id: str,
        *,
        code: str,
        status: int,
        detail: str,
        method: str,
        path: str,
        size: int,
        client: str | None = None,
        body: bytes | None = None,
    ) -> None:
        """One more; returns at once."""
        ...


class Beginning:
    """A body's chunks, of which the first bytes are noted as they pass."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.noted = b""
        self.whole = True
        """All that has come is noted."""

    def __aiter__(self) -> "Beginning":
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._source)
        room = BEGINNING - len(self.noted)
        self.noted += chunk[:room]
        self.whole = self.whole and len(chunk) <= room
        return chunk

    def masked(self, masks: Masks) -> bytes | None:
        """What may be kept. Where fields are secret, that is a body that they can be found in, and no part of one."""
        if not masks.fields or not self.noted:
            return self.noted or None
        if not self.whole:
            return None
        try:
            body: Any = decode(self.noted)
        except (ValueError, RecursionError):
            return None
        return encode(masks.in_body(Received(body)).body) if isinstance(body, dict | list) else None


def explained(error: RequestRefused) -> str:
    """A refusal's message with what the sender isn't told, and where the body is wrong: by pointers, not by values."""
    parts = [error.message.rstrip(".")]
    if error.reason and error.reason != error.message:
        parts.append(error.reason)
    parts += [f"{problem.pointer or '/'} ({problem.code})" for problem in error.problems[:_PROBLEMS]]
    if len(error.problems) > _PROBLEMS:
        parts.append(f"and {len(error.problems) - _PROBLEMS} more")
    return "; ".join(parts)


def announced(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes that a request's `Content-Length` announces; 0 where it announces none, or no number."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit() and len(value) <= 18:
            return int(value)
    return 0
