"""What holds for every scheme: total, strict about repeated headers, and true to what it signs itself."""

import gzip
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.plugins.signatures.scheme_cases import (
    CASES,
    NOW,
    OPTIONAL,
    SCHEMES,
    SHAPES,
    TIMED,
    Unreachable,
    case,
    complete,
    request,
    signed,
    verify,
)

from hookline.api import CannotVerify, NotVerified, SignedRequest, Verified
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

BODY = b'{"a": 1}'
#: Every header that some scheme reads.
HEADERS = sorted(
    {"x-sig", "x-time", "x-id", "authorization", "x-api-key", "x-hub-signature-256", "x-github-delivery"}
    | {f"{family}-{part}" for family in ("webhook", "svix") for part in ("id", "timestamp", "signature")}
    | {f"paypal-{part}" for part in ("transmission-id", "transmission-time", "transmission-sig")}
    | {"paypal-cert-url", "paypal-auth-algo", "x-hub-signature", "x-request-uuid", "x-dropbox-signature"}
    | {"x-gitlab-token", "idempotency-key", "linear-signature", "linear-delivery", "x-xero-signature"}
    | {"x-zm-signature", "x-zm-request-timestamp", "stripe-signature", "x-slack-signature", "x-slack-request-timestamp"}
    | {"x-shopify-hmac-sha256", "x-shopify-event-id", "x-shopify-topic", "x-square-hmacsha256-signature"}
    | {f"x-zendesk-webhook-{part}" for part in ("signature", "signature-timestamp", "invocation-id")}
    | {"x-signature-ed25519", "x-signature-timestamp", "content-type", "i-twilio-idempotency-token"}
    | {f"x-twilio-{part}" for part in ("signature", "webhooks-signature-settings")}
    | {f"x-twilio-email-event-webhook-{part}" for part in ("signature", "timestamp")}
)

#: Values on which one library or another stumbles.
ODDITIES = (
    *("v1", "v1,", "v1a,AAAA v1", "sha256=", "Basic", "Basic =", "basic Og==", "v0=", "SHA256withRSA"),
    *("1769860800", "²", "١٧٦٩٨٦٠٨٠٠", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"),
    *("t=1769860800,v1", "t=1769860800,t=1769860800,v1=00", "algorithm=MD5", "algorithm=HMAC_SHA256", "Bearer a.b.c"),
    *("Bearer eyJhbGciOiJIUzI1NiJ9.e30.AA", "multipart/form-data", "multipart/form-data; boundary=b", "text/plain"),
    *("application/x-www-form-urlencoded", "application/json; charset=utf-16"),
    *("2026-02-30T00:00:00Z", "https://api.paypal.com/v1/notifications/certs/CERT-1"),
)


def test_each_scheme_is_among_the_cases() -> None:
    assert {scheme for scheme, _, _ in CASES.values()} == SCHEMES.keys()


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=3))
async def test_what_a_scheme_signs_it_verifies_however_it_arrives(name: str, body: bytes, cuts: list[int]) -> None:
    body = complete(name, body)
    places = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(places)]
    await verify(name, request(signed(name, body)), *chunks)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=150)
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(HEADERS),
            st.one_of(
                st.text(st.characters(max_codepoint=255), max_size=60),
                st.text(max_size=20),
                st.binary(max_size=40).map(lambda raw: b64encode(raw).decode()),
                st.integers(-10, 10**30).map(str),
                st.sampled_from(ODDITIES),
            ),
        ),
        max_size=10,
    ),
    body=st.binary(max_size=60),
)
async def test_trap_1_verification_is_total(name: str, headers: list[tuple[str, str]], body: bytes) -> None:
    # Also where all but one header is right: what is read last is reached too.
    for data in (body, complete(name, body)):
        right = []
        with suppress(ValueError):  # it is no body that this provider could send
            right = [one for one in signed(name, data) if one[0] not in dict(headers)]
        for sent in (headers, [*headers, *right]):
            with suppress(NotVerified, CannotVerify):
                assert isinstance(await verify(name, request(sent), data), Verified)


@pytest.mark.parametrize(
    "name", [name for name in CASES if SCHEMES[CASES[name][0]].reads_body and name != "gitlab, token"]
)
async def test_trap_5_any_other_byte_of_the_body_is_rejected(name: str) -> None:
    for body in (b'{"a": 1}', b'{"a":1} ', b'{"a":2}', b""):
        with pytest.raises(NotVerified):
            await verify(name, request(signed(name, complete(name, b'{"a":1}'))), body)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in CASES
        if SCHEMES[CASES[name][0]].reads_body and CASES[name][0] not in SHAPES and "token" not in name
    ],
)
async def test_trap_5_a_compressed_body_is_signed_as_it_is_on_the_wire(name: str) -> None:
    scheme, credential, chosen = case(name)
    flow = webhook_flow("shop", scheme=scheme, credential="key", scheme_settings=chosen)
    hook = HookOverMemory(flow, credentials={"key": (scheme.name, credential)})
    hook.clock.at = NOW
    packed = gzip.compress(BODY)
    for signs, status in ((BODY, 401), (packed, 202 if scheme.accepted is None else scheme.accepted.status)):
        headers = [(key.encode(), value.encode("latin-1")) for key, value in signed(name, signs)]
        reply = await hook.send(packed, path="shop", headers=[*headers, (b"content-encoding", b"gzip")])
        assert reply.status == status
    (envelope,) = hook.intake.accepted
    assert (envelope.message.body, envelope.raw) == ({"a": 1}, packed)


#: What is within the body, and a header of several entries, of which one wrong doesn't hide one right: in other files.
ELSEWHERE = ("mailgun", "microsoft-graph", "sns, pinned", "stripe")


@pytest.mark.parametrize("name", [name for name in CASES if name not in ELSEWHERE])
async def test_trap_1_a_mangled_signature_is_rejected(name: str) -> None:
    body = complete(name, b"{}")
    headers = signed(name, body)
    header, value = headers[-1] if "paypal" not in name else headers[2]
    others = [one for one in headers if one[0] != header]
    for mangled in (value[:-4], value + "x", "\xe9" + value, value + "\n", value * 2, "=" * 8, "v1"):
        with pytest.raises(NotVerified):
            await verify(name, request([*others, (header, mangled)]), body)


@pytest.mark.rule(5)
def test_only_schemes_without_a_body_are_judged_before_it() -> None:
    assert {scheme.name for scheme in SCHEMES.values() if not scheme.reads_body} == {
        *("basic", "bearer", "api-key", "jwt"),
    }


@pytest.mark.rule(40)
@pytest.mark.parametrize("name", CASES)
async def test_trap_4_every_rejection_has_the_same_answer_and_stores_nothing(name: str) -> None:
    scheme, credential, chosen = case(name)
    flow = webhook_flow("shop", scheme=scheme, credential="key", scheme_settings=chosen)
    hook = HookOverMemory(
        flow,
        credentials={"key": (scheme.name, credential)},
        http=Unreachable(),
        options=HookOptions("https://hooks.example"),
    )
    hook.clock.at = NOW
    body = complete(name, b"{}")
    right = signed(name, body)
    media_type = "application/x-www-form-urlencoded" if name == "twilio" else "application/json"

    async def send(headers: list[tuple[str, str]], body: bytes = body) -> HookResponse:
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers]
        return await hook.send(body, media_type, path="shop", headers=raw)

    rejected = [await send([*right, header]) for header in right if header[0] not in OPTIONAL]
    rejected += [await send([one for one in right if one != header]) for header in right if header[0] not in OPTIONAL]
    rejected += [await send([(header, "\xe9, =,") for header, _ in right], b"[")]
    if name in TIMED:
        hook.clock.at = NOW + chosen.tolerance + timedelta(seconds=1)
        rejected += [await send(right)]
        hook.clock.at = NOW
    assert {(reply.status, reply.headers, reply.body) for reply in rejected} == {
        (401, rejected[0].headers, rejected[0].body)
    }
    assert (hook.intake.accepted, hook.memory_blobs.kept) == ([], {})
    # No key was used up: the right one is the first.
    reply = await send(right)
    assert (reply.status, len(hook.intake.accepted)) == (202 if scheme.accepted is None else scheme.accepted.status, 1)


#: An id that its provider doesn't sign: it tells a repetition from a second message, and nothing else does.
UNSIGNED_IDS = {
    "github": "x-github-delivery",
    "bitbucket": "x-request-uuid",
    "gitlab, token": "idempotency-key",
    "linear": "linear-delivery",
    "shopify": "x-shopify-event-id",
    "twilio": "i-twilio-idempotency-token",
    "zendesk": "x-zendesk-webhook-invocation-id",
}
#: A body with an id, where the id is there.
BODIES_WITH_ID = {
    "discord": b'{"type": 2, "id": "id-1"}',
    "intercom": b'{"id": "id-1"}',
    "slack": b'{"type": "event_callback", "event_id": "id-1"}',
    "square": b'{"event_id": "id-1"}',
    "stripe": b'{"id": "id-1"}',
}
#: Those that name nothing.
NO_IDS = {"api-key", "basic", "bearer", "jwt", "dropbox", "meta", "microsoft-graph", "xero", "zoom"}


@pytest.mark.parametrize("name", CASES)
async def test_trap_9_the_dedupe_key_comes_from_what_is_signed_where_anything_is(name: str) -> None:
    scheme, _, _ = case(name)
    body = BODIES_WITH_ID.get(scheme.name) or complete(name, b"{}")
    headers = dict(signed(name, body))
    key = (await verify(name, request(headers.items()), body)).dedupe_key
    unsigned = UNSIGNED_IDS.get(name)
    if scheme.name in NO_IDS or name in ("hmac", "hmac, any encoding"):
        assert key is None
    elif unsigned is not None:
        moved = {**headers, unsigned: "another-id"}
        other = (await verify(name, request(moved.items()), body)).dedupe_key
        assert "another-id" in str(other)
        assert other != key
    else:
        other = BODIES_WITH_ID.get(scheme.name, complete(name, b"{} ")).replace(b"id-1", b"id-2")
        assert key
        assert (await verify(name, request(signed(name, other)), other)).dedupe_key not in (None, key)
        # Whatever a sender without the secret changes or adds, the key stays, or the request doesn't hold.
        for header in {*headers, *HEADERS}:
            with suppress(NotVerified):
                assert (await verify(name, request({**headers, header: "another-id"}.items()), body)).dedupe_key == key


@pytest.mark.parametrize("name", CASES)
async def test_trap_10_what_has_its_keys_at_hand_fetches_nothing(name: str) -> None:
    scheme, credential, chosen = case(name)
    body = complete(name, b"{}")
    nothing: Any = None
    check = scheme.open(SignedRequest("POST", request().url, signed(name, body), NOW, nothing), credential, chosen)
    check.feed(body)
    assert isinstance(await check.finish(), Verified)
