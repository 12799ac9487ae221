"""The HTTP client that actions and schemes are given (`ctx.http`)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hookline.errors import StepError
from hookline.jsontypes import JsonValue, decode
from hookline.model.message import Attachment


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The content as a JSON value. Raises StepError (`http.body`) where it isn't JSON."""
        try:
            return decode(self.content)
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


class HttpClient(Protocol):
    """Pooled, timed and guarded: it reaches no inside address unless the server's settings allow it."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: JsonValue = ...,
        form: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
        file: Attachment | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        redirects: int = 5,
        max_bytes: int | None = None,
        raise_for_status: bool = True,
    ) -> Response:
        """Send a request and read its response.

        `params` are added to the URL's query; in `params` and `form` a list repeats its key and null is left out.
        `file` is streamed from the blob store. `auth` is a user name and a password. `timeout` is in seconds and
        counts from the call to the last byte; it and `max_bytes` have the server's defaults. With no redirects, a
        response that redirects is returned as it is.

        A redirect to another origin keeps no header but those that describe content (`Accept`, `Content-Type`, …):
        credentials and `Idempotency-Key` go no further than where they were meant for.

        Raises StepError. A status of 400 and above: `http.<status>`, of which 408, 425, 429 and 5xx are retryable
        and honour `Retry-After`. Retryable, too: `http.connect` (no connection), `http.tls` (no trust),
        `http.disconnected` (cut off in between), `http.timeout`. Final: `http.egress` (an inside address),
        `http.url`, `http.header`, `http.redirect`, `http.too_large`.
        """
        ...

    def stream(
        self,
        method: str,
        url: str,
        *,
        max_bytes: int | None = None,
        timeout: float | None = None,
        redirects: int = 5,
        raise_for_status: bool = True,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        json: JsonValue = ...,
        form: Mapping[str, Any] | None = None,
        content: bytes | str | None = None,
        file: Attachment | None = None,
        auth: tuple[str, str] | None = None,
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """The same, for responses of any length; a status of 400 and above raises here too."""
        ...

    async def get_json(self, url: str, **options: Any) -> Any:
        """GET, and decode the response."""
        ...

    async def post_json(self, url: str, json: JsonValue, **options: Any) -> Any:
        """POST a JSON body, and decode the response."""
        ...
