"""Requests to token endpoints (RFC 6749, 4.1.3, 4.4.2 and 6)."""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn
from urllib.parse import quote

from yarl import URL

from hookline.credentials.stored_credentials import OAuth2Credential
from hookline.credentials.token_set import TokenSet
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable
from hookline.outbound.outgoing_request import origin
from hookline.sdk.http_client import HttpClient, Response
from hookline.sdk.response_errors import seconds_until
from hookline.secrets.masking import HiddenValues, secret_values

_SECONDS: Final = 30.0
_MAX_BYTES: Final = 1_000_000
_LONGEST: Final = timedelta(days=3650)
_DETAIL: Final = 300
"""The largest number of letters of a service's error that a message quotes."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_FORM_SECRETS: Final = ("code", "code_verifier", "refresh_token", "client_secret")
#: Errors that say that the grant is gone: RFC 6749's own, and those of some services.
_GRANT_GONE: Final = frozenset(
    {
        "invalid_grant",
        "bad_refresh_token",
        "bad_verification_code",
        "code_already_used",
        "invalid_code",
        "invalid_refresh_token",
        "token_expired",
        "token_revoked",
    }
)
_CLIENT_REJECTED: Final = frozenset(
    {"invalid_client", "unauthorized_client", "incorrect_client_credentials", "invalid_client_id", "bad_client_secret"}
)
_NOT_NOW: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
#: Types of tokens that can't be sent as `Authorization: Bearer`.
_NOT_BEARER: Final = frozenset({"mac", "dpop", "pop", "n_a"})


class GrantGone(Exception):
    """The service rejects the code or the refresh token for good."""


async def request_tokens(
    http: HttpClient, clock: Clock, credential: OAuth2Credential, grant: str, form: Mapping[str, str]
) -> TokenSet:
    """Request tokens with a form, to which the client is added. `grant` is the kind of the first grant.

    Raises GrantGone, and StepError as `TokenUser.access_token` says.
    """
    oauth2, value, name = credential.oauth2, credential.value, credential.name
    url = oauth2.token_url_of(value)
    client_id, secret = oauth2.client_of(value)
    headers, sent = {"Accept": "application/json"}, {**oauth2.token_params_of(value), **form}
    if secret is not None and oauth2.client_auth_of(value) == "basic":
        # Each part is form-encoded first (RFC 6749, 2.3.1). A space becomes %20, which URL decoders read as well.
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        sent["client_id"] = client_id
        if secret is not None:
            sent["client_secret"] = secret
    hidden = HiddenValues([*secret_values(value), *_secrets(sent), *([secret] if secret else [])])
    asked_at = clock.now()
    try:
        # The secrets in the form are for this endpoint only, so redirects are not followed.
        response = await http.request(
            "POST",
            url,
            form=sent,
            headers=headers,
            redirects=0,
            raise_for_status=False,
            max_bytes=_MAX_BYTES,
            timeout=_SECONDS,
        )
    except StepError as error:
        # The request that needs the token was not sent, so the error is no doubt about its outcome.
        raise type(error)(
            f"no access token for credential {name!r}: {hidden.mask_text(error.message)}",
            code=error.error_code,
            retryable=error.retryable,
            retry_after=error.retry_after,
        ) from None
    return _TokenResponse(response, name, origin(URL(url)), hidden, clock.now()).tokens(grant, sent, asked_at)


def _secrets(form: Mapping[str, str]) -> Iterable[str]:
    return (form[name] for name in _FORM_SECRETS if form.get(name))


class _TokenResponse:
    """A response of a token endpoint."""

    def __init__(self, response: Response, name: str, where: str, hidden: HiddenValues, now: datetime) -> None:
        self._response = response
        self._start = f"no access token for credential {name!r}: {where}"
        self._name = name
        self._hidden = hidden
        self._now = now
        self._said = _object(response)

    def tokens(self, grant: str, form: Mapping[str, str], asked_at: datetime) -> TokenSet:
        """Return the tokens. Raises GrantGone and StepError."""
        status, said = self._response.status, self._said
        error = said.get("error")
        # Some services answer with an error and status 200.
        if not 200 <= status < 300 or (error and not said.get("access_token")):
            self._fail(status, error if isinstance(error, str) else "")
        token, kind = said.get("access_token"), str(said.get("token_type") or "bearer")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._odd("answered without an access token: check token_url")
        if kind.lower() in _NOT_BEARER:
            raise self._odd(
                f"gives tokens of the type {self._shown(kind)}, which can't be used: only bearer tokens can"
            )
        refresh, scope = said.get("refresh_token"), said.get("scope")
        if not isinstance(refresh, str) or not refresh:
            # The old refresh token stays valid unless it is replaced (RFC 6749, 6).
            refresh = form.get("refresh_token")
        if grant == "client_credentials":
            refresh = None
        # The token was made after the request was sent, so this time is early enough.
        return TokenSet(
            token,
            grant,
            obtained_at=asked_at,
            expires_at=_expiry(said.get("expires_in"), asked_at),
            refresh_token=refresh,
            scope=scope if isinstance(scope, str) else None,
        )

    def _fail(self, status: int, error: str) -> NoReturn:
        after = seconds_until(self._response.headers.get("retry-after"), self._now)
        text = f"{self._start} answered {status}{self._detail(error)}"
        if status == 429:
            raise RateLimited(text, code="oauth2.rate_limited", retry_after=after)
        if status >= 500 or status in (408, 425) or error in _NOT_NOW:
            raise Unavailable(text, code="oauth2.unavailable", retry_after=after)
        if error in _GRANT_GONE:
            raise GrantGone(f"the service no longer accepts it ({error}{self._description()})")
        if error in _CLIENT_REJECTED or status == 401:
            raise AuthExpired(
                f"{text}: it rejects the client; set the credential again, with the client's id and secret "
                "from the service",
                code="oauth2.client",
            )
        if 300 <= status < 400:
            raise self._odd(f"answered {status}: token requests don't follow redirects; correct token_url")
        raise StepError(text, code="oauth2.rejected")

    def _odd(self, what: str) -> StepError:
        return StepError(f"{self._start} {what}", code="oauth2.answer")

    def _detail(self, error: str) -> str:
        return f" ({self._shown(error)}{self._description()})" if error else ""

    def _description(self) -> str:
        text = self._said.get("error_description")
        return f": {self._shown(text)}" if isinstance(text, str) and text.strip() else ""

    def _shown(self, text: str) -> str:
        # Masked before it is cut, so that no secret is cut in two and then overlooked.
        text = " ".join(self._hidden.mask_text(text).split())
        text = "".join(letter for letter in text if letter.isprintable())
        return text if len(text) <= _DETAIL else f"{text[:_DETAIL]}…"


def _object(response: Response) -> dict[str, Any]:
    """Return the JSON object of a response; an empty one if it is something else."""
    try:
        said = response.json()
    except StepError:
        return {}
    return said if isinstance(said, dict) else {}


def _expiry(value: Any, from_: datetime) -> datetime | None:
    """Return the expiry of a number of seconds, which some services send as text; None if it is missing or invalid."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    if not seconds > 0:
        return None
    return from_ + min(timedelta(seconds=min(seconds, _LONGEST.total_seconds())), _LONGEST)
