"""Masking: what a scheme declares secret is incoming out of a request before anything of it is stored."""

from collections.abc import Sequence
from urllib.parse import unquote_plus

import msgspec

from hookline.bodies.text import Received
from hookline.kernel.errors import UnsupportedMedia
from hookline.kernel.pointer import parts_of
from hookline.secrets.masking import MASK, Wildcard, mask_path
from hookline.service.types import HookRequest


class Masks(msgspec.Struct, frozen=True):
    """What is secret in the requests of one scheme with its settings."""

    headers: frozenset[str] = frozenset()
    """Names in lower case."""
    query: frozenset[str] = frozenset()
    """Names, decoded."""
    fields: tuple[str, ...] = ()
    """JSON pointers into the body, in which `*` is each item of a list and each member of an object."""

    def in_query(self, query: bytes, *, is_body: bool = False) -> bytes:
        """A query, without the values of the parameters that hold secrets.

        Where the query is the body, too, that is also what the body's secret fields are made of, whole.
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
        """What a body became, without its secret fields.

        Where something was masked, neither the bytes on the wire nor the text as it came are kept: the body is, with
        its masks. Raises UnsupportedMedia for a body whose fields can't be told apart: a file, or a text.
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
    """Headers, without the values of those that hold secrets."""
    return tuple((name, MASK if name in secret else value) for name, value in headers)


class Headers(msgspec.Struct, frozen=True):
    """Names in lower case; bytes above 127 as Latin-1."""

    received: tuple[tuple[str, str], ...]
    """As received and in order."""
    joined: dict[str, str]
    """By name; those that repeat are one text joined by `, `."""

    def without(self, secret: frozenset[str]) -> "Headers":
        """The same, with the values of some masked."""
        if not any(name in secret for name in self.joined):
            return self
        return _join(mask_headers(self.received, secret))


def read_headers(request: HookRequest) -> Headers:
    """A request's headers."""
    return _join(tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]))


def _join(received: tuple[tuple[str, str], ...]) -> Headers:
    joined: dict[str, str] = {}
    for name, value in received:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return Headers(received, joined)
