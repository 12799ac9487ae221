"""Sessions: sign-ins to the console with a token or with a sign-in code.

A session is a row, so it is valid on every node. Its secret is in a cookie, and only its SHA-256 is stored, as with
tokens. It refers to its token, and allows what that allows, as long as the token is valid.
"""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

from hookline.access.audit import audited
from hookline.access.caller import Caller
from hookline.access.tokens import Invalid, digest
from hookline.kernel.clocks import Clock
from hookline.model.access import Session, SignInCode
from hookline.storage.change_declarations import Change, CreateSession, CreateSignInCode, EndSession, UseSignInCode
from hookline.storage.store import Store

SESSION_LIFETIME: Final = timedelta(hours=12)
CODE_LIFETIME: Final = timedelta(minutes=10)
T = TypeVar("T", Session, SignInCode)


class Sessions:
    """Begins, ends and recognizes sessions, and creates sign-in codes."""

    def __init__(self, store: Store, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id

    async def begin(self, by: Caller, code: SignInCode | None = None) -> tuple[Session, str]:
        """Begin a session of a caller; return it with its secret.

        `code`: the sign-in code with which the caller signs in, and which is used up. Raises SignInCodeUsed and
        StoreError.
        """
        now, secret = self._clock.now(), secrets.token_urlsafe(32)
        expires_at = self._session_expiry(by, now) if code is None else code.session_expires_at
        session = Session(digest(secret), self._new_id(), by.token, now, expires_at)
        how = "with its token" if code is None else f"with the sign-in link {code.id}"
        used: list[Change] = [] if code is None else [UseSignInCode(code.digest)]
        entry = audited(self._new_id(), now, by.actor, "session.create", subject=session.id, detail=how)
        await self._store.commit([*used, CreateSession(session), entry])
        return session, secret

    async def end(self, session: Session, *, by: Caller) -> None:
        """End a session at once. Raises StoreError."""
        entry = audited(self._new_id(), self._clock.now(), by.actor, "session.end", subject=session.id)
        await self._store.commit([EndSession(session.digest), entry])

    async def create_code(self, by: Caller) -> tuple[SignInCode, str]:
        """Create a sign-in code for a session of the caller; return it with its text. Raises StoreError."""
        now, text = self._clock.now(), secrets.token_urlsafe(32)
        session_expires_at = self._session_expiry(by, now)
        expires_at = min(now + CODE_LIFETIME, session_expires_at)
        code = SignInCode(digest(text), self._new_id(), by.token, expires_at, session_expires_at)
        entry = audited(self._new_id(), now, by.actor, "sign_in_link.create", subject=code.id)
        await self._store.commit([CreateSignInCode(code), entry])
        return code, text

    async def recognize(self, secret: bytes) -> Session | Invalid:
        """Return the session whose secret has this SHA-256, or why there is none. Its token may be invalid.

        Raises StoreError.
        """
        return self._unexpired(await self._store.session(secret))

    async def recognize_code(self, code: bytes) -> SignInCode | Invalid:
        """Return the sign-in code with this SHA-256, or why there is none. Its token may be invalid.

        Raises StoreError.
        """
        return self._unexpired(await self._store.sign_in_code(code))

    def _unexpired(self, found: T | None) -> T | Invalid:
        if found is None:
            return "unknown"
        return found if self._clock.now() < found.expires_at else "expired"

    def _session_expiry(self, by: Caller, now: datetime) -> datetime:
        """The end of a new session: not after that of its token, and of the session in which it is created."""
        ends = (by.expires_at, None if by.session is None else by.session.expires_at)
        return min([now + SESSION_LIFETIME, *(end for end in ends if end is not None)])
