"""The HTTP client of actions, triggers and schemes (`ctx.http`), and the headers that credentials give."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol, TypeAlias, TypedDict, TypeVar, Unpack

from pydantic import SecretBytes, SecretStr, ValidationError

from hookline.bodies.json import check_room
from hookline.bodies.text import known_charset
from hookline.kernel.errors import AuthExpired, RateLimited, StepError, TooLarge, Unavailable
from hookline.kernel.json import JsonValue, decode
from hookline.kernel.safe_validation import error_text, fail_fast, place_of
from hookline.model.message import Attachment

T = TypeVar("T")

JsonBody: TypeAlias = JsonValue | Mapping[str, object] | Sequence[object]
"""A value that is sent as JSON, such as a `dict[str, str]`. It may have only values that JSON has."""

MAX_WAIT: Final = 86400.0
"""The longest wait that a service can ask for, in seconds."""

#: Larger numbers are times and not waits: seconds since 1970, or milliseconds.
_TIMES: Final = 1_000_000_000
_MILLISECONDS: Final = 1_000_000_000_000


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The statuses and headers with which a service reports its rate limits.

    If a request has `rate_limits=RateLimits(statuses=(403, 429))`, such a response raises `RateLimited`, and the step
    is retried after the time that the service names.
    """

    statuses: tuple[int, ...] = (429,)
    """The statuses of rate limits. Statuses other than 429 need `Retry-After`, or a header that says that no requests
    remain."""
    remaining: tuple[str, ...] = ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining")
    """The headers, in lower case, with the number of requests that remain. The first that exists counts."""
    reset: tuple[str, ...] = ("ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset")
    """The headers, in lower case, with the time of the reset, if there is no `Retry-After`."""

    def met(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return True if a response reports a rate limit. Names of headers are in lower case."""
        if status == 429:
            return True
        return status in self.statuses and ("retry-after" in headers or self._left(headers) == 0)

    def wait(self, headers: Mapping[str, str], now: datetime | None = None) -> float | None:
        """Return the seconds until the reset, at most a day, or None if there is no header for it.

        `now` is the time of the response; the default is its `Date`.
        """
        now = now if now is not None else _date(headers.get("date", ""))
        asked = seconds_until(headers.get("retry-after"), now)
        if asked is not None or self._left(headers) not in (None, 0):
            # If requests remain, the time of the reset is not the time to wait.
            return asked
        found = (seconds_until(headers.get(name), now) for name in self.reset)
        return next((seconds for seconds in found if seconds is not None), None)

    def error(
        self, status: int, headers: Mapping[str, str], message: str, now: datetime | None = None
    ) -> RateLimited | None:
        """Return the error for a response that reports a rate limit, with the code `http.<status>`, or None."""
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
    """Return the seconds to wait of a header, at most a day: a number of seconds, a time since 1970, or a date.

    None if it is invalid, or if it is a time and `now` is None.
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
    """Parse an HTTP date or a date of RFC 3339. Without a time zone it is in UTC."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            at = read(value)
        except (ValueError, TypeError):
            continue
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return None


#: Statuses below 500 that are retryable.
_RETRYABLE: Final = frozenset({408, 425})
#: Statuses that have an error type of their own.
_KINDS: Final[Mapping[int, type[StepError]]] = {401: AuthExpired, 503: Unavailable}


def status_error(
    status: int,
    message: str,
    headers: Mapping[str, str],
    now: datetime,
    limits: RateLimits | None = None,
) -> StepError:
    """Return the error for a response with a status of 400 or more, received at the time `now`."""
    limited = (limits or RateLimits()).error(status, headers, message, now)
    if limited is not None:
        return limited
    retry_after = seconds_until(headers.get("retry-after"), now)
    kind, retryable = _KINDS.get(status, StepError), status in _RETRYABLE or status >= 500
    return kind(message, code=f"http.{status}", retryable=retryable, retry_after=retry_after)


def read_as(kind: type[T], value: object) -> T:
    """Return a value from outside as a model, a dataclass, or a list of them, as `read_as(list[Order], body)`.

    Raises StepError (`http.body`), which names the first place that doesn't fit.
    """
    try:
        made: T = fail_fast(kind).validate_python(value)
        return made
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place, name = place_of(first), getattr(kind, "__name__", str(kind))
        message = f"the response is no {name}: {f'{place}: ' if place else ''}{error_text(first)}"
        raise StepError(message, code="http.body") from None


@dataclass(frozen=True, slots=True)
class Response:
    """A response. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    exact: bool = False
    """True if `json` returns Decimals, because the flow has exact numbers."""

    def json(self) -> Any:
        """Return the content as a JSON value.

        Raises StepError: `http.body` if it isn't JSON, and `http.too_large` if it has more values, digits or exponents
        than the body of a message may have.
        """
        try:
            check_room(self.content, "the response", exact=self.exact)
        except TooLarge as error:
            message = f"{error.message.partition(';')[0]}; ask for less at once, or for a page of it"
            raise StepError(message, code="http.too_large") from None
        try:
            return decode(self.content, exact=self.exact)
        except (ValueError, RecursionError) as error:
            raise StepError(f"the response is not JSON: {error}", code="http.body") from error

    def json_as(self, kind: type[T]) -> T:
        """Return the content as a model, a dataclass, or a list of them. Raises StepError (`http.body`)."""
        return read_as(kind, self.json())

    @property
    def text(self) -> str:
        """The content as text, decoded with the charset of the Content-Type or UTF-8."""
        content_type = self.headers.get("content-type", "")
        named = content_type.rpartition("charset=")[2].strip("\"' ") if "charset=" in content_type else ""
        return self.content.decode(known_charset(named) or "utf-8", "replace")


class StreamedResponse(Protocol):
    """A response that is read as a stream. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the decompressed content as it arrives, without a limit."""
        ...

    async def read(self) -> Response:
        """Return the rest of the content. Raises StepError (`http.too_large`) if it is larger than `max_bytes`."""
        ...


class RequestOptions(TypedDict, total=False):
    """The options of a request. At most one of them is a body."""

    headers: Mapping[str, str] | None
    params: Mapping[str, Any] | None
    """Parameters that are added to the query. In `params` and `form` a list repeats its key, and None is left out."""
    json: JsonBody
    """A JSON body. None is the body `null`."""
    form: Mapping[str, Any] | None
    """A body as a form."""
    content: bytes | str | None
    """A body as it is."""
    file: Attachment | None
    """A body that is streamed from the blob store."""
    auth: tuple[str, str] | None
    """The user and the password of basic authentication."""
    timeout: float | None
    """The seconds from the call to the last byte; the default is the server's setting."""
    redirects: int
    """The number of redirects to follow, 5 by default. With 0, a redirect is returned as it is."""
    max_bytes: int | None
    """The largest response that is read into memory; the default is the server's setting."""
    raise_for_status: bool
    """True, the default, if a status of 400 or more is an error."""
    rate_limits: RateLimits | None
    """The rate limits of the service, if it reports them other than by a 429."""


class HttpClient(Protocol):
    """An HTTP client with a pool and time limits. It reaches no inside address unless the server allows it."""

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and read its response.

        A redirect to another origin keeps only headers that describe content (`Accept`, `Content-Type`, …), so that
        credentials and `Idempotency-Key` are not sent to others.

        Raises StepError. A status of 400 or more has the code `http.<status>`; 408, 425, 429 and 5xx are retryable and
        respect `Retry-After`, and 429 also the other headers of `RateLimits`. Also retryable are `http.connect` (no
        connection), `http.tls` (no trusted connection), `http.disconnected` (a lost connection) and `http.timeout`.
        These and 503 are `Unavailable`, 429 is `RateLimited`, and 401 is `AuthExpired`. Not retryable are `http.egress`
        (an inside address), `http.url`, `http.header`, `http.redirect` and `http.too_large`.
        """
        ...

    def stream(
        self, method: str, url: str, **options: Unpack[RequestOptions]
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Send a request and stream its response, of any length. Raises the same errors as `request`."""
        ...

    async def get_json(self, url: str, **options: Any) -> Any:
        """Send a GET request and return the JSON of the response."""
        ...

    async def post_json(self, url: str, json: JsonBody, **options: Any) -> Any:
        """Send a POST request with a JSON body and return the JSON of the response."""
        ...

    async def get_as(self, kind: type[T], url: str, **options: Any) -> T:
        """Send a GET request and return the response as a model, or a list of models: `get_as(list[Order], url)`.

        Raises StepError (`http.body`) if the response doesn't fit, besides the errors of `request`.
        """
        ...

    async def post_as(self, kind: type[T], url: str, json: JsonBody, **options: Any) -> T:
        """Send a POST request with a JSON body and return the response as a model: see `get_as`."""
        ...

    async def request_as(self, kind: type[T], method: str, url: str, **options: Any) -> T:
        """Send a request and return the response as a model: see `get_as`."""
        ...


class Requests:
    """The methods of an `HttpClient` that follow from its `request`."""

    __slots__ = ()

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """See `HttpClient`."""
        raise NotImplementedError

    async def get_json(self, url: str, **options: Any) -> Any:
        """See `HttpClient`."""
        return (await self.request("GET", url, **options)).json()

    async def post_json(self, url: str, json: JsonBody, **options: Any) -> Any:
        """See `HttpClient`."""
        return (await self.request("POST", url, json=json, **options)).json()

    async def get_as(self, kind: type[T], url: str, **options: Any) -> T:
        """See `HttpClient`."""
        return (await self.request("GET", url, **options)).json_as(kind)

    async def post_as(self, kind: type[T], url: str, json: JsonBody, **options: Any) -> T:
        """See `HttpClient`."""
        return (await self.request("POST", url, json=json, **options)).json_as(kind)

    async def request_as(self, kind: type[T], method: str, url: str, **options: Any) -> T:
        """See `HttpClient`."""
        return (await self.request(method, url, **options)).json_as(kind)


def credential_headers(credential_type: str | None, credential: Any, key_header: str) -> dict[str, str]:
    """Return the headers for a credential of type `bearer`, `basic` or `api-key`; none without a credential.

    Raises ValueError for a credential of another type. A key goes into `key_header`. The models of `bearer` (`token`),
    `basic` (`username`, `password`) and `api-key` (`key`) are a plugin's: they are known by the name of their type. Of
    several secrets in one place, the first is the current one.
    """
    match credential_type:
        case None:
            return {}
        case "bearer":
            return {"Authorization": f"Bearer {_plain(credential.token)}"}
        case "basic":
            pair = f"{_plain(credential.username)}:{_plain(credential.password)}"
            return {"Authorization": "Basic " + b64encode(pair.encode()).decode()}
        case "api-key":
            return {key_header: _plain(credential.key)}
        case _:
            raise ValueError(f"a credential of type {credential_type!r} gives no header by itself")


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = value[0]
    if isinstance(value, SecretStr | SecretBytes):
        value = value.get_secret_value()
    return value.decode() if isinstance(value, bytes) else str(value)
