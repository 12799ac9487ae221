"""OAuth 2 for the credentials of connectors: the declaration, and the access tokens of a context.

`Connector("acme", credential=AcmeKey, oauth2=OAuth2(token_url="https://acme.example/token", …))` declares it. The
engine gets tokens, stores them encrypted, and renews them before they expire. `await ctx.access_token()` returns one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from hookline.kernel.errors import AuthExpired, PluginError, StepError
from hookline.sdk.context_parts import ServiceUser

T = TypeVar("T")

Grant: TypeAlias = Literal["authorization_code", "client_credentials"]
ClientAuth: TypeAlias = Literal["basic", "body"]
Url: TypeAlias = str | Callable[[Any], str]
"""A URL, or a function of the credential that returns it, for services with sandboxes or a URL for each customer."""

_GRANTS: Final = frozenset({"authorization_code", "client_credentials"})
#: Parameters that only the engine sets.
_RESERVED: Final = frozenset(
    {
        "client_id",
        "client_secret",
        "code",
        "code_challenge",
        "code_challenge_method",
        "code_verifier",
        "grant_type",
        "redirect_uri",
        "refresh_token",
        "response_type",
        "scope",
        "state",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2:
    """The OAuth 2 settings of a connector's credentials (RFC 6749, with PKCE of RFC 7636).

    With both grants, a credential uses `client_credentials` until a user has authorized it.
    """

    token_url: Url
    """The token endpoint, or a function of the credential."""
    authorize_url: Url | None = None
    """The authorization endpoint, for the grant `authorization_code`."""
    grants: Sequence[Grant] | Callable[[Any], Sequence[Grant]] = ("authorization_code",)
    """The grants, or a function of the credential."""
    scopes: Sequence[str] | Callable[[Any], Sequence[str]] = ()
    """The scopes, or a function of the credential."""
    client_auth: ClientAuth | Callable[[Any], ClientAuth] = "basic"
    """The place of the client's id and secret: the header `Authorization` (`basic`), or the `body`."""
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    """More parameters of the authorization request, such as `{"access_type": "offline"}`."""
    token_params: Mapping[str, str] | Callable[[Any], Mapping[str, str]] = field(default_factory=dict)
    """More parameters of token requests, such as `{"audience": "…"}`, or a function of the credential."""
    client_id: str = "client_id"
    """The field of the credential with the client's id."""
    client_secret: str | None = "client_secret"  # noqa: S105 - the name of a field
    """The field with the client's secret; None for clients without one. A secret that is None isn't sent."""

    def token_url_of(self, credential: BaseModel) -> str:
        """Return the token endpoint. Raises StepError (`oauth2.config`) if it is not a URL."""
        return _url(_of(self.token_url, credential, "token_url"), "token_url")

    def authorize_url_of(self, credential: BaseModel) -> str:
        """Return the authorization endpoint. Raises StepError (`oauth2.config`) if it is missing or not a URL."""
        return _url(_of(self.authorize_url, credential, "authorize_url"), "authorize_url")

    def grants_of(self, credential: BaseModel) -> frozenset[Grant]:
        """Return the grants. Raises StepError (`oauth2.config`) if the connector's function fails."""
        return frozenset(_of(self.grants, credential, "grants"))

    def client_auth_of(self, credential: BaseModel) -> ClientAuth:
        """Return the place of the client's id and secret. Raises StepError as `grants_of` does."""
        client_auth: ClientAuth = _of(self.client_auth, credential, "client_auth")
        return client_auth

    def token_params_of(self, credential: BaseModel) -> Mapping[str, str]:
        """Return the parameters of token requests. Raises StepError as `grants_of` does."""
        params: Mapping[str, str] = _of(self.token_params, credential, "token_params")
        return params

    def scopes_of(self, credential: BaseModel) -> str:
        """Return the scopes as one text, separated by spaces."""
        scopes = _of(self.scopes, credential, "scopes")
        return scopes if isinstance(scopes, str) else " ".join(scopes)

    def client_of(self, credential: BaseModel) -> tuple[str, str | None]:
        """Return the client's id and secret. Raises StepError (`oauth2.config`) if the credential has no id."""
        client_id = _open(getattr(credential, self.client_id))
        if not client_id:
            raise StepError(
                f"the credential has no {self.client_id}: set the credential again with the id of the client",
                code="oauth2.config",
            )
        secret = None if self.client_secret is None else _open(getattr(credential, self.client_secret))
        return client_id, secret or None


def check_oauth2(oauth2: OAuth2, connector: str, credential: type[BaseModel] | None) -> None:
    """Raise PluginError, which names the connector and the problem, for a declaration that can't work."""

    def error(what: str) -> PluginError:
        return PluginError(f"connector {connector!r}: oauth2: {what}")

    if not isinstance(oauth2, OAuth2):
        raise error(f"is {oauth2!r:.60}; give an OAuth2(token_url=…)")
    if credential is None:
        raise error("the connector has no credential: credential=…")
    if not callable(oauth2.grants):
        unknown = [grant for grant in oauth2.grants if grant not in _GRANTS]
        if unknown or not oauth2.grants or isinstance(oauth2.grants, str):
            raise error(f"grants={oauth2.grants!r}: give a tuple of one or both of {', '.join(sorted(_GRANTS))}")
        if ("authorization_code" in oauth2.grants) != (oauth2.authorize_url is not None):
            raise error("authorize_url is needed if, and only if, the grants have authorization_code")
        if oauth2.client_secret is None and "client_credentials" in oauth2.grants:
            raise error("client_credentials needs a client secret: client_secret=…")
    if not callable(oauth2.client_auth) and oauth2.client_auth not in ("basic", "body"):
        raise error(f"client_auth={oauth2.client_auth!r}: one of basic and body")
    for name in ("token_url", "authorize_url"):
        url = getattr(oauth2, name)
        if isinstance(url, str) and not _is_url(url):
            raise error(f"{name}={url!r} must be a URL that begins with https:// or http:// and has no fragment")
    if isinstance(oauth2.scopes, str):
        raise error(f"scopes={oauth2.scopes!r}: give a tuple of texts")
    params = {} if callable(oauth2.token_params) else oauth2.token_params
    taken = sorted((oauth2.authorize_params.keys() | params.keys()) & _RESERVED)
    if taken:
        raise error(f"the parameter {taken[0]!r} is set by the engine: leave it out")
    for name in filter(None, (oauth2.client_id, oauth2.client_secret)):
        if name not in credential.model_fields:
            fields = ", ".join(credential.model_fields) or "none"
            raise error(f"the credential has no field {name!r}: it has {fields}; set client_id=… and client_secret=…")


class Tokens(Protocol):
    """The access tokens of one credential."""

    async def access_token(self, rejected: str | None = None) -> str:
        """See `TokenUser.access_token`."""
        ...


class TokenUser(ServiceUser):
    """The methods for access tokens, and for the service of the credential, that contexts have."""

    __slots__ = ()
    tokens: Tokens | None

    async def access_token(self, *, rejected: str | None = None) -> str:
        """Return an access token of the credential, for `Authorization: Bearer …`. It doesn't expire soon.

        `rejected`: an earlier token that the service has rejected (401) before its expiry. It is then replaced, unless
        another call has replaced it already.

        Raises AuthExpired if a user must authorize the credential (again), with the remedy; Unavailable and RateLimited
        if the service issues no token now; StepError (`oauth2.config`) if the credential's type has no OAuth 2, or the
        service rejects the client; and StoreError, after which the engine retries.
        """
        if self.tokens is None:
            raise StepError(
                "there is no access token: the step names no credential, or one of a type without OAuth 2",
                code="oauth2.config",
            )
        return await self.tokens.access_token(rejected)

    async def authorized(self, send: Callable[[str], Awaitable[T]]) -> T:
        """Call `send` with an access token and return its result. After AuthExpired, call it again with a new token.

        For example: `await ctx.authorized(lambda token: ctx.http.get_json(url, headers={"X-Token": token}))`.
        `send` should make one request: an earlier request would be repeated after a 401 of a second one.
        """
        token = await self.access_token()
        try:
            return await send(token)
        except AuthExpired:
            token = await self.access_token(rejected=token)
        return await send(token)


def _of(value: Any, credential: BaseModel, name: str) -> Any:
    if not callable(value):
        return value
    try:
        return value(credential)
    except Exception as error:  # noqa: BLE001 - any exception of a plugin's function is a defect
        # The message of the exception may have secrets of the credential.
        raise StepError(
            f"the connector has a defect: its function for {name} raised {type(error).__name__}", code="oauth2.config"
        ) from None


def _open(value: Any) -> str | None:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return None if value is None else str(value)


def _url(url: Any, name: str) -> str:
    if not isinstance(url, str) or not _is_url(url):
        raise StepError(
            f"the credential's {name} must be a URL that begins with https:// or http://: correct the credential",
            code="oauth2.config",
        )
    return url


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and not parts.fragment
    except ValueError:
        return False
