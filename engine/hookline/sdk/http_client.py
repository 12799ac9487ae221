"""The HTTP client of actions, triggers and schemes (`ctx.http`)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from hookline.bodies.json import check_room
from hookline.bodies.text import known_charset
from hookline.kernel.errors import StepError, TooLarge
from hookline.kernel.json import JsonValue, decode
from hookline.kernel.plugin_model_validation import error_text, fail_fast, place_of
from hookline.model.message import Attachment
from hookline.sdk.response_errors import RateLimits

T = TypeVar("T")

JsonBody: TypeAlias = JsonValue | Mapping[str, object] | Sequence[object]
"""A value that is sent as JSON, such as a `dict[str, str]`. It may have only values that JSON has."""


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
