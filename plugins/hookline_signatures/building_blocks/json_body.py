"""Reading the parts of a body that a scheme checks: bounded, typed and total."""

from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from hookline.api import Verified

T = TypeVar("T")

#: No provider of these sends as much; a body has to be kept until it is whole.
LONGEST: Final = 4 * 1024 * 1024


class JsonBody(Generic[T]):
    """A body that is collected, and then read as a `type` of msgspec; members outside the type are ignored."""

    def __init__(self, type: type[T]) -> None:
        self._type = type
        self._data = bytearray()

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the body."""
        if len(self._data) <= LONGEST:
            self._data += chunk

    def read(self) -> T | None:
        """Return the body's value; None if it is too long, or not JSON of this shape."""
        return None if len(self._data) > LONGEST else read_json(bytes(self._data), self._type)


def read_json(body: bytes, type: type[T]) -> T | None:
    """Return the body's value; None if it isn't JSON of this shape."""
    try:
        return msgspec.json.decode(body, type=type)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def with_member(body: bytes, name: str, value: Any) -> bytes:
    """Return a JSON object with a new value of one member; the others stay as they are written.

    Raises ValueError if the body isn't a JSON object.
    """
    members = read_json(body, dict[str, msgspec.Raw])
    if members is None:
        raise ValueError("the body isn't a JSON object")
    return msgspec.json.encode({**members, name: msgspec.Raw(msgspec.json.encode(value))})


class _Check(Protocol):
    def feed(self, chunk: bytes) -> None: ...

    async def finish(self) -> Verified: ...


class SignedJson(Generic[T]):
    """A body whose signature another check verifies; its content is read only after that."""

    def __init__(self, signature: _Check, type: type[T], judge: Callable[[T | None, Verified], Verified]) -> None:
        self._signature = signature
        self._body = JsonBody(type)
        self._judge = judge

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the body."""
        self._signature.feed(chunk)
        self._body.feed(chunk)

    async def finish(self) -> Verified:
        """Check the signature, and then the content. Raises NotVerified."""
        verified = await self._signature.finish()
        return self._judge(self._body.read(), verified)
