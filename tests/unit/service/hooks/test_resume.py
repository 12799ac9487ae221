"""Calls to the URL of a step that waits: what is taken, what is rejected, and what nobody gets to know."""

import hashlib
import hmac
import uuid
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.service.hooks.hook_harness import HeaderOnly, Key, LastByte, Unread, document
from tests.unit.service.hooks.waiting_harness import EXECUTION, TOKEN, answer, call, came, header, waiting

from hookline.intake.callbacks import Callbacks
from hookline.kernel.errors import StoreError
from hookline.sdk.schemes import NoSettings, RequestVerifier, SignedRequest, Verified, WebhookResponse
from hookline.secrets.encryption import Vault
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.service.hook_request_and_response import HookRequest
from hookline.service.hooks.callbacks import CallbackHandler
from hookline.service.hooks.resume import ResumeEndpoint
from hookline.storage.change_declarations import NotWaiting, TooManyEarlyCallbacks
from hookline.testing.hook_over_memory import HookOverMemory

FORM = "application/x-www-form-urlencoded"


async def test_a_call_is_accepted_once_it_is_durable_and_says_for_which_step() -> None:
    hook = waiting()
    reply = await call(hook, b'{"ok": true}', headers=[(b"x-by", b"Ann")], query=b"a=1")
    said = {"execution_id": EXECUTION, "flow_id": "orders", "step": "approve", "status": "accepted"}
    assert answer(reply) == (202, said)
    assert header(reply, b"hookline-execution-id") == EXECUTION.encode()
    (callback,) = hook.callbacks.called
    assert (callback.execution_id, callback.path, callback.key) == (EXECUTION, "route/approve", None)
    assert (callback.flow_id, callback.step_id, callback.until) == ("orders", "approve", None)
    kept = came(hook)
    assert kept.message(exact=False).body == {"ok": True}
    assert (kept.headers["x-by"], kept.query, kept.method, kept.client) == ("Ann", {"a": "1"}, "POST", "192.0.2.1")
    assert hook.intake.accepted == [], "it starts nothing"


@pytest.mark.rule(29)
async def test_an_identical_call_is_a_duplicate_and_any_other_a_conflict() -> None:
    hook = waiting()
    await call(hook, b'{"ok": true}')
    reply = await call(hook, b'{"ok": true}')
    assert (reply.status, answer(reply)[1]["status"]) == (200, "duplicate")
    rejected = document(await call(hook, b'{"ok": false}'))
    assert (rejected["status"], rejected["code"]) == (409, "request.called_already")
    assert len(hook.callbacks.called) == 1


async def test_a_call_is_known_again_by_what_it_brings_and_not_by_its_headers() -> None:
    hook = waiting()
    await call(hook, headers=[(b"date", b"Mon"), (b"x-request-id", b"1")])
    assert (await call(hook, headers=[(b"date", b"Tue"), (b"x-request-id", b"2")])).status == 200
    assert (await call(hook, query=b"decision=no")).status == 409
    assert (await call(hook, b"{}", "application/octet-stream")).status == 409


@pytest.mark.rule(38)
async def test_a_page_doesnt_say_that_nothing_was_recorded_if_that_isnt_known() -> None:
    hook = waiting()
    for in_doubt, said in (
        (False, b"Nothing was recorded"),
        (True, b"It isn&#x27;t known whether your answer was recorded"),
    ):
        hook.callbacks.failure = StoreError("silent", in_doubt=in_doubt)
        reply = await call(hook, b"", None, headers=((b"accept", b"text/html"),))
        assert reply.status == 503
        assert said in reply.body, reply.body


async def test_a_call_with_the_providers_own_id_is_known_by_that() -> None:
    hook = waiting(scheme=LastByte("delivery-1"))
    assert (await call(hook, b'{"try": 1}')).status == 202
    assert (await call(hook, b'{"try": 2}')).status == 200


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (NotWaiting(), 410, "request.wait_over"),
        (TooManyEarlyCallbacks(), 429, "request.too_many"),
        (StoreError("full"), 503, "request.unavailable"),
        (StoreError("silent", in_doubt=True), 503, "request.possibly_stored"),
        (RuntimeError("a defect"), 503, "request.unavailable"),
    ],
)
async def test_what_the_store_decides_is_what_the_caller_is_told(outcome: Any, status: int, code: str) -> None:
    hook = waiting()
    if isinstance(outcome, Exception):
        hook.callbacks.failure = outcome
    else:
        hook.callbacks.outcome = outcome
    reply = await call(hook, b"abc", "application/octet-stream")
    rejected = document(reply)
    assert (rejected["status"], rejected["code"]) == (status, code)
    assert (header(reply, b"retry-after") is not None) == (status in (429, 503))
    # Where it isn't known whether the call was stored, its file is left to the sweeper.
    assert bool(hook.memory_blobs.kept) == isinstance(outcome, Exception)


async def test_a_step_may_say_what_its_caller_is_told() -> None:
    hook = waiting(accepted={"status": 201, "body": "thank you", "headers": {"X-A": "b"}})
    for _ in range(2):
        reply = await call(hook)
        assert (reply.status, reply.body, header(reply, b"x-a")) == (201, b"thank you", b"b")
        assert header(reply, b"hookline-execution-id") == EXECUTION.encode()


async def test_a_file_is_an_attachment_of_the_message_that_resumes() -> None:
    hook = waiting()
    assert (await call(hook, b"%PDF-1.7", "application/pdf")).status == 202
    (attachment,) = came(hook).attachments
    assert (attachment.type, attachment.size) == ("application/pdf", 8)
    assert hook.callbacks.called[0].blob_ids == (attachment.id,)
    assert hook.memory_blobs.kept == {attachment.id: b"%PDF-1.7"}
    for data, status in ((b"%PDF-1.7", 200), (b"other", 409)):
        assert (await call(hook, data, "application/pdf")).status == status
        assert list(hook.memory_blobs.kept) == [attachment.id], "what isn't accepted is swept"


# --- What runs nothing -----------------------------------------------------------------------------------------------


async def test_head_says_that_the_url_is_known_and_runs_nothing() -> None:
    hook = waiting()
    reply = await call(hook, b"", None, method="HEAD")
    assert (reply.status, reply.body, hook.callbacks.called) == (200, b"", [])


@pytest.mark.rule(29)
async def test_a_get_shows_a_page_that_asks_and_runs_nothing() -> None:
    hook = waiting(title='Pay <b>&"Ann"</b>')
    reply = await call(hook, b"", None, method="GET")
    assert (reply.status, header(reply, b"content-type"), hook.callbacks.called) == (
        200,
        b"text/html; charset=utf-8",
        [],
    )
    text = reply.body.decode()
    assert "Pay &lt;b&gt;&amp;&quot;Ann&quot;&lt;/b&gt;" in text
    assert "<strong>approve</strong>" in text
    assert '<form method="post">' in text
    assert "<script" not in text
    assert EXECUTION not in text
    assert TOKEN not in text
    policy = header(reply, b"content-security-policy") or b""
    assert b"default-src 'none'" in policy
    assert b"frame-ancestors 'none'" in policy
    assert (header(reply, b"referrer-policy"), header(reply, b"cache-control")) == (b"no-referrer", b"no-store")


async def test_the_form_of_that_page_is_a_call() -> None:
    hook = waiting()
    assert (await call(hook, b"", FORM)).status == 202
    assert came(hook).message(exact=False).body in (None, {})


@pytest.mark.parametrize(
    "settings", [{"scheme": LastByte()}, {"methods": ["PUT"]}, {"media_types": ["application/json"]}]
)
async def test_a_page_whose_form_would_be_rejected_has_none(settings: dict[str, Any]) -> None:
    reply = await call(waiting(**settings), b"", None, method="GET")
    assert reply.status == 200
    assert b"<form" not in reply.body


async def test_once_the_execution_has_ended_there_is_no_page() -> None:
    assert document(await call(waiting(over=True), b"", None, method="GET"))["code"] == "request.wait_over"


async def test_a_method_that_the_step_does_not_take_is_rejected() -> None:
    hook = waiting()
    reply = await call(hook, method="DELETE")
    assert (reply.status, header(reply, b"allow")) == (405, b"POST, HEAD, OPTIONS")
    assert (await call(waiting(methods=["PUT"]), method="PUT")).status == 202


# --- What is rejected -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "OPTIONS", "DELETE"])
async def test_an_unknown_token_is_rejected_before_anything_else(method: str) -> None:
    hook = waiting()
    request = HookRequest(
        method, "no-token", b"/resume/no-token", b"", [(b"content-length", b"999999999999")], Unread(), "192.0.2.1"
    )
    rejected = document(await hook.endpoints.resume.handle(request))
    assert (rejected["status"], rejected["code"]) == (404, "request.token_unknown")


@pytest.mark.parametrize(
    ("settings", "sent", "status"),
    [
        ({"max_body": 3}, {"body": b"[1,2,3]"}, 413),
        ({"client_rate": "1/h"}, {"method": "GET"}, 429),
        ({"media_types": ["application/json"]}, {"content_type": "text/plain"}, 415),
        ({"allow_from": ["198.51.100.0/24"]}, {}, 401),
        ({"allow_from": ["198.51.100.0/24"]}, {"method": "GET", "body": b""}, 401),
        ({}, {"body": b"{"}, 400),
        ({"scheme": LastByte()}, {"body": b"[1]"}, 401),
    ],
)
async def test_what_a_trigger_rejects_a_step_rejects(
    settings: dict[str, Any], sent: dict[str, Any], status: int
) -> None:
    hook = waiting(**settings)
    if "client_rate" in settings:
        assert (await call(hook, b"", None, **sent)).status == 200
        sent["body"] = b""
    assert (await call(hook, **sent)).status == status
    assert (hook.callbacks.called, hook.memory_blobs.kept) == ([], {})
    assert hook.metrics[-1][0] == "orders"


async def test_no_token_is_recorded_of_a_request_that_is_rejected() -> None:
    hook = waiting(keep_rejected_bodies=True)
    await call(hook, b"{")
    await hook.send(b"{}", path=f"{TOKEN}x", resume=True)
    assert [one["flow_id"] for one in hook.rejections] == ["orders", "-"]
    assert hook.rejections[0]["path"] == "/resume/… (route/approve)"
    assert TOKEN not in str(hook.rejections)


async def test_what_the_scheme_declares_secret_is_never_stored() -> None:
    hook = waiting(scheme=HeaderOnly())
    assert (await call(hook, headers=[(b"x-secret", b"}")])).status == 202
    assert came(hook).headers["x-secret"] == "***"
    assert b'"}"' not in hook.callbacks.called[0].payload
    assert came(hook).verified_by == "header-only"


class ShakesHands(LastByte):
    """Answers a request that brings a challenge."""

    handshake_methods = frozenset({"GET"})
    reads_body = False

    def open(self, request: SignedRequest, credential: Key, settings: NoSettings) -> RequestVerifier:
        return _Challenge(request.url.partition("challenge=")[2])


class _Challenge:
    def __init__(self, challenge: str) -> None:
        self._challenge = challenge

    def feed(self, chunk: bytes) -> None:
        raise AssertionError("a header-only scheme isn't fed")

    async def finish(self) -> Verified:
        return Verified(
            response=WebhookResponse(200, self._challenge.encode(), "text/plain") if self._challenge else None
        )


async def test_a_handshake_is_answered_as_a_trigger_would() -> None:
    hook = waiting(scheme=ShakesHands("x"))
    reply = await call(hook, b"", None, method="GET", query=b"challenge=42")
    assert (reply.status, reply.body, hook.callbacks.called) == (200, b"42", [])
    assert b"<html" in (await call(hook, b"", None, method="GET")).body
    assert (await call(hook)).status == 202


async def test_pages_of_other_origins_may_call_where_the_step_lets_them() -> None:
    origin = [(b"origin", b"https://shop.example")]
    hook = waiting(cors={"origins": ["https://shop.example"]})
    for sent in ({}, {"body": b"{"}):
        assert header(await call(hook, headers=origin, **sent), b"access-control-allow-origin") == origin[0][1]
    asked = [*origin, (b"access-control-request-method", b"POST")]
    assert (await call(hook, b"", None, method="OPTIONS", headers=asked)).status == 204
    assert header(await call(waiting(), headers=origin), b"access-control-allow-origin") is None


# --- Any token -------------------------------------------------------------------------------------------------------

TOKENS = ResumeTokens([b"k" * 32], Vault([b"k" * 32]))
REAL = TOKENS.make(EXECUTION, "lines[3]/approve")


class _Empty:
    async def execution(self, _: str) -> None:
        return None


async def status_of(token: str) -> int:
    """What a token gets where tokens are real, and there is no execution."""
    hook = HookOverMemory()
    steps = Callbacks(_Empty(), None, None, TOKENS, hook.redaction, lambda: True)  # type: ignore[arg-type]  # the rest isn't reached
    receiver = hook.endpoints.receiver
    handler = CallbackHandler(
        waiting=steps, receiver=receiver, redaction=hook.redaction, clock=hook.clock, ids=hook.ids
    )
    resume = ResumeEndpoint(waiting=steps, callbacks=handler, receiver=receiver, rejections=hook.endpoints.rejections)
    raw = b"/resume/" + token.encode("utf-8", "replace")
    return (await resume.handle(HookRequest("POST", token, raw, b"", [], Unread(), "192.0.2.1"))).status


mutated = st.builds(
    lambda at, character, length: (REAL[:at] + character + REAL[at + 1 :])[:length],
    st.integers(0, len(REAL) - 1),
    st.characters(),
    st.integers(0, len(REAL)),
)


@given(
    st.one_of(
        st.text(), st.text(alphabet="ABCabc012-_="), mutated, st.binary().map(lambda data: data.decode("latin-1"))
    )
)
async def test_whatever_stands_in_place_of_a_token_is_unknown_and_never_a_fault(token: str) -> None:
    assert TOKENS.read(token) is None or token == REAL
    assert await status_of(token) == 404


@pytest.mark.cluster_rule("C13")
async def test_a_token_whose_key_is_not_here_is_unavailable_and_not_unknown() -> None:
    other = Vault([b"o" * 32])
    token = ResumeTokens([b"o" * 32], other).make(EXECUTION, "approve")
    assert await status_of(token) == 404
    TOKENS.known = other.ids
    try:
        assert await status_of(token) == 503
    finally:
        TOKENS.known = ()


def test_tokens_of_earlier_releases_are_read() -> None:
    key = hmac.digest(b"k" * 32, b"hookline resume token", hashlib.sha256)
    about = uuid.UUID(EXECUTION).bytes + b"approve"
    data = hmac.digest(key, about, hashlib.sha256)[:16] + about
    assert TOKENS.read(urlsafe_b64encode(data).decode().rstrip("=")) == (EXECUTION, "approve")
