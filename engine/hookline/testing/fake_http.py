"""HTTP without a network: answers that a test gives, or that were recorded from the real service."""

import base64
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec

from hookline.kernel.clocks import SystemClock
from hookline.kernel.errors import StepError
from hookline.kernel.json import JsonValue, decode, encode
from hookline.outbound.outgoing_request import outgoing
from hookline.sdk.http_client import HttpClient, Requests, Response, StreamedResponse
from hookline.sdk.response_errors import status_error
from hookline.secrets.masking import HiddenValues

#: Headers of responses that are of the moment, or a secret.
_DROPPED = frozenset({"set-cookie", "date", "server", "connection", "content-encoding", "transfer-encoding"})


class FakeRequest(msgspec.Struct, frozen=True):
    """A request, without its headers: what is secret stands there."""

    method: str
    url: str
    body: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.url} {self.body}".rstrip()


class FakeResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """A response; its content is text, or base64 where it is none."""

    status: int = 200
    headers: dict[str, str] = {}
    text: str | None = None
    base64: str | None = None

    def response(self) -> Response:
        """The response as an action gets it."""
        content = base64.b64decode(self.base64) if self.base64 is not None else (self.text or "").encode()
        return Response(self.status, self.headers, content)


class CassetteEntry(msgspec.Struct, frozen=True):
    """A request and its response."""

    request: FakeRequest
    response: FakeResponse


class FakeHttp(Requests):
    """An `HttpClient` that answers as it was told; a request of which nobody told fails, naming the nearest one.

    Of several answers to one request each is given once, in order, and the last again and again.
    """

    def __init__(self) -> None:
        self.requests: list[FakeRequest] = []
        """The requests so far, with secrets masked."""
        self._entries: list[CassetteEntry] = []
        self._given: dict[FakeRequest, int] = {}
        self._hidden = HiddenValues()
        self._clock = SystemClock()

    def hide(self, secrets: Iterable[str]) -> None:
        """Show these values nowhere."""
        for secret in secrets:
            self._hidden.add(secret)

    def answers(
        self,
        method: str,
        url: str,
        json: JsonValue = None,
        *,
        sent: Any = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer a request with JSON; `sent`: the JSON body that it has."""
        asked = FakeRequest(method, url, "" if sent is None else encode(sent).decode())
        text = encode(json).decode()
        self._entries.append(
            CassetteEntry(asked, FakeResponse(status, {"content-type": "application/json", **(headers or {})}, text))
        )

    async def request(self, method: str, url: str, **options: Any) -> Response:
        """See `HttpClient`."""
        raises, limits = options.pop("raise_for_status", True), options.pop("rate_limits", None)
        asked = self._asked(method, url, options)
        self.requests.append(asked)
        response = (await self._answer(asked, method, url, options)).response()
        if raises and response.status >= 400:
            raise status_error(
                response.status,
                f"{method} {asked.url} answered {response.status}: {self._hidden.mask_text(response.text)[:500]}",
                {name.lower(): value for name, value in response.headers.items()},
                self._clock.now(),
                limits,
            )
        return response

    @asynccontextmanager
    async def stream(self, method: str, url: str, **options: Any) -> AsyncIterator[StreamedResponse]:
        """See `HttpClient`."""
        yield _Whole(await self.request(method, url, **options))

    async def _answer(self, asked: FakeRequest, method: str, url: str, options: Mapping[str, Any]) -> FakeResponse:
        # An answer that was told without a body is one to whatever is sent.
        found = [
            entry.response
            for entry in self._entries
            if entry.request in (asked, msgspec.structs.replace(asked, body=""))
        ]
        if not found:
            raise NotRecorded(asked, [entry.request for entry in self._entries])
        place = self._given.get(asked, 0)
        self._given[asked] = place + 1
        return found[min(place, len(found) - 1)]

    def _asked(self, method: str, url: str, options: Mapping[str, Any]) -> FakeRequest:
        kept = {key: value for key, value in options.items() if key in ("params", "json", "form", "content")}
        sent = outgoing(method, url, **kept)
        body = sent.body if isinstance(sent.body, bytes) else b""
        text = body.decode("utf-8", "replace")
        return FakeRequest(sent.method, self._hidden.mask_text(str(sent.url)), self._hidden.mask_text(text))


class NotRecorded(AssertionError):
    """A test's request has no answer. It is no error of the service, and no action should take it for one."""

    def __init__(self, asked: FakeRequest, known: Iterable[FakeRequest]) -> None:
        nearest = max(known, key=lambda one: SequenceMatcher(None, str(one), str(asked)).ratio(), default=None)
        hint = "there is none at all" if nearest is None else f"the nearest is\n  {nearest}"
        super().__init__(f"there is no answer to\n  {asked}\n{hint}")


class Cassette(FakeHttp):
    """Answers of the real service, kept in a file: recorded where there is no file yet, and replayed from then on.

    `real` sends what is recorded. Requests' headers aren't kept, and a credential's secrets are masked:
    in what an action gets while it is recorded, too, so that it gets the same each time.
    """

    def __init__(self, path: Path, real: HttpClient) -> None:
        super().__init__()
        self.recording = not path.exists()
        self._path = path
        self._real = real
        if not self.recording:
            self._entries = msgspec.json.decode(path.read_bytes(), type=list[CassetteEntry])

    async def _answer(self, asked: FakeRequest, method: str, url: str, options: Mapping[str, Any]) -> FakeResponse:
        if not self.recording:
            return await super()._answer(asked, method, url, options)
        real = await self._real.request(method, url, raise_for_status=False, **options)
        headers = {name: self._hidden.mask_text(value) for name, value in real.headers.items() if name not in _DROPPED}
        try:
            answered = FakeResponse(real.status, headers, self._hidden.mask_text(real.content.decode()))
        except UnicodeDecodeError:
            answered = FakeResponse(real.status, headers, base64=base64.b64encode(real.content).decode())
        self._entries.append(CassetteEntry(asked, answered))
        return answered

    def save(self) -> None:
        """Write what was recorded, where something was."""
        if self.recording and self._entries:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(msgspec.json.format(encode(decode(msgspec.json.encode(self._entries)))) + b"\n")


class _Whole:
    """A response as if it came bit by bit."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._response.content

    async def read(self) -> Response:
        return self._response


class FailingHttp(FakeHttp):
    """Fails each request in one way."""

    def __init__(self, error: StepError) -> None:
        super().__init__()
        self._error = error

    async def _answer(self, asked: FakeRequest, method: str, url: str, options: Mapping[str, Any]) -> FakeResponse:
        raise self._error
