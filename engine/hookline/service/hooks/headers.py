"""A request's headers."""

import msgspec

from hookline.service.hooks.masking import masked
from hookline.service.types import HookRequest


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
        return _join(masked(self.received, secret))


def read_headers(request: HookRequest) -> Headers:
    """A request's headers."""
    return _join(tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers]))


def _join(received: tuple[tuple[str, str], ...]) -> Headers:
    joined: dict[str, str] = {}
    for name, value in received:
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return Headers(received, joined)
