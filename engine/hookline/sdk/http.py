"""The HTTP client that actions and schemes are given (`ctx.http`)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypedDict, Unpack

from hookline.kernel.errors import AuthExpired, StepError, Unavailable
from hookline.kernel.json import JsonValue, decode
from hookline.model.message import Attachment
from hookline.sdk.merge_rate_limits import RateLimits, seconds_until

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
