"""The OAuth 2 tokens of a credential."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

#: A token is renewed this long before it expires, since a request with it may be under way for a while.
MARGIN: Final = timedelta(seconds=60)
#: The margin of short-lived tokens is this part of their lifetime.
_MARGIN_PART: Final = 5


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The tokens of one credential. Its `repr` shows no secret."""

    access_token: str = field(repr=False)
    grant: str
    """The kind of the first grant: `authorization_code` or `client_credentials`."""
    obtained_at: datetime
    expires_at: datetime | None = None
    """None if the service doesn't tell it; then the token is used until it is rejected."""
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None
    """The scope of the token, if the service tells it."""
    lost: str | None = None
    """The reason why they can't be renewed, if so."""
    renewal: str | None = None
    """The mark of the process that requests, or has requested, new tokens with the refresh token."""

    @property
    def renewable(self) -> bool:
        """True if new tokens can be requested without a user."""
        return self.lost is None and (self.refresh_token is not None or self.grant == "client_credentials")

    def holds(self, now: datetime) -> bool:
        """True if the access token has not expired."""
        return self.lost is None and (self.expires_at is None or now < self.expires_at)

    def holds_for_a_while(self, now: datetime) -> bool:
        """True if the access token does not expire during a request."""
        if self.lost is not None or self.expires_at is None:
            return self.lost is None
        margin = min(MARGIN, (self.expires_at - self.obtained_at) / _MARGIN_PART)
        return now < self.expires_at - margin

    def marked(self, renewal: str) -> "TokenSet":
        """Return the tokens with the mark of a process that is about to request new ones."""
        return replace(self, renewal=renewal)

    def without_hope(self, why: str) -> "TokenSet":
        """Return the tokens after the service has rejected their renewal for good."""
        return replace(self, lost=why)
