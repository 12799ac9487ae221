"""Access to the admin API, and the record of its use: scopes, tokens, sessions, actors and the audit."""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, TypeAlias

import msgspec


class TokenScope(StrEnum):
    """The level of access that a token gives to the admin API. Each scope includes those before it."""

    READ = "read"
    OPERATE = "operate"
    AUTHOR = "author"
    ADMIN = "admin"

    def includes(self, other: "TokenScope") -> bool:
        """Return true if this scope allows whatever the other allows."""
        return _ORDER[self] >= _ORDER[other]


_ORDER = {scope: place for place, scope in enumerate(TokenScope)}

ActorKind: TypeAlias = Literal["token", "person", "local", "folder", "resume-url", "system"]


class Actor(msgspec.Struct, frozen=True):
    """The person or program that makes a change."""

    kind: ActorKind
    """`local` is the command line in a process of its own, `folder` a changed file, `resume-url` a callback."""
    name: str = ""
    """The token's name, the person's, or that of the operating system's user; empty for the others."""
    address: str | None = None
    """The address from which it came, if it came over the network."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @classmethod
    def from_text(cls, text: str, address: str | None = None) -> "Actor":
        """The actor whose text this is. Raises msgspec.ValidationError for an unknown kind."""
        kind, _, name = text.partition(":")
        return msgspec.convert({"kind": kind, "name": name, "address": address}, cls)


FOLDER = Actor("folder")
SYSTEM = Actor("system")


class Token(msgspec.Struct, frozen=True):
    """An access token of the admin API, without its secret."""

    id: str
    name: str
    scopes: tuple[TokenScope, ...]
    """At least one."""
    created_at: datetime
    created_by: str
    """The text of an `Actor`."""
    expires_at: datetime | None = None
    """It is invalid from then on; None if it doesn't expire."""
    flows: tuple[str, ...] | None = None
    """The ids of the only flows that it sees; None for all."""
    revoked_at: datetime | None = None

    @property
    def scope(self) -> TokenScope:
        """The widest of its scopes."""
        return max(self.scopes, key=_ORDER.__getitem__)

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Session(msgspec.Struct, frozen=True):
    """A sign-in to the console, which allows what its token allows. It ends with its token, or before."""

    digest: bytes
    """SHA-256 of its secret, which is in the cookie."""
    id: str
    token: bytes
    """SHA-256 of the secret of its token."""
    created_at: datetime
    expires_at: datetime
    """It is invalid from then on."""


class SignInCode(msgspec.Struct, frozen=True):
    """The code of a sign-in link, which begins a session."""

    digest: bytes
    """SHA-256 of the code."""
    id: str
    token: bytes
    """SHA-256 of the secret of the token with which it was created, and which the session gets."""
    expires_at: datetime
    """It is invalid from then on."""
    session_expires_at: datetime


class RejectedSignIn(msgspec.Struct, frozen=True):
    """A request with a token, a session or a sign-in code that isn't valid."""

    id: str
    at: datetime
    address: str
    """Empty if it isn't known."""
    reason: Literal["unknown", "expired", "revoked"]
    token: str | None = None
    """The name of the token, if it was valid once."""


class AuditEntry(msgspec.Struct, frozen=True):
    """The record of an operation. It has the version of a flow, but none of its content."""

    id: str
    """Ids sort by time."""
    at: datetime
    actor: Actor
    operation: str
    """The subject's kind and a verb, for example `execution.retry`."""
    flow_id: str | None = None
    """The flow that it is about; None if it is about none, or about all."""
    flow_version: str | None = None
    """The version that serves after it, or that the execution has; None if that doesn't matter, or none serves."""
    subject: str | None = None
    """The id of the execution, token or deployment, or the name of the credential or key."""
    detail: str | None = None
    """More about how it was done, in a few words."""


class AuditFilter(msgspec.Struct, frozen=True):
    """A choice of audit entries: all conditions hold."""

    flows: tuple[str, ...] | None = None
    """Entries about these flows; None for all entries, also those about no flow."""
    actor: str | None = None
    """The text of an `Actor`."""
    operation: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that isn't included."""


ALL_ENTRIES: Final = AuditFilter()
