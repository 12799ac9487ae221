"""Credentials, without their secrets."""

import msgspec

from hookline.credentials.authorization import Authorization
from hookline.credentials.check import Verdict
from hookline.credentials.store import CredentialInfo
from hookline.kernel.time import rfc3339
from hookline.service.views.pages import Time


class CredentialView(msgspec.Struct, frozen=True):
    """A credential without its secrets."""

    name: str
    type: str
    updated_at: Time
    problem: str | None
    """Why it can't be used."""
    tokens: "TokensView | None" = None
    """Its access tokens; null where its type has no OAuth 2."""


class TokensView(msgspec.Struct, frozen=True):
    """What is known of a credential's access tokens, without them."""

    state: str
    """`valid`; `renewable`: expired, and renewed when they are used; `on_demand`: got when they are used for the first
    time; `missing` or `lost`: somebody has to authorize the credential."""
    expires_at: Time | None
    """When the access token expires; null where there is none, or the service doesn't say it."""
    scope: str | None
    """What it may be used for, where the service says it."""
    problem: str | None
    """Why there are none that can be used."""


def credential_view(info: CredentialInfo) -> CredentialView:
    """A credential without its secrets."""
    tokens = None
    if info.tokens is not None:
        at = info.tokens.expires_at
        tokens = TokensView(
            info.tokens.state, None if at is None else rfc3339(at), info.tokens.scope, info.tokens.problem
        )
    return CredentialView(info.name, info.type, rfc3339(info.updated_at), info.problem, tokens)


class AuthorizationView(msgspec.Struct, frozen=True):
    """An attempt to authorize a credential."""

    id: str
    credential: str
    url: str
    """Where somebody authorizes, in a browser."""
    redirect_uri: str
    """Where the browser is sent afterwards: the client that the service knows has to allow it."""
    expires_at: Time
    state: str
    """`waiting`, `done` or `failed`."""
    message: str | None
    """What became of it."""
    code: str | None
    """The error's code, where it failed."""


def authorization_view(made: Authorization) -> AuthorizationView:
    """An attempt to authorize a credential."""
    return AuthorizationView(
        made.id,
        made.credential,
        made.url,
        made.redirect_uri,
        rfc3339(made.expires_at),
        made.state,
        made.message,
        made.code,
    )


class VerdictView(msgspec.Struct, frozen=True):
    """Whether a credential works."""

    name: str
    type: str
    state: str
    """`well`, `failed`, or `unknown` where its type has no way to verify it."""
    message: str
    """Who it is to the service, or why it can't be used."""
    code: str | None
    """The error's code, where it failed."""


def verdict_view(verdict: Verdict) -> VerdictView:
    """Whether a credential works."""
    return VerdictView(verdict.name, verdict.type, verdict.state, verdict.message, verdict.code)
