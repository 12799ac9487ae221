"""Schemes: how a provider signs its webhooks, or else says who it is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from hookline.http import HttpClient

C = TypeVar("C", bound=BaseModel)
S = TypeVar("S", bound=BaseModel)


class NoSettings(BaseModel):
    """A scheme without settings of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a scheme may judge by, besides the body."""

    method: str
    url: str
    """The public URL, query included; built from the server's settings, never from the Host header."""
    headers: Sequence[tuple[str, str]]
    """As received and in order; names in lower case, bytes above 127 decoded as Latin-1."""
    received_at: datetime
    http: HttpClient
    """For what must be fetched to verify: guarded; follow no redirects, and allow-list the host."""

    def header(self, name: str) -> str | None:
        """The one value of a header; None where there is none. Raises NotVerified where there are several."""
        from hookline.errors import NotVerified

        values = [value for key, value in self.headers if key == name]
        if len(values) > 1:
            raise NotVerified
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Verified:
    """A request that holds."""

    dedupe_key: str | None = None
    """The scheme's own id for the message, from what is signed wherever it has any."""


class Check(Protocol):
    """One request's verification: it is fed the body as it arrives, then asked."""

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the body, as on the wire."""
        ...

    async def finish(self) -> Verified:
        """Judge. Raises NotVerified, or CannotVerify where it can't be known now."""
        ...


class Scheme(ABC, Generic[C, S]):
    """A way of verifying requests.

    Total: whatever a sender sends, it is NotVerified, CannotVerify or Verified, and never another error.
    """

    name: ClassVar[str]
    """As in `"verify": {"scheme": "github"}`; also the name of its credential type."""
    title: ClassVar[str]
    credential: ClassVar[type[BaseModel] | None] = None
    """The model of its credential, keys of which may be `SecretStr`; it refuses keys that are empty or short."""
    settings: ClassVar[type[BaseModel]] = NoSettings
    """The model of what `verify` may say besides `scheme` and `credential`."""
    reads_body: ClassVar[bool] = True
    """False: judged by the headers alone, before the body is read."""

    @abstractmethod
    def open(self, request: SignedRequest, credential: C, settings: S) -> Check:
        """Begin to verify a request. Raises NotVerified where the headers already show that it doesn't hold."""

    def secret_headers(self, settings: S) -> frozenset[str]:
        """Lower-case names of headers that hold secrets: their values are masked before anything is stored."""
        return frozenset()

    def sign(self, request: SignedRequest, body: bytes, credential: C, settings: S) -> Sequence[tuple[str, str]]:
        """The headers with which the provider would send this body: for trying a flow without the provider.

        Raises NotImplementedError where only the provider can sign.
        """
        raise NotImplementedError
