"""OAuth 2 of a connector's credentials: what an author declares, and what actions get tokens from.

`Connector("acme", credential=AcmeKey, oauth2=OAuth2(token_url="https://acme.example/token", …))` declares it. The
engine gets tokens, keeps them encrypted, and renews them before they expire; `await ctx.access_token()` gives one.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from hookline.kernel.errors import AuthExpired, PluginError, StepError

T = TypeVar("T")

Grant: TypeAlias = Literal["authorization_code", "client_credentials"]
ClientAuth: TypeAlias = Literal["basic", "body"]
Url: TypeAlias = str | Callable[[Any], str]
"""A URL, or what gives it for a credential: services have sandboxes, and addresses of their own for each customer."""

_GRANTS: Final = frozenset({"authorization_code", "client_credentials"})
#: Parameters that are the engine's to set: another value would break what holds the exchange together.
_OURS: Final = frozenset(
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
    """How the credentials of a connector get access tokens (RFC 6749, with PKCE by RFC 7636).

    With both grants a credential acts for itself (`client_credentials`) until somebody has authorized it.
    """

    token_url: Url
    """Where tokens are asked for: `https://…`, or a function of the credential."""
    authorize_url: Url | None = None
    """Where somebody authorizes; for the grant `authorization_code`."""
    grants: Sequence[Grant] | Callable[[Any], Sequence[Grant]] = ("authorization_code",)
    """Or a function of the credential."""
    scopes: Sequence[str] | Callable[[Any], Sequence[str]] = ()
    """What is asked for, or a function of the credential."""
    client_auth: ClientAuth | Callable[[Any], ClientAuth] = "basic"
    """How the client's id and secret are sent: in the header `Authorization`, or in the body."""
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    """Added to the authorization request, such as `{"access_type": "offline"}`."""
    token_params: Mapping[str, str] | Callable[[Any], Mapping[str, str]] = field(default_factory=dict)
    """Added to each token request, such as `{"audience": "…"}`; or a function of the credential."""
    client_id: str = "client_id"
    """The credential's field that has the client's id."""
    client_secret: str | None = "client_secret"  # noqa: S105 - the name of a field
    """The field that has its secret; None for clients that have none. A secret that is None isn't sent."""

    def token_url_of(self, credential: BaseModel) -> str:
        """Raises StepError (`oauth2.config`) where it is no URL."""
        return _url(_of(self.token_url, credential, "token_url"), "token_url")

    def authorize_url_of(self, credential: BaseModel) -> str:
        """Raises StepError (`oauth2.config`) where it is no URL, or there is none."""
        return _url(_of(self.authorize_url, credential, "authorize_url"), "authorize_url")

    def grants_of(self, credential: BaseModel) -> frozenset[Grant]:
        """Raises StepError (`oauth2.config`) where a function of the connector fails."""
        return frozenset(_of(self.grants, credential, "grants"))

    def client_auth_of(self, credential: BaseModel) -> ClientAuth:
        """Raises StepError as `grants_of` does."""
        client_auth: ClientAuth = _of(self.client_auth, credential, "client_auth")
        return client_auth

    def token_params_of(self, credential: BaseModel) -> Mapping[str, str]:
        """Raises StepError as `grants_of` does."""
        params: Mapping[str, str] = _of(self.token_params, credential, "token_params")
        return params

    def scopes_of(self, credential: BaseModel) -> str:
        """As they are sent."""
        scopes = _of(self.scopes, credential, "scopes")
        return scopes if isinstance(scopes, str) else " ".join(scopes)

    def client_of(self, credential: BaseModel) -> tuple[str, str | None]:
        """The client's id and secret. Raises StepError (`oauth2.config`) where the credential has no id."""
        client_id = _open(getattr(credential, self.client_id))
        if not client_id:
            raise StepError(
                f"the credential has no {self.client_id}: set it again with the id that the service gave the client",
                code="oauth2.config",
            )
        secret = None if self.client_secret is None else _open(getattr(credential, self.client_secret))
        return client_id, secret or None


def check(oauth2: OAuth2, connector: str, credential: type[BaseModel] | None) -> None:
    """Raise PluginError for a declaration that can't work, naming the connector and what is wrong."""

    def wrong(what: str) -> PluginError:
        return PluginError(f"connector {connector!r}: oauth2: {what}")

    if not isinstance(oauth2, OAuth2):
        raise wrong(f"is {oauth2!r:.60}; give an OAuth2(token_url=…)")
    if credential is None:
        raise wrong("there is no credential that could have tokens: credential=…")
    if not callable(oauth2.grants):
        unknown = [grant for grant in oauth2.grants if grant not in _GRANTS]
        if unknown or not oauth2.grants or isinstance(oauth2.grants, str):
            raise wrong(f"grants={oauth2.grants!r}: a tuple of one or both of {', '.join(sorted(_GRANTS))}")
        if ("authorization_code" in oauth2.grants) != (oauth2.authorize_url is not None):
            raise wrong("authorize_url is given where, and only where, the grants have authorization_code")
        if oauth2.client_secret is None and "client_credentials" in oauth2.grants:
            raise wrong("client_credentials needs a client that has a secret: client_secret=…")
    if not callable(oauth2.client_auth) and oauth2.client_auth not in ("basic", "body"):
        raise wrong(f"client_auth={oauth2.client_auth!r}: one of basic and body")
    for name in ("token_url", "authorize_url"):
        url = getattr(oauth2, name)
        if isinstance(url, str) and not _is_url(url):
            raise wrong(f"{name}={url!r} is no URL without a fragment that begins with https:// or http://")
    if isinstance(oauth2.scopes, str):
        raise wrong(f"scopes={oauth2.scopes!r}: a tuple of texts")
    params = {} if callable(oauth2.token_params) else oauth2.token_params
    taken = sorted((oauth2.authorize_params.keys() | params.keys()) & _OURS)
    if taken:
        raise wrong(f"the parameter {taken[0]!r} is set by the engine: leave it out")
    for name in filter(None, (oauth2.client_id, oauth2.client_secret)):
        if name not in credential.model_fields:
            fields = ", ".join(credential.model_fields) or "none"
            raise wrong(f"the credential has no field {name!r}: it has {fields}; say client_id=… and client_secret=…")


class Tokens(Protocol):
    """Gives the access tokens of one credential."""

    async def access_token(self, rejected: str | None = None) -> str:
        """See `TokenUser.access_token`."""
        ...


class TokenUser:
    """What a context has whose credential may have tokens."""

    __slots__ = ()
    tokens: Tokens | None

    async def access_token(self, *, rejected: str | None = None) -> str:
        """An access token of the credential, for `Authorization: Bearer …`. It holds for a while yet.

        `rejected`: a token that this gave, and that the service has rejected (401) although its time isn't over: it is
        given no more, and another one got. Where another user has seen to that already, this is the other's.

        Raises AuthExpired where somebody has to authorize the credential (again), and says how; Unavailable and
        RateLimited where the service gives no token now; StepError (`oauth2.config`) where the credential's type has no
        OAuth 2, or the service rejects the client; StoreError, which the engine tries again.
        """
        if self.tokens is None:
            raise StepError(
                "there are no access tokens here: the step names no credential, or one of a type without OAuth 2",
                code="oauth2.config",
            )
        return await self.tokens.access_token(rejected)

    async def authorized(self, send: Callable[[str], Awaitable[T]]) -> T:
        """What `send` gives for an access token: asked once more, with another token, where it raises AuthExpired.

        `await ctx.authorized(lambda token: ctx.http.get_json(url, headers={"Authorization": "Bearer " + token}))`, say.
        `send` makes one request: what was done before a 401 of a second one would be done twice.
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
    except Exception as error:  # noqa: BLE001 - whatever a plugin's function raises is its defect
        # Its text may hold what is secret of the credential.
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
            f"the credential's {name} is no URL that begins with https:// or http://: correct the credential",
            code="oauth2.config",
        )
    return url


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and not parts.fragment
    except ValueError:
        return False
