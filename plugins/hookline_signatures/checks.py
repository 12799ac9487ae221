"""Checks that several schemes share."""

import hmac
from collections.abc import Callable, Sequence
from typing import Final

from hookline.api import Answer, Check, NotVerified, Verified

#: Handshakes are small; what is larger is none, and needn't be kept.
_LONGEST_HANDSHAKE: Final = 64 * 1024


class Settled:
    """The request's head has shown that it holds; the body says nothing about it."""

    def __init__(self, answer: Answer | None = None) -> None:
        self._answer = answer

    def feed(self, chunk: bytes) -> None:
        """Nothing depends on it."""

    async def finish(self) -> Verified:
        """It holds."""
        return Verified(answer=self._answer)


class Answering:
    """Another check, and a handshake that the body may ask for: it is read only once that check holds."""

    def __init__(self, check: Check, answer: Callable[[bytes], Answer | None]) -> None:
        self._check = check
        self._answer = answer
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        self._check.feed(chunk)
        if len(self._body) <= _LONGEST_HANDSHAKE:
            self._body += chunk

    async def finish(self) -> Verified:
        """Judge, and then see whether it is a handshake."""
        verified = await self._check.finish()
        if len(self._body) > _LONGEST_HANDSHAKE:
            return verified
        return Verified(verified.dedupe_key, self._answer(bytes(self._body)))


class Mac:
    """The MAC of `before`, the body and `after`, under one of the keys, is one of the signatures that were sent."""

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
        """The next bytes of the body."""
        for mac in self._macs:
            mac.update(chunk)

    async def finish(self) -> Verified:
        """Compare each with each, so that the time taken doesn't tell which of them held."""
        holds = False
        for mac in self._macs:
            mac.update(self._after)
            digest = mac.digest()
            for signature in self._signatures:
                holds |= hmac.compare_digest(digest, signature)
        if not holds:
            raise NotVerified
        return Verified(self._dedupe_key)
