"""The headers of a request, and masking what a scheme declares secret before anything of it is stored."""

from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_plus

import msgspec

from hookline.bodies.received_body import Received
from hookline.kernel.errors import HeadTooLarge, Malformed, UnsupportedMedia
from hookline.kernel.pointers_and_patches import parts_of
from hookline.secrets.masking import MASK, Wildcard, mask_path


class Masks(msgspec.Struct, frozen=True):
    """The secret parts of the requests of one scheme with its settings."""

    headers: frozenset[str] = frozenset()
    """Names in lower case."""
    query: frozenset[str] = frozenset()
    """Names, decoded."""
    fields: tuple[str, ...] = ()
    """JSON pointers into the body, in which `*` stands for each item of a list and each member of an object."""

    def in_query(self, query: bytes, *, is_body: bool = False) -> bytes:
        """Mask the secret parameters of a query.

        If the query is also the body, the parameters that make up secret fields of the body are masked as a whole.
        """
        secret = self.query
        fields = frozenset((parts_of(pointer) or ["*"])[0] for pointer in self.fields) if is_body else frozenset[str]()
        if not query or not (secret or fields):
            return query
        masked_pairs = []
        for pair in query.split(b"&"):
            raw, _, _ = pair.partition(b"=")
            name = unquote_plus(raw.decode("latin-1"), encoding="utf-8", errors="replace")
            hidden = name in secret or name.partition("[")[0] in fields or "*" in fields
            masked_pairs.append(raw + b"=" + MASK.encode() if hidden else pair)
        return b"&".join(masked_pairs)

    def in_body(self, received: Received) -> Received:
        """Mask the secret fields of a body.

        If something is masked, the bytes and the text as received are dropped, and the masked body is kept. Raises
        UnsupportedMedia for a file or a text, whose fields can't be told apart.
        """
        if not self.fields:
            return received
        body = received.body
        if not isinstance(body, dict | list):
            if received.attachments or isinstance(body, str):
                raise UnsupportedMedia("a body of this type may hold secrets that can't be masked; send JSON")
            return received
        for pointer in self.fields:
            place = [Wildcard.EACH if part == "*" else part for part in parts_of(pointer)]
            body = mask_path(body, place, [])
        if body is received.body:
            return received
        return msgspec.structs.replace(received, body=body, json=None, raw=None)


def mask_headers(headers: Sequence[tuple[str, str]], secret: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Mask the values of secret headers."""
    return tuple((name, MASK if name in secret else value) for name, value in headers)


class Headers(msgspec.Struct, frozen=True):
    """The headers of a request. Names are in lower case; bytes above 127 are Latin-1."""

    received: tuple[tuple[str, str], ...]
    """The headers as received and in order."""
    joined: dict[str, str]
    """The values by name; repeated headers are joined with `, `."""

    def without(self, secret: frozenset[str]) -> "Headers":
        """Return the headers with the values of some masked."""
        if not any(name in secret for name in self.joined):
            return self
        return _join(mask_headers(self.received, secret))


MAX_HEADERS: Final = 200
"""The most header lines of a request."""
SINGLETONS: Final = frozenset(
    {
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "origin",
    }
)
"""Headers that decide how a request is read: with a second one, its meaning would be ambiguous."""


def read_headers(lines: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Return the headers of a request. Raises HeadTooLarge, and Malformed for a singleton that is repeated."""
    if len(lines) > MAX_HEADERS:
        raise HeadTooLarge(f"the request has more than {MAX_HEADERS} header lines; send fewer")
    received = tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in lines])
    headers = _join(received)
    if len(headers.joined) < len(received):
        counts = Counter(name for name, _ in received)
        for name in sorted(SINGLETONS):
            if counts[name] > 1:
                raise Malformed(f"there are several {name.title()} headers; send one")
    return headers


def _join(received: tuple[tuple[str, str], ...]) -> Headers:
    joined = dict(received)
    if len(joined) < len(received):
        values: dict[str, list[str]] = {}
        for name, value in received:
            values.setdefault(name, []).append(value)
        joined = {name: ", ".join(several) for name, several in values.items()}
    return Headers(received, joined)
