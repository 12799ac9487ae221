"""The tokens of the admin API.

A token is shown once, when it is created; only its SHA-256 is stored. A slow hash would protect nothing: a token has
256 random bits, so it can't be guessed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Literal

from hookline.access.audit import audited
from hookline.access.caller import Caller
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import Malformed, ScopeTooSmall, TokenNotFound
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.access import Actor, Token, TokenScope
from hookline.storage.change_declarations import CreateToken, RevokeToken
from hookline.storage.store import Store

PREFIX: Final = "hookline_"
"""The beginning of each token, by which scanners find leaked ones."""
NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?"
"""The pattern of a name."""
BUILT_IN: Final = "admin"
"""The name of the server's own token, which is generated at the first start or comes from the settings."""

Invalid = Literal["unknown", "expired", "revoked"]


class ApiTokens:
    """Creates, revokes and recognizes tokens."""

    def __init__(self, store: Store, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id

    async def create(
        self,
        name: str,
        scopes: Sequence[TokenScope],
        *,
        by: Caller,
        expires_at: datetime | None = None,
        flows: Sequence[str] | None = None,
    ) -> tuple[Token, str]:
        """Create a token that isn't wider than that of its creator; return it with its secret.

        Raises Malformed, ScopeTooSmall, TokenNameTaken and StoreError.
        """
        now = self._clock.now()
        _check(name, scopes, expires_at, flows, now)
        token = Token(
            self._new_id(),
            name,
            tuple(sorted(set(scopes), key=list(TokenScope).index)),
            now,
            str(by.actor),
            expires_at,
            None if flows is None else tuple(sorted(set(flows))),
        )
        _check_not_wider(token, by)
        secret = PREFIX + secrets.token_urlsafe(32)
        limits = f"{token.scope}" + ("" if flows is None else f", {counted(len(set(flows)), 'flow')}")
        entry = audited(self._new_id(), now, by.actor, "token.create", subject=token.id, detail=f"{name}: {limits}")
        await self._store.commit([CreateToken(token, digest(secret)), entry])
        return token, secret

    async def revoke(self, token_id: str, *, by: Caller) -> None:
        """Revoke a token at once. Raises TokenNotFound, ScopeTooSmall if it allows more than the caller's, and
        StoreError."""
        found = await self._store.token_by_id(token_id)
        if found is None:
            raise TokenNotFound(f"there is no token {token_id!r}")
        _check_not_wider(found, by, expiry=False)
        now = self._clock.now()
        entry = audited(self._new_id(), now, by.actor, "token.revoke", subject=token_id, detail=found.name)
        await self._store.commit([RevokeToken(token_id, now), entry])

    async def recognize(self, secret: bytes, address: str | None) -> Caller | tuple[Invalid, str | None]:
        """Return the caller with the token whose secret has this SHA-256, or why it is invalid, with its name if it is
        known. Raises StoreError."""
        token = await self._store.token(secret)
        if token is None:
            return "unknown", None
        if token.revoked_at is not None:
            return "revoked", token.name
        if not token.is_valid(self._clock.now()):
            return "expired", token.name
        flows = None if token.flows is None else frozenset(token.flows)
        return Caller(Actor("token", token.name, address), token.scope, flows, secret, token.expires_at)


class ServerToken:
    """The server's own token."""

    def __init__(self, text: str | None, shared: Callable[[], bytes | None] = lambda: None) -> None:
        """`text`: None if only another node has the token. Then `shared` returns its SHA-256, if it is known."""
        self.text = text
        self.agreed = False
        """True once the database knows this token, or has that of another node."""
        self._shared = shared

    def accepts(self, secret: bytes) -> bool:
        """Return true if this is the token whose secret has this SHA-256."""
        wanted = self._shared() if self.text is None else digest(self.text)
        return wanted is not None and hmac.compare_digest(secret, wanted)


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _check(
    name: str, scopes: Sequence[TokenScope], expires_at: datetime | None, flows: Sequence[str] | None, now: datetime
) -> None:
    """Raise Malformed for an invalid name, scope, expiry or list of flows."""
    if not re.fullmatch(NAME, name) or name == BUILT_IN:
        raise Malformed(
            "The name of a token has up to 64 letters, digits and . _ @ -, and isn't that of the server's own token."
        )
    if not scopes:
        raise Malformed(f"Name at least one scope: {', '.join(TokenScope)}.")
    if expires_at is not None and expires_at <= now:
        raise Malformed("The token would have expired already; expires is a time in the future.")
    if flows is not None and not flows:
        raise Malformed("The token would see no flow; name flows, or leave flows out.")


def _check_not_wider(token: Token, by: Caller, *, expiry: bool = True) -> None:
    """Raise ScopeTooSmall if a token allows more than the caller's; `expiry`: also if it lasts longer."""
    if not by.scope.includes(token.scope):
        raise ScopeTooSmall(f"A token with the scope {by.scope} can't create one with the scope {token.scope}.")
    if by.flows is not None and (token.flows is None or not by.flows.issuperset(token.flows)):
        raise ScopeTooSmall("A token that is limited to some flows can't give access to others.")
    if expiry and by.expires_at is not None and (token.expires_at is None or token.expires_at > by.expires_at):
        raise ScopeTooSmall("A token can't create one that lasts longer than itself: name an earlier time for expires.")
