"""Asking a token endpoint (RFC 6749, 4.1.3, 4.4.2 and 6): one request, and what its answer means."""

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn
from urllib.parse import quote

from yarl import URL

from hookline.credentials.store import Authorized
from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable
from hookline.kernel.time import Clock
from hookline.model.tokens import TokenSet
from hookline.outbound.request import origin
from hookline.sdk.http import HttpClient, Response, seconds_until
from hookline.secrets.masking import HiddenValues, secret_values

_SECONDS: Final = 30.0
_MAX_BYTES: Final = 1_000_000
_LONGEST: Final = timedelta(days=3650)
_DETAIL: Final = 300
"""Letters of what the service says, in a message."""
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_FORM_SECRETS: Final = ("code", "code_verifier", "refresh_token", "client_secret")
#: The right that was given is there no more. Besides RFC 6749's own word, those of services that have others.
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
_CLIENT_REFUSED: Final = frozenset(
    {"invalid_client", "unauthorized_client", "incorrect_client_credentials", "invalid_client_id", "bad_client_secret"}
)
_NOT_NOW: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
#: Types of tokens that `Authorization: Bearer` isn't for.
_NOT_BEARER: Final = frozenset({"mac", "dpop", "pop", "n_a"})


class GrantGone(Exception):
    """The service doesn't take the code or the refresh token, for good."""


async def request_tokens(
    http: HttpClient, clock: Clock, credential: Authorized, grant: str, form: Mapping[str, str]
) -> TokenSet:
    """What the service gives for a form, which lacks only the client. `grant`: how the tokens are got at first.

    Raises GrantGone, and StepError as `TokenUser.access_token` says.
    """
    oauth2, value, name = credential.oauth2, credential.value, credential.name
    url = oauth2.token_url_of(value)
    client_id, secret = oauth2.client_of(value)
    headers, sent = {"Accept": "application/json"}, {**oauth2.token_params_of(value), **form}
    if secret is not None and oauth2.client_auth_of(value) == "basic":
        # Each part is encoded as in a form first (RFC 6749, 2.3.1); a space so that whoever decodes URLs reads it, too.
        pair = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        sent["client_id"] = client_id
        if secret is not None:
            sent["client_secret"] = secret
    hidden = HiddenValues([*secret_values(value), *_secrets(sent), *([secret] if secret else [])])
    asked_at = clock.now()
    try:
        # What the form holds is for this endpoint alone: a redirect is not followed.
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
        # Whatever became of this request, what the token is for hasn't been done.
        raise type(error)(
            f"no access token for credential {name!r}: {hidden.mask_text(error.message)}",
            code=error.error_code,
            retryable=error.retryable,
            retry_after=error.retry_after,
        ) from None
    return _Answer(response, name, origin(URL(url)), hidden, clock.now()).tokens(grant, sent, asked_at)


def _secrets(form: Mapping[str, str]) -> Iterable[str]:
    return (form[name] for name in _FORM_SECRETS if form.get(name))


class _Answer:
    """What a token endpoint answered."""

    def __init__(self, response: Response, name: str, where: str, hidden: HiddenValues, now: datetime) -> None:
        self._response = response
        self._start = f"no access token for credential {name!r}: {where}"
        self._name = name
        self._hidden = hidden
        self._now = now
        self._said = _object(response)

    def tokens(self, grant: str, form: Mapping[str, str], asked_at: datetime) -> TokenSet:
        """Raises GrantGone and StepError."""
        status, said = self._response.status, self._said
        error = said.get("error")
        # Some services put an error into an answer that has succeeded.
        if not 200 <= status < 300 or (error and not said.get("access_token")):
            self._fail(status, error if isinstance(error, str) else "")
        token, kind = said.get("access_token"), str(said.get("token_type") or "bearer")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise self._odd("answered without an access token: see whether token_url is right")
        if kind.lower() in _NOT_BEARER:
            raise self._odd(
                f"gives tokens of the type {self._shown(kind)}, which can't be used: only bearer tokens can"
            )
        refresh, scope = said.get("refresh_token"), said.get("scope")
        if not isinstance(refresh, str) or not refresh:
            # One that isn't replaced stays good (RFC 6749, 6).
            refresh = form.get("refresh_token")
        if grant == "client_credentials":
            refresh = None
        # Its life began when it was made, which is after the request was sent.
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
            raise GrantGone(f"the service doesn't take it any more ({error}{self._description()})")
        if error in _CLIENT_REFUSED or status == 401:
            raise AuthExpired(
                f"{text}: it doesn't take the client; set the credential again, with the client's id and secret as the "
                "service has them",
                code="oauth2.client",
            )
        if 300 <= status < 400:
            raise self._odd(f"answered {status}: it redirects, which token requests don't follow; correct token_url")
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
    """The JSON object of an answer; an empty one where it is something else."""
    try:
        said = response.json()
    except StepError:
        return {}
    return said if isinstance(said, dict) else {}


def _expiry(value: Any, from_: datetime) -> datetime | None:
    """Seconds, which some services write as text. None where nothing is said, or nothing that means something."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    if not seconds > 0:
        return None
    return from_ + min(timedelta(seconds=min(seconds, _LONGEST.total_seconds())), _LONGEST)
