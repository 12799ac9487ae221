"""GitHub, Bitbucket, Intercom and Meta: one family of headers, each with a hash of its own."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookline.api import NotVerified, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.shared_secret.body_mac.bitbucket import Bitbucket
from hookline_signatures.shared_secret.body_mac.github import GitHub
from hookline_signatures.shared_secret.body_mac.intercom import Intercom
from hookline_signatures.shared_secret.body_mac.meta import Meta

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET = "topsecret"
URL = "https://h.example/hook/a"
APP = {"secret": SECRET, "verify_token": ["meaty hamhock", "older token"]}
#: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
GITHUBS_SECRET, GITHUBS_BODY = "It's a Secret to Everybody", b"Hello, World!"
GITHUBS_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def request(headers: dict[str, str], method: str = "POST", query: str = "") -> SignedRequest:
    return SignedRequest(method, f"{URL}?{query}" if query else URL, tuple(headers.items()), NOW, None)  # type: ignore[arg-type] # fetches nothing


async def verify(scheme: Scheme[Any, Any], credential: Any, sent: SignedRequest, body: bytes = b"") -> Verified:
    assert scheme.credential is not None
    check = scheme.open(sent, scheme.credential.model_validate(credential), scheme.settings())
    check.feed(body[:5])
    check.feed(body[5:])
    return await check.finish()


def headers_of(scheme: Scheme[Any, Any], credential: Any, body: bytes) -> dict[str, str]:
    assert scheme.credential is not None
    return dict(scheme.sign(request({}), body, scheme.credential.model_validate(credential), scheme.settings()))


async def test_githubs_documented_vector_holds() -> None:
    headers = {"x-hub-signature-256": GITHUBS_SIGNATURE}
    assert await verify(GitHub(), {"secret": GITHUBS_SECRET}, request(headers), GITHUBS_BODY) == Verified()


@given(body=st.binary(max_size=200))
def test_what_we_sign_for_github_gidgethub_verifies(body: bytes) -> None:
    sansio = pytest.importorskip("gidgethub.sansio")
    signature = headers_of(GitHub(), {"secret": SECRET}, body)["x-hub-signature-256"]
    sansio.validate_event(body, signature=signature, secret=SECRET)
    with pytest.raises(Exception, match="does not align"):
        sansio.validate_event(body + b"x", signature=signature, secret=SECRET)


@given(body=st.binary(max_size=200))
async def test_what_we_sign_for_meta_pywa_verifies(body: bytes) -> None:
    utils = pytest.importorskip("pywa.utils")
    signature = headers_of(Meta(), APP, body)["x-hub-signature-256"]
    assert utils.webhook_updates_validator(SECRET, body, signature)
    assert not utils.webhook_updates_validator(SECRET, body + b"x", signature)


@pytest.mark.parametrize(
    ("scheme", "hash", "prefix"), [(Bitbucket(), hashlib.sha256, "sha256="), (Intercom(), hashlib.sha1, "sha1=")]
)
async def test_each_takes_its_own_hash_and_no_other(scheme: Scheme[Any, Any], hash: Any, prefix: str) -> None:
    body = b'{"id": "notif_1"}'
    right = prefix + hmac.new(SECRET.encode(), body, hash).hexdigest()
    await verify(scheme, {"secret": SECRET}, request({"x-hub-signature": right}), body)
    for other, name in ((hashlib.sha1, "sha1="), (hashlib.sha256, "sha256="), (hashlib.md5, "md5=")):
        if name != prefix:
            wrong = hmac.new(SECRET.encode(), body, other).hexdigest()
            for text in (name + wrong, prefix + wrong, right.removeprefix(prefix)):
                with pytest.raises(NotVerified):
                    await verify(scheme, {"secret": SECRET}, request({"x-hub-signature": text}), body)


async def test_bitbuckets_dedupe_key_is_the_requests_id() -> None:
    headers = headers_of(Bitbucket(), {"secret": SECRET}, b"{}") | {"x-request-uuid": "98ad3a6b-58fc"}
    assert await verify(Bitbucket(), {"secret": SECRET}, request(headers), b"{}") == Verified("98ad3a6b-58fc")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"type": "notification_event", "id": "notif_78c122d0", "topic": "user.created"}, "notif_78c122d0"),
        ({"type": "notification_event", "id": None, "topic": "ping"}, None),
        ({"id": ""}, None),
        ({"id": 17}, None),
        ([], None),
    ],
)
async def test_trap_9_intercoms_dedupe_key_is_the_signed_id_of_the_notification(body: Any, key: str | None) -> None:
    raw = json.dumps(body).encode()
    headers = headers_of(Intercom(), {"secret": SECRET}, raw)
    assert await verify(Intercom(), {"secret": SECRET}, request(headers), raw) == Verified(key)


@pytest.mark.parametrize("token", ["meaty+hamhock", "older%20token"])
async def test_metas_challenge_is_answered_where_the_token_is_right(token: str) -> None:
    query = f"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"
    verified = await verify(Meta(), APP, request({}, "GET", query))
    assert verified == Verified(response=WebhookResponse(200, b"1158201444", "text/plain; charset=utf-8"))


@pytest.mark.parametrize(
    "query",
    [
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=older%20token",
        "hub.mode=subscribe&hub.verify_token=older%20token",
        "hub.mode=subscribe&hub.challenge=&hub.verify_token=older%20token",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=older%20token&hub.verify_token=older%20token",
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=%ff",
        f"hub.mode=subscribe&hub.challenge={'1' * 3000}&hub.verify_token=older%20token",
        "",
    ],
)
async def test_any_other_question_of_metas_is_rejected(query: str) -> None:
    with pytest.raises(NotVerified):
        await verify(Meta(), APP, request({}, "GET", query))


async def test_a_message_isnt_taken_for_its_query() -> None:
    query = "hub.mode=subscribe&hub.challenge=1&hub.verify_token=older%20token"
    with pytest.raises(NotVerified):
        await verify(Meta(), APP, request({}, "POST", query), b"{}")
    verified = await verify(Meta(), APP, request(headers_of(Meta(), APP, b"{}"), "POST", query), b"{}")
    assert verified.response is None


@pytest.mark.parametrize("scheme", [Bitbucket, Intercom])
@pytest.mark.parametrize("secret", ["", "1234", [], ["12345", " "]])
def test_trap_7_a_short_secret_is_rejected_when_stored(scheme: type[Scheme[Any, Any]], secret: Any) -> None:
    assert scheme.credential is not None
    with pytest.raises(ValidationError):
        scheme.credential.model_validate({"secret": secret})


@pytest.mark.parametrize("change", [{"secret": ""}, {"verify_token": ""}, {"verify_token": "1234"}])
def test_trap_7_a_short_token_is_rejected_when_stored(change: Any) -> None:
    assert Meta.credential is not None
    with pytest.raises(ValidationError):
        Meta.credential.model_validate({**APP, **change})
