"""What is kept of a flow's subscription with a provider."""

from datetime import datetime
from typing import Final

import msgspec

from hookline.kernel.json import encode

ID_BYTES: Final = 64 * 1024
"""The largest JSON that may identify a subscription."""
_MOST: Final = 10
"""Secrets that schemes take side by side."""


class Asked(msgspec.Struct, frozen=True):
    """By what a subscription is made: of which trigger, with which credential and settings."""

    trigger: str
    credential: str | None
    given: msgspec.Raw
    """JSON of the trigger's own settings, in canonical form."""
    url: str
    """Where the provider is to send."""

    @property
    def same_as(self) -> bytes:
        """Equal where two ask for the same."""
        return encode([self.trigger, self.credential, self.url]) + bytes(self.given)


class Begun(msgspec.Struct, frozen=True):
    """One that was about to be made: whether the provider has it isn't known before it was asked again."""

    asked: Asked
    secret: str
    """Empty where the provider makes it."""
    at: datetime


class Subscribed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One that the provider has."""

    asked: Asked
    id: msgspec.Raw
    """JSON of what identifies it there, in canonical form."""
    secret: str
    at: datetime
    """When it was made, or last renewed."""
    expires_at: datetime | None = None
    leaving_at: datetime | None = None
    """Since when it is to be removed."""

    @property
    def key(self) -> tuple[str, bytes]:
        """Equal where two are the same one at the provider."""
        return self.asked.trigger, bytes(self.id)


class Retired(msgspec.Struct, frozen=True):
    """A secret by which nothing is signed any more, though what was signed before may still come."""

    secret: str
    until: datetime


class KeptSubscription(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is kept for a flow."""

    current: Subscribed | None = None
    begun: Begun | None = None
    leaving: tuple[Subscribed, ...] = ()
    retired: tuple[Retired, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the provider has something, or may have."""
        return self.current is not None or self.begun is not None or bool(self.leaving)

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """Those by which a request may be signed, the newest first."""
        held = [
            self.begun.secret if self.begun is not None else "",
            "" if self.current is None else self.current.secret,
        ]
        held += [one.secret for one in self.leaving]
        held += [one.secret for one in self.retired if one.until > now]
        return tuple(dict.fromkeys(filter(None, held)))[:_MOST]
