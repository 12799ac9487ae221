"""What a service gave for a credential: an access token, and what comes with it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

#: A token is renewed so long before it expires: a request that is sent with it may take a while to be judged.
MARGIN: Final = timedelta(seconds=60)
#: Of tokens that don't live long it is this part of their lives.
_MARGIN_PART: Final = 5


@dataclass(frozen=True, slots=True)
class TokenSet:
    """The tokens of one credential. What is secret is in no `repr`."""

    access_token: str = field(repr=False)
    grant: str
    """How they were got at first: `authorization_code` or `client_credentials`."""
    obtained_at: datetime
    expires_at: datetime | None = None
    """None where the service doesn't say it: then it holds until it is rejected."""
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None
    """What the token may be used for, where the service says it."""
    lost: str | None = None
    """Why they can't be renewed any more; None where nothing is known against it."""

    @property
    def renewable(self) -> bool:
        """Whether others can be got without anybody's doing."""
        return self.lost is None and (self.refresh_token is not None or self.grant == "client_credentials")

    def holds(self, now: datetime) -> bool:
        """Whether the access token's time isn't over."""
        return self.lost is None and (self.expires_at is None or now < self.expires_at)

    def holds_for_a_while(self, now: datetime) -> bool:
        """Whether it holds for as long as a request may take."""
        if self.lost is not None or self.expires_at is None:
            return self.lost is None
        margin = min(MARGIN, (self.expires_at - self.obtained_at) / _MARGIN_PART)
        return now < self.expires_at - margin

    def without_hope(self, why: str) -> "TokenSet":
        """The same, after the service has rejected to renew them for good."""
        return replace(self, lost=why)
