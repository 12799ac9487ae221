"""The authorization of credentials by the authorization code grant with PKCE (RFC 6749, 4.1, RFC 7636 and RFC 9700).

Each authorization has a `state` of its own, which is valid for one redirect and for ten minutes. Authorizations are
kept in memory: one that is open when the server stops must begin again.
"""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import BaseModel

from hookline.credentials.stored_credentials import Credentials, OAuth2Credential
from hookline.credentials.token_endpoint import GrantGone, request_tokens
from hookline.kernel.cancellation import shielded
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import AuthorizationUnknown, CredentialError, HooklineError, StepError
from hookline.model.access import Actor
from hookline.sdk.http_client import HttpClient
from hookline.storage.cluster import Alone, Membership

CALLBACK: Final = "/oauth/callback"
"""The path of a server's own redirect URI."""
_LIFE: Final = timedelta(minutes=10)
_MOST: Final = 200
"""The largest number of authorizations that are kept; the oldest makes room."""
_DETAIL: Final = 300
_UNDER_WAY: Final = "oauth2.under_way"
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Authorization:
    """The authorization of a credential, from its beginning to its result."""

    id: str
    credential: str
    url: str = field(repr=False)
    """The URL at which a user authorizes, in a browser."""
    redirect_uri: str
    """The URL to which the browser is redirected afterwards."""
    expires_at: datetime
    state: Literal["waiting", "done", "failed"] = "waiting"
    message: str | None = None
    """The result, as text."""
    code: str | None = None
    """The error's code, if it failed."""
    pending: Sequence[str] = ()
    """The names of the nodes that don't have the tokens yet."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    authorization: Authorization
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    value: BaseModel = field(repr=False)
    by: Actor
    """The actor who began it."""


class Authorizations:
    """The authorizations of one engine. `callback` is the server's own redirect URI; None if no server runs."""

    def __init__(
        self,
        credentials: Credentials,
        clock: Clock,
        callback: str | None = None,
        membership: Membership | None = None,
    ) -> None:
        self._membership: Membership = membership or Alone()
        self._credentials = credentials
        self._clock = clock
        self._callback = callback
        self._attempts: dict[str, _Attempt] = {}
        """By id."""

    def begin(self, name: str, redirect_uri: str | None = None, *, by: Actor) -> Authorization:
        """Begin an authorization. `redirect_uri` is an address of this machine to use instead of the server's.

        When it gives tokens, `by` is recorded as the actor, even if somebody else passes the redirect on.
        Raises CredentialError if the credential can't be authorized, or the address is on another machine.
        """
        redirect_uri = self._redirect_uri(redirect_uri)
        found = self._found(name)
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        try:
            url = _authorize_url(found, redirect_uri, state, verifier)
        except StepError as error:
            raise CredentialError(f"credential {name!r} can't be authorized: {error.message}") from None
        now = self._clock.now()
        made = Authorization(secrets.token_urlsafe(12), name, url, redirect_uri, now + _LIFE)
        self._forget(now)
        self._attempts[made.id] = _Attempt(made, state, verifier, found.value, by)
        return made

    def get(self, name: str, id: str) -> Authorization:
        """Return the present state of an authorization. Raises AuthorizationUnknown."""
        attempt = self._attempts.get(id)
        if attempt is None or attempt.authorization.credential != name:
            raise AuthorizationUnknown(f"there is no such authorization of credential {name!r}; begin again")
        return self._at(attempt, self._clock.now())

    async def finish(self, query: str, http: HttpClient, id: str | None = None) -> Authorization:
        """Finish the authorization to which a redirect's query belongs, and return it; `id` says which one it must be.

        Raises AuthorizationUnknown if there is none: it was finished before, has expired, or was begun elsewhere.
        """
        parameters = _parameters(query)
        attempt = self._waiting(parameters.get("state", ""), id)
        # Replaced first, so that a second redirect with this state finds nothing.
        begun = replace(attempt.authorization, state="failed", message="it is under way", code=_UNDER_WAY)
        self._attempts[begun.id] = _Attempt(begun, "", "", attempt.value, attempt.by)
        # The result is kept even if the browser disconnects.
        return await shielded(self._finished(attempt, parameters, http))

    async def _finished(self, attempt: _Attempt, parameters: dict[str, str], http: HttpClient) -> Authorization:
        done = await self._outcome(attempt, parameters, http)
        self._attempts[done.id] = _Attempt(done, "", "", attempt.value, attempt.by)
        return done

    async def _outcome(self, attempt: _Attempt, parameters: dict[str, str], http: HttpClient) -> Authorization:
        made, name = attempt.authorization, attempt.authorization.credential
        if "error" in parameters or not parameters.get("code"):
            return replace(made, state="failed", message=_rejection(parameters), code="oauth2.not_authorized")
        form = {
            "grant_type": "authorization_code",
            "code": parameters["code"],
            "redirect_uri": made.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        try:
            found = self._found(name)
            if found.value is attempt.value:
                tokens = await request_tokens(http, self._clock, found, "authorization_code", form)
            if found.value is not attempt.value or not await self._credentials.authorize(
                name, attempt.value, tokens, by=attempt.by
            ):
                return replace(
                    made,
                    state="failed",
                    message=f"credential {name!r} was replaced meanwhile; authorize it again",
                    code="oauth2.changed",
                )
        except GrantGone as error:
            return replace(made, state="failed", message=f"the service rejects the code: {error}", code="oauth2.code")
        except HooklineError as error:
            return replace(made, state="failed", message=error.message, code=getattr(error, "error_code", error.code))
        renewed = "" if tokens.refresh_token else "; the service gave no refresh token"
        pending = tuple(await self._membership.adopted())
        return replace(made, state="done", message=f"credential {name!r} is authorized{renewed}", pending=pending)

    def _found(self, name: str) -> OAuth2Credential:
        found = self._credentials.oauth2_credential(name)
        if found is None:
            raise CredentialError(f"credential {name!r} is of a type without OAuth 2, and needs no authorization")
        try:
            grants = found.oauth2.grants_of(found.value)
        except StepError as error:
            raise CredentialError(f"credential {name!r} can't be authorized: {error.message}") from None
        if "authorization_code" not in grants:
            raise CredentialError(f"credential {name!r} uses client credentials, and needs no authorization")
        return found

    def _redirect_uri(self, given: str | None) -> str:
        uri = given if given is not None else self._callback
        if uri is None:
            raise CredentialError("no server is running to receive the redirect; give a redirect_uri")
        if uri == self._callback:
            return uri
        try:
            parts = urlsplit(uri)
            ours = parts.scheme == "http" and parts.hostname in _LOOPBACK and parts.port and not parts.fragment
        except ValueError:
            ours = False
        if not ours:
            raise CredentialError(
                f"the redirect can't go to {uri!r}: it is the server's own {self._callback or 'callback'}, or an "
                "address of the machine where the browser runs, as in http://127.0.0.1:8765/oauth/callback"
            )
        return uri

    def _waiting(self, state: str, id: str | None) -> _Attempt:
        now = self._clock.now()
        self._forget(now)
        for attempt in self._attempts.values():
            if (
                attempt.state
                and secrets.compare_digest(attempt.state.encode(), state.encode("utf-8", "replace"))
                and id in (None, attempt.authorization.id)
                and now < attempt.authorization.expires_at
            ):
                return attempt
        raise AuthorizationUnknown(
            "no authorization waits for this redirect: it took longer than ten minutes, is finished, or was begun "
            "elsewhere; begin again with `hookline credentials authorize NAME`"
        )

    def _at(self, attempt: _Attempt, now: datetime) -> Authorization:
        made = attempt.authorization
        if made.code == _UNDER_WAY:
            made = replace(made, state="waiting", message=None, code=None)
        if made.state == "waiting" and now >= made.expires_at:
            return replace(
                made, state="failed", message="it was not authorized within ten minutes", code="oauth2.not_authorized"
            )
        return made

    def _forget(self, now: datetime) -> None:
        """Drop old authorizations. The result of one is kept for a while after its end."""
        gone = [id for id, one in self._attempts.items() if now >= one.authorization.expires_at + _LIFE]
        gone += list(self._attempts)[: max(0, len(self._attempts) - len(gone) - _MOST + 1)]
        for id in gone:
            self._attempts.pop(id, None)


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier (RFC 7636, 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def query_of(redirected: str) -> str:
    """Return the query of a URL to which a browser was redirected. The text may also be the query alone."""
    return redirected.strip().partition("#")[0].rpartition("?")[2]


def _authorize_url(found: OAuth2Credential, redirect_uri: str, state: str, verifier: str) -> str:
    oauth2, value = found.oauth2, found.value
    client_id, _ = oauth2.client_of(value)
    asked = {
        **oauth2.authorize_params,
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    if scope := oauth2.scopes_of(value):
        asked["scope"] = scope
    parts = urlsplit(oauth2.authorize_url_of(value))
    # The address keeps the query that it has (RFC 6749, 3.1).
    query = "&".join(part for part in (parts.query, urlencode(asked)) if part)
    return urlunsplit(parts._replace(query=query))


def _parameters(query: str) -> dict[str, str]:
    """Return the parameters of a redirect. Raises AuthorizationUnknown if an important one occurs twice."""
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        raise AuthorizationUnknown("the redirect's query can't be read") from None
    for name, value in pairs:
        if name in found and name in ("state", "code", "error"):
            raise AuthorizationUnknown(f"the redirect has {name} twice")
        found[name] = value
    return found


def _rejection(parameters: dict[str, str]) -> str:
    error = parameters.get("error")
    if not error:
        return "the service sent the browser back without a code"
    described = parameters.get("error_description")
    said = f"{error}: {described}" if described else error
    said = "".join(letter for letter in " ".join(said.split()) if letter.isprintable())[:_DETAIL]
    return f"the service denied the authorization ({said})"
