"""Schemes for tests of the hook, and how its answers are read."""

import json
from typing import Any

from pydantic import BaseModel

from hookline.kernel.errors import NotVerified
from hookline.sdk.schemes import NoSettings, RequestVerifier, Scheme, SignedRequest, Verified
from hookline.service.hook_request_and_response import HookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow


class Key(BaseModel):
    secret: str


class LastByte(Scheme[Key, NoSettings]):
    """Holds where the body ends with the secret."""

    name = "last-byte"
    title = "Last byte"
    credential = Key

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.seen: SignedRequest | None = None

    def secret_headers(self, settings: NoSettings) -> frozenset[str]:
        return frozenset({"x-secret"})

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> RequestVerifier:
        self.seen = request
        if request.header("x-reject") is not None:
            raise NotVerified("the header rejects")
        return _LastByte(credential.secret.encode(), self.key)


class _LastByte:
    def __init__(self, secret: bytes, key: str | None) -> None:
        self._secret = secret
        self._key = key
        self._last = b""

    def feed(self, chunk: bytes) -> None:
        self._last = chunk[-1:]

    async def finish(self) -> Verified:
        if self._last != self._secret:
            raise NotVerified("the last byte is wrong")
        return Verified(self._key)


class HeaderOnly(LastByte):
    name = "header-only"
    reads_body = False

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> RequestVerifier:
        return _Header(request.header("x-secret") == credential.secret)


class _Header:
    def __init__(self, holds: bool) -> None:
        self._holds = holds

    def feed(self, chunk: bytes) -> None:
        raise AssertionError("a header-only scheme isn't fed")

    async def finish(self) -> Verified:
        if not self._holds:
            raise NotVerified
        return Verified()


class Unread:
    """A body that nobody may read."""

    def __aiter__(self) -> "Unread":
        return self

    async def __anext__(self) -> bytes:
        raise AssertionError("the body is read")


def signed(scheme: Scheme[Any, Any], **settings: Any) -> HookOverMemory:
    flow = webhook_flow(scheme=scheme, credential="key", **settings)
    return HookOverMemory(flow, credentials={"key": (scheme.name, Key(secret="}"))})


def document(reply: HookResponse) -> dict[str, Any]:
    headers = dict(reply.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    value: dict[str, Any] = json.loads(reply.body)
    assert {"type", "title", "status", "detail", "code"} <= value.keys()
    assert value["status"] == reply.status
    assert value["type"] == f"/problems/{value['code']}"
    return value
