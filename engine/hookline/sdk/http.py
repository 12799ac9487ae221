"""The HTTP client that actions and schemes are given (`ctx.http`)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, TypedDict, Unpack

from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable
from hookline.kernel.json import JsonValue, decode
from hookline.model.message import Attachment

MAX_WAIT: Final = 86400.0
"""Seconds: what asks for more is taken as asking for this."""

#: Numbers from here on are no waits of thirty years, but times: seconds since 1970, and milliseconds.
_TIMES: Final = 1_000_000_000
_MILLISECONDS: Final = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How a service says that it wants fewer requests.

    Given with a request (`rate_limits=RateLimits(statuses=(403, 429))`), it makes such a response `RateLimited`, which
    is tried again after the time that the service names.
    """

    statuses: tuple[int, ...] = (429,)
    """429 always means it. Others mean it where a header says so: `Retry-After`, or one by which nothing remains."""
    remaining: tuple[str, ...] = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
    """Headers, in lower case, that say how many requests are left. The first that is there counts."""
    reset: tuple[str, ...] = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
    """Headers, in lower case, that say when there are more, where there is no `Retry-After`."""

    def met(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether a response says it. Names of headers are lower-case."""
        if status == 429:
            return True
        return status in self.statuses and ("retry-after" in headers or self._left(headers) == 0)

    def wait(self, headers: Mapping[str, str], now: datetime | None = None) -> float | None:
        """Seconds until there are more requests, at most a day; None where that isn't said.

        `now` is the time at which the response came; by default the one that it has in its own `Date`.
        """
        now = now if now is not None else _date(headers.get("date", ""))
        asked = seconds_until(headers.get("retry-after"), now)
        if asked is not None or self._left(headers) not in (None, 0):
            # Where requests are left, the time at which there are more isn't what is waited for.
            return asked
        found = (seconds_until(headers.get(name), now) for name in self.reset)
        return next((seconds for seconds in found if seconds is not None), None)

    def error(
        self, status: int, headers: Mapping[str, str], message: str, now: datetime | None = None
    ) -> RateLimited | None:
        """The error for a response that says it, with the code `http.<status>`; None where it doesn't."""
        if not self.met(status, headers):
            return None
        return RateLimited(message, code=f"http.{status}", retryable=True, retry_after=self.wait(headers, now))

    def _left(self, headers: Mapping[str, str]) -> float | None:
        for name in self.remaining:
            value = headers.get(name, "").strip()
            if _digits(value):
                return float(value)
        return None


def seconds_until(value: str | None, now: datetime | None) -> float | None:
    """Seconds that a header asks to wait, at most a day: given as such, as a time since 1970, or as a date.

    None where it can't be read, or is a time and it isn't known what time it is `now`.
    """
    value = (value or "").strip()
    if _digits(value):
        number = float(value)
        if number < _TIMES:
            return min(number, MAX_WAIT)
        since = number / 1000 if number >= _MILLISECONDS else number
        left = None if now is None else since - now.timestamp()
    else:
        at = _date(value)
        left = None if at is None or now is None else (at - now).total_seconds()
    return None if left is None else min(max(left, 0.0), MAX_WAIT)


def _digits(value: str) -> bool:
    whole, _, part = value.partition(".")
    return value.isascii() and whole.isdigit() and (part.isdigit() or part == "") and len(value) <= 20


def _date(value: str) -> datetime | None:
    """An HTTP date, or one of RFC 3339; without a zone it is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(value)
        except (ValueError, TypeError):
            continue
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None


#: Statuses below 500 after which trying again can help.
_RETRYABLE: Final = frozenset({408, 425})
#: Statuses that say more than that a request failed: their errors are of a kind of its own.
_KINDS: Final[Mapping[int, type[StepError]]] = {401: AuthExpired, 503: Unavailable}


def status_error(
    status: int,
    message: str,
    headers: Mapping[str, str],
    now: datetime,
    limits: RateLimits | None = None,
) -> StepError:
    """The error for a response with a status of 400 and above, which came at the time `now`."""
    limited = (limits or RateLimits()).error(status, headers, message, now)
    if limited is not None:
        return limited
    retry_after = seconds_until(headers.get("retry-after"), now)
    kind, retryable = _KINDS.get(status, StepError), status in _RETRYABLE or status >= 500
    return kind(message, code=f"http.{status}", retryable=retryable, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    exact: bool = False
    """Whether `json` gives Decimals: it was asked for by a flow whose numbers are exact."""

    def json(self) -> Any:
        """The content as a JSON value. Raises StepError (`http.body`) where it isn't JSON."""
        try:
            return decode(self.content, exact=self.exact)
        except (ValueError, RecursionError) as error:
            raise StepError(f"the response is not JSON: {error}", code="http.body") from error

    @property
    def text(self) -> str:
        """The content as text, by the charset of its Content-Type, UTF-8 by default."""
        content_type = self.headers.get("content-type", "")
        charset = content_type.rpartition("charset=")[2].strip("\"' ") if "charset=" in content_type else "utf-8"
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")


class StreamedResponse(Protocol):
    """What is coming back. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The content as it arrives, decompressed; as long as the other side makes it."""
        ...

    async def read(self) -> Response:
        """The rest of the content at once. Raises StepError (`http.too_large`) above `max_bytes`."""
        ...


class RequestOptions(TypedDict, total=False):
    """What is said of a request besides its method and URL. It has one body at most."""

    headers: Mapping[str, str] | None
    params: Mapping[str, Any] | None
    """Added to the URL's query. Here and in `form` a list repeats its key, and null is left out."""
    json: JsonValue
    """A body; so is null."""
    form: Mapping[str, Any] | None
    """A body."""
    content: bytes | str | None
    """A body."""
    file: Attachment | None
    """A body, streamed from the blob store."""
    auth: tuple[str, str] | None
    """A user name and a password."""
    timeout: float | None
    """Seconds from the call to the last byte; the server's setting by default."""
    redirects: int
    """How many are followed, 5 by default. With none, a response that redirects is returned as it is."""
    max_bytes: int | None
    """The largest response that is read into memory; the server's setting by default."""
    raise_for_status: bool
    """Whether a status of 400 and above is an error, as it is by default."""
    rate_limits: RateLimits | None
    """How the service says that it wants fewer requests, where it isn't by a 429."""


class HttpClient(Protocol):
    """Pooled, timed and guarded: it reaches no inside address unless the server's settings allow it."""

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and read its response.

        A redirect to another origin keeps no header but those that describe content (`Accept`, `Content-Type`, …):
        credentials and `Idempotency-Key` go no further than where they were meant for.

        Raises StepError. A status of 400 and above: `http.<status>`, of which 408, 425, 429 and 5xx are retryable
        and honour `Retry-After`; 429 also what else says when there are more requests (`RateLimits`). Retryable, too:
        `http.connect` (no connection), `http.tls` (no trust), `http.disconnected` (cut off in between), `http.timeout`;
        these and 503 are `Unavailable`, 429 is `RateLimited`, and 401 `AuthExpired`. Final: `http.egress` (an inside
        address), `http.url`, `http.header`, `http.redirect`, `http.too_large`.
        """
        ...

    def stream(
        self, method: str, url: str, **options: Unpack[RequestOptions]
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """The same, for responses of any length; a status of 400 and above raises here too."""
        ...

    async def get_json(self, url: str, **options: Any) -> Any:
        """GET, and decode the response."""
        ...

    async def post_json(self, url: str, json: JsonValue, **options: Any) -> Any:
        """POST a JSON body, and decode the response."""
        ...
