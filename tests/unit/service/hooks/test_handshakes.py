"""Handshakes: what a scheme answers itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.errors import NotVerified
from hookline.sdk.schemes import NoSettings, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline.service.uploads.body_stream import IN_MEMORY
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Key(BaseModel):
    secret: str


def signed(scheme: Scheme[Any, Any], **settings: Any) -> HookOverMemory:
    flow = webhook_flow(scheme=scheme, credential="key", **settings)
    return HookOverMemory(flow, credentials={"key": (scheme.name, Key(secret="}"))})


class Greeted(Scheme[Key, NoSettings]):
    """A POST holds where its body ends with the secret; a GET asks, and names the secret itself."""

    name = "greeted"
    title = "Greeted"
    credential = Key
    handshake_methods = frozenset({"GET"})

    def __init__(self, answer: WebhookResponse | None) -> None:
        self.answer = answer

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> RequestVerifier:
        if request.method == "GET" and request.parameter("token") != credential.secret:
            raise NotVerified
        return _Greeting(None if request.method == "GET" else credential.secret.encode(), self.answer)


class _Greeting:
    def __init__(self, last: bytes | None, answer: WebhookResponse | None) -> None:
        self._last = last
        self._answer = answer
        self._seen = b""

    def feed(self, chunk: bytes) -> None:
        self._seen = chunk[-1:]

    async def finish(self) -> Verified:
        if self._last is not None and self._seen != self._last:
            raise NotVerified
        return Verified("evt-1", self._answer)


@pytest.mark.rule(4)
async def test_a_handshake_is_answered_once_the_signature_holds_and_before_the_body_is_parsed() -> None:
    hook = signed(Greeted(WebhookResponse(202, b"hello", "text/plain", [("X-Greeting", "yes")])))
    rejected = await hook.send(b"not JSON")
    assert rejected.status == 401
    reply = await hook.send(b"not JSON}")
    assert (reply.status, reply.body) == (202, b"hello")
    assert dict(reply.headers) == {
        b"x-greeting": b"yes",
        b"content-type": b"text/plain",
    }
    assert hook.intake.accepted == []


async def test_a_handshake_leaves_no_blob_of_a_large_body() -> None:
    hook = signed(Greeted(WebhookResponse()))
    assert (await hook.send(b"x" * (IN_MEMORY + 1) + b"}")).status == 200
    assert (hook.memory_blobs.kept, hook.memory_blobs.open_writers) == ({}, 0)


async def test_a_scheme_may_answer_methods_that_the_flow_does_not_take() -> None:
    hook = signed(Greeted(WebhookResponse(200, b"c")))
    assert (await hook.send(method="GET", query=b"token=%7D", content_type=None)).body == b"c"
    assert (await hook.send(method="GET", query=b"token=x", content_type=None)).status == 401
    assert (await hook.send(b"{}", method="PUT")).status == 405
    silent = signed(Greeted(None))
    reply = await silent.send(method="GET", query=b"token=%7D", content_type=None)
    assert (reply.status, dict(reply.headers)[b"allow"]) == (405, b"POST, HEAD, OPTIONS")
    assert silent.intake.accepted == []


@pytest.mark.rule(4)
async def test_what_is_no_handshake_is_405_before_anything_is_verified() -> None:
    class Named(Greeted):
        handshake_parameter = "token"

    hook = signed(Named(WebhookResponse(200, b"c")), client_rate="1/h")
    for query in (b"", b"tokens=%7D", b"a=token", b"%FF&b"):
        reply = await hook.send(method="GET", query=query, content_type=None)
        assert (reply.status, dict(reply.headers)[b"allow"]) == (405, b"POST, HEAD, OPTIONS")
    assert (await hook.send(method="GET", query=b"a&%74oken=%7D", content_type=None)).body == b"c"
    taking = signed(Named(None), methods=("GET", "POST"))
    assert (await taking.send(method="GET", query=b"a=1", content_type=None)).status == 401


@pytest.mark.parametrize(
    ("name", "query"), [("meta", b"hub.mode=subscribe"), ("dropbox", b"challenge="), ("slack", b"ssl_check=0")]
)
async def test_who_opens_the_hook_of_a_provider_in_a_browser_learns_which_methods_it_takes(
    name: str, query: bytes
) -> None:
    scheme = load_plugins().schemes[name]
    assert scheme.credential is not None
    secrets = {"secret": "s" * 32} | ({"verify_token": "t" * 16} if name == "meta" else {})
    flow = webhook_flow(scheme=scheme, credential="key")
    hook = HookOverMemory(flow, credentials={"key": (name, scheme.credential.model_validate(secrets))})
    assert (await hook.send(method="GET", query=b"utm=x", content_type=None)).status == 405
    assert (await hook.send(method="GET", query=query, content_type=None)).status == 401


async def test_a_handshake_method_that_the_flow_takes_too_may_start_it() -> None:
    hook = signed(Greeted(None), methods=("GET", "POST"))
    assert (await hook.send(method="GET", query=b"token=%7D", content_type=None)).status == 202


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 199},
        {"status": 600},
        {"media_type": "text/plain\r\nset-cookie: a=b"},
        {"headers": [("x-echo", "a\nb")]},
        {"headers": [("x echo", "a")]},
        {"headers": [("x-echo", "\u20ac")]},
    ],
)
def test_an_answer_that_http_cannot_carry_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a response"):
        WebhookResponse(**wrong)


@pytest.mark.parametrize(
    ("query", "value"),
    [("", None), ("a=1", "1"), ("b=2&a=x%20y+z&c", "x y z"), ("a", ""), ("%61=%C3%A9", "é"), ("A=1", None)],
)
def test_a_parameter_of_the_query_is_decoded(query: str, value: str | None) -> None:
    assert _asked(query).query == query
    assert _asked(query).parameter("a") == value


@pytest.mark.parametrize("query", ["a=1&a=1", "a=1&b&%61=2", "a=%FF", "%FF=1&a=1"])
def test_a_parameter_that_repeats_or_cannot_be_read_is_not_verified(query: str) -> None:
    with pytest.raises(NotVerified):
        _asked(query).parameter("a")


def _asked(query: str) -> SignedRequest:
    url = "https://h.example/hook/a" + (f"?{query}" if query else "")
    return SignedRequest("GET", url, (), NOW, None)  # type: ignore[arg-type] # fetches nothing


class Persistent(Greeted):
    """Its provider tries again for ten days."""

    retries_for = timedelta(days=10)


@pytest.mark.rule(9)
@pytest.mark.parametrize(
    ("scheme", "window", "days"),
    [(Persistent(None), "1h", 10), (Persistent(None), "11d", 11), (Greeted(None), "1h", 1 / 24)],
)
async def test_a_key_is_kept_no_shorter_than_the_provider_tries_again(
    scheme: Greeted, window: str, days: float
) -> None:
    hook = signed(scheme, dedupe_window=window)
    assert (await hook.send(b"{}")).status == 202
    (envelope,) = hook.intake.accepted
    assert envelope.dedupe_until == envelope.accepted_at + timedelta(days=days)
