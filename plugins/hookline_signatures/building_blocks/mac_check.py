"""The check of a MAC of the body, and the check of a request whose headers are enough."""

import hmac
from collections.abc import Sequence
from typing import Final

from hookline.api import NotVerified, Verified

MISMATCH: Final = "the signature doesn't match: it was made with another key, or of other bytes"
"""The reason for a signature that can be read and doesn't match. It never shows the expected one."""
UNREADABLE: Final = "the signature can't be read: it isn't written as the provider, or the settings, say"


class Settled:
    """A request that its headers have verified, whatever the body."""

    def feed(self, chunk: bytes) -> None:
        """Ignore the bytes: nothing depends on them."""

    async def finish(self) -> Verified:
        """Return the verification, which has no dedupe key."""
        return Verified()


class Mac:
    """The check that the MAC of `before`, the body and `after`, by one of the keys, is one of the sent signatures."""

    def __init__(
        self,
        keys: Sequence[bytes],
        algorithm: str,
        signatures: Sequence[bytes],
        *,
        before: bytes = b"",
        after: bytes = b"",
        dedupe_key: str | None = None,
    ) -> None:
        self._macs = [hmac.new(key, before, algorithm) for key in keys]
        self._signatures = signatures
        self._after = after
        self._dedupe_key = dedupe_key

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the body."""
        for mac in self._macs:
            mac.update(chunk)

    async def finish(self) -> Verified:
        """Compare every MAC with every signature, so that the time taken doesn't tell which of them match."""
        holds = False
        for mac in self._macs:
            mac.update(self._after)
            digest = mac.digest()
            for signature in self._signatures:
                holds |= hmac.compare_digest(digest, signature)
        if not holds:
            raise NotVerified(MISMATCH if any(self._signatures) else UNREADABLE)
        return Verified(self._dedupe_key)
