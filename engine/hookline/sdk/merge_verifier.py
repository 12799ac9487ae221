"""Asking a service whether it takes a credential: `@acme.verify` on an async function."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from hookline.kernel.merge_logger import Log
from hookline.sdk.oauth2 import Tokens, TokenUser

if TYPE_CHECKING:
    from hookline.sdk.http import HttpClient
    from hookline.sdk.merge_resources import Resources

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class VerifyContext(TokenUser, Generic[C]):
    """What a function is given that verifies a credential."""

    credential: C
    """An instance of the connector's credential type."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    tokens: Tokens | None = None
    """What `access_token` asks."""


Verifier: TypeAlias = Callable[[VerifyContext[Any]], Awaitable[str | None]]
"""Gives who the credential is to the service, where that is known. Raises StepError where it can't be used."""
