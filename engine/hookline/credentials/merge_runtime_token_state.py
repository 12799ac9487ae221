"""What is known of a credential's access tokens, without them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import BaseModel

from hookline.kernel.errors import StepError
from hookline.model.tokens import TokenSet
from hookline.sdk.oauth2 import OAuth2

TokenState: TypeAlias = Literal["valid", "renewable", "on_demand", "missing", "lost"]


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What may be shown of a credential's tokens."""

    state: TokenState
    """`valid`; `renewable`: expired, and renewed when they are used; `on_demand`: got when they are used for the first
    time; `missing`: somebody has to authorize the credential; `lost`: somebody has to do so again."""
    expires_at: datetime | None = None
    """Of the access token; None where the service doesn't say it."""
    scope: str | None = None
    problem: str | None = None
    """Why there are none that can be used, with the remedy."""


def token_info(
    name: str, oauth2: OAuth2, value: BaseModel, tokens: TokenSet | None, problem: str | None, now: datetime
) -> TokenInfo:
    """Of a credential's value and its tokens. `problem`: why those that are stored can't be read."""
    if tokens is None:
        try:
            by_itself = "client_credentials" in oauth2.grants_of(value)
        except StepError as error:
            return TokenInfo("missing", problem=error.message)
        if by_itself:
            return TokenInfo("on_demand")
        state: TokenState = "missing" if problem is None else "lost"
        return TokenInfo(state, problem=unauthorized(name, problem))
    if tokens.holds(now):
        return TokenInfo("valid", tokens.expires_at, tokens.scope)
    if tokens.renewable:
        return TokenInfo("renewable", tokens.expires_at, tokens.scope)
    return TokenInfo("lost", tokens.expires_at, tokens.scope, unauthorized(name, why_lost(tokens)))


def why_lost(tokens: TokenSet) -> str:
    """Why tokens that don't hold can't be renewed."""
    return tokens.lost or "its access token has expired, and the service gave none to renew it with"


def unauthorized(name: str, why: str | None) -> str:
    """The text that says what to do. `why`: what became of the tokens that there were."""
    if why is None:
        return f"nobody has authorized credential {name!r} yet: `hookline credentials authorize {name}`"
    return f"credential {name!r}: {why}; authorize it again: `hookline credentials authorize {name}`"
