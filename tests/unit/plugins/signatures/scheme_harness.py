"""One request, put before a scheme."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from hookline.api import Response, Scheme, SignedRequest, Verified

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECONDS = str(int(NOW.timestamp()))
URL = "https://hooks.example/hook/shop"


@dataclass
class Network:
    """Answers with what it holds under a URL; an error is raised."""

    files: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    async def request(self, method: str, url: str, **options: Any) -> Response:
        self.asked.append((method, url, options))
        found = self.files[url]
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Response) else Response(200, {}, found)


@dataclass
class SchemeHarness:
    """A scheme with one credential and its settings."""

    scheme: Scheme[Any, Any]
    credential: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    network: Network = field(default_factory=Network)

    async def __call__(
        self,
        headers: Mapping[str, str] | Sequence[tuple[str, str]],
        body: bytes = b"",
        *,
        url: str = URL,
        method: str = "POST",
        at: datetime = NOW,
    ) -> Verified:
        """Verify a request; its body comes in two pieces."""
        check = self.scheme.open(self._request(headers, url, method, at), self._credential(), self._settings())
        for chunk in (body[:7], body[7:]):
            check.feed(chunk)
        return await check.finish()

    def sign(
        self, body: bytes, *, url: str = URL, at: datetime = NOW, headers: Sequence[tuple[str, str]] = ()
    ) -> dict[str, str]:
        """The headers that the scheme itself makes."""
        request = self._request(headers, url, "POST", at)
        return dict(self.scheme.sign(request, body, self._credential(), self._settings()))

    def complete(self, body: bytes, *, at: datetime = NOW) -> bytes:
        """The body with what the provider puts into it."""
        request = self._request((), URL, "POST", at)
        return self.scheme.complete(request, body, self._credential(), self._settings())

    def _request(self, headers: Any, url: str, method: str, at: datetime) -> SignedRequest:
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        return SignedRequest(method, url, pairs, at, self.network)  # type: ignore[arg-type] # has what is used

    def _credential(self) -> BaseModel | None:
        model = self.scheme.credential
        return None if model is None or self.credential is None else model.model_validate(self.credential)

    def _settings(self) -> BaseModel:
        return self.scheme.settings.model_validate(self.settings)
