"""Masking: what a scheme declares secret is taken out of a request before anything of it is stored."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from hookline.errors import UnsupportedMedia
from hookline.model.pointer import parts_of
from hookline.service.bodies.received import Received

MASK: Final = "***"


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
            body = _without(body, parts_of(pointer))
        if body is received.body:
            return received
        return msgspec.structs.replace(received, body=body, json=None, raw=None)


def masked(headers: Sequence[tuple[str, str]], secret: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Headers, without the values of those that hold secrets."""
    return tuple((name, MASK if name in secret else value) for name, value in headers)


def _without(value: Any, parts: Sequence[str]) -> Any:
    """The value, copied as far as it changes; the same object where nothing in it is masked."""
    if not parts:
        return MASK
    part, rest = parts[0], parts[1:]
    changed: dict[Any, Any] = {}
    for key in _keys(value, part):
        inner = _without(value[key], rest)
        if inner is not value[key]:
            changed[key] = inner
    if not changed:
        return value
    if isinstance(value, dict):
        return {**value, **changed}
    return [changed.get(place, item) for place, item in enumerate(value)]


def _keys(value: Any, part: str) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value) if part == "*" else [part] if part in value else []
    if isinstance(value, list):
        if part == "*":
            return range(len(value))
        return [int(part)] if part.isascii() and part.isdigit() and int(part[:9]) < len(value) else []
    return []
