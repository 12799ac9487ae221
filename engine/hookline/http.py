"""The HTTP client that actions and schemes are given (`ctx.http`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hookline.jsontypes import JsonValue
from hookline.model.message import Attachment


@dataclass(frozen=True, slots=True)
class Response:
    """What came back. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The content as a JSON value. Raises StepError (`http.body`) where it isn't JSON."""
        from hookline.errors import StepError
        from hookline.jsontypes import decode

        try:
            return decode(self.content)
        except ValueError as error:
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

        `timeout` and `max_bytes` have the server's defaults. A status of 400 and above raises StepError with code
        `http.<status>`; 408, 425, 429 and 5xx are retryable, and honour `Retry-After`. A failure to connect is
        `http.connect`, a timeout `http.timeout` (both retryable), a refused address `http.egress`.
        A redirect to another origin drops credentials and `Idempotency-Key`.
        """
        ...

    async def get_json(self, url: str, **options: Any) -> Any:
        """GET, and decode the response."""
        ...

    async def post_json(self, url: str, json: JsonValue, **options: Any) -> Any:
        """POST a JSON body, and decode the response."""
        ...
