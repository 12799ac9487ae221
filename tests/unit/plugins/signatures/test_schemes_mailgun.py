"""`mailgun`: a signature of a time and a token, within JSON, a form, or a form with files."""

import hmac
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.plugins.signatures.scheme_harness import SECONDS, SchemeHarness

from hookline.api import CannotVerify, NotVerified, Verified
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_signatures.building_blocks.freshness import WithinADay
from hookline_signatures.generic.body_mac import MacCredential
from hookline_signatures.shared_secret.mailgun import Mailgun

KEY = "key-topsecret"
TOKEN = "e0b5477167110d68991efc6b9f89f0a11066af27834600e123"
mailgun = SchemeHarness(Mailgun(), {"secret": KEY})
FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": 'multipart/form-data; boundary="b0und"'}


def mac(timestamp: str = SECONDS, token: str = TOKEN) -> str:
    return hmac.new(KEY.encode(), f"{timestamp}{token}".encode(), "sha256").hexdigest()


def signature(**other: Any) -> dict[str, Any]:
    return {"timestamp": SECONDS, "token": TOKEN, "signature": mac()} | other


def event(**other: Any) -> bytes:
    return json.dumps({"signature": signature(**other), "event-data": {"event": "opened"}}).encode()


def multipart(fields: list[tuple[str, str, bytes]]) -> bytes:
    parts = [
        f'--b0und\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"
        for name, more, value in fields
    ]
    return b"".join(parts) + b"--b0und--\r\n"


FIELDS = [(name, "", str(value).encode()) for name, value in signature().items()]


@pytest.mark.parametrize("timestamp", [SECONDS, int(SECONDS)])
async def test_an_event_holds_and_its_token_is_the_dedupe_key(timestamp: Any) -> None:
    assert (await mailgun({"content-type": "application/json"}, event(timestamp=timestamp))).dedupe_key == TOKEN


async def test_a_forwarded_mail_holds_in_either_form_however_large_it_is() -> None:
    fields = {"recipient": "Zoë", "body-plain": "x" * 5_000_000} | signature()
    assert (await mailgun(FORM, urlencode(fields).encode())).dedupe_key == TOKEN
    attached = ("attachment-1", '; filename="token"\r\nContent-Type: text/plain', b"y" * 5_000_000)
    assert (await mailgun(MULTIPART, multipart([attached, *FIELDS]))).dedupe_key == TOKEN


async def test_trap_9_a_body_with_the_signature_of_another_has_its_dedupe_key_too() -> None:
    caught = json.dumps({"signature": signature(), "event-data": {"event": "forged"}}).encode()
    assert (await mailgun({}, caught)).dedupe_key == (await mailgun({}, event())).dedupe_key


@pytest.mark.parametrize("moved", [1, 2])
async def test_a_digit_of_the_time_cannot_be_taken_for_one_of_the_token(moved: int) -> None:
    lenient = SchemeHarness(Mailgun(), {"secret": KEY}, {"tolerance": "365000d"})
    timestamp, token = SECONDS[:-moved], SECONDS[-moved:] + TOKEN
    assert mac(timestamp, token) == mac()
    with pytest.raises(NotVerified):
        await lenient({}, event(timestamp=timestamp, token=token))
    with pytest.raises(NotVerified):
        await lenient({}, event(timestamp=SECONDS + TOKEN[0], token=TOKEN[1:]))


@pytest.mark.parametrize(
    "other",
    [
        {"token": TOKEN[:-1]},
        {"token": ""},
        {"token": TOKEN + "é"},
        {"timestamp": str(int(SECONDS) + 1)},
        {"timestamp": f"{SECONDS}.0"},
        {"timestamp": "²" * 10},
        {"timestamp": None},
        {"timestamp": True},
        {"signature": ""},
        {"signature": "é"},
        {"signature": "00" * 32},
        {"signature": [mac()]},
    ],
)
async def test_trap_1_a_signature_that_is_altered_or_malformed_is_rejected(other: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        await mailgun({}, event(**other))
    if "é" not in str(other):
        with pytest.raises(NotVerified):
            await mailgun(FORM, urlencode(signature(**other)).encode())


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, b""),
        ({}, b"null"),
        ({}, b'{"signature": null}'),
        ({}, b"\xff" + event()),
        ({}, b"[" * 100_000),
        ({}, event() + event()),
        (FORM, b""),
        (FORM, event()),
        (FORM, urlencode([*signature().items(), ("token", TOKEN)]).encode()),
        (FORM, urlencode(signature()).replace("token", "%74oken").encode()),
        (MULTIPART, b""),
        (MULTIPART, event()),
        (MULTIPART, multipart([*FIELDS, FIELDS[1]])),
        (MULTIPART, multipart([*FIELDS[:2], ("signature", '; filename="a"', mac().encode())])),
        (MULTIPART, multipart(FIELDS)[:-40]),
        ({"content-type": "multipart/form-data"}, multipart(FIELDS)),
        ({"content-type": "multipart/form-data; boundary=" + "b" * 500}, multipart(FIELDS)),
        ({"content-type": "application/json; charset=\u20ac"}, event()),
    ],
)
async def test_trap_1_a_body_that_holds_no_signature_is_rejected(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(NotVerified):
        await mailgun(headers, body)


@settings(max_examples=200)
@given(
    kind=st.sampled_from([{}, FORM, MULTIPART, {"content-type": "multipart/form-data; boundary=b"}]),
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=30),
            st.sampled_from(
                [b"--b0und", b"\r\n", b"--", b"=", b"&", b"token", b"%zz", b'Content-Disposition: x; name="']
            ),
        ),
        max_size=12,
    ),
)
async def test_trap_1_verification_is_total_whatever_the_body(kind: dict[str, str], pieces: list[bytes]) -> None:
    for body in (
        b"".join(pieces),
        multipart(FIELDS) + b"".join(pieces),
        urlencode(signature()).encode() + b"".join(pieces),
    ):
        with suppress(NotVerified, CannotVerify):
            assert isinstance(await mailgun(kind, body), Verified)


async def test_trap_12_old_and_new_key_are_both_taken() -> None:
    for keys in (["key-new-one", KEY], [KEY, "key-new-one"]):
        await SchemeHarness(Mailgun(), {"secret": keys})({}, event())
    with pytest.raises(NotVerified):
        await SchemeHarness(Mailgun(), {"secret": "key-new-one"})({}, event())


async def test_an_event_is_completed_with_its_signature() -> None:
    body = mailgun.complete(b'{"event-data": {"id": 12345678901234567890}}')
    assert b'"event-data":{"id": 12345678901234567890}' in body
    assert (await mailgun(mailgun.sign(body), body)).dedupe_key == json.loads(body)["signature"]["token"]
    with pytest.raises(ValueError, match="JSON object"):
        mailgun.complete(b"[]")


@pytest.mark.rule(9)
def test_a_token_is_kept_until_it_is_too_old_whatever_the_flow_says() -> None:
    for tolerance in (timedelta(minutes=1), timedelta(days=20)):
        kept = Mailgun().remembers(WithinADay(tolerance=tolerance))
        # From a time of sending that lies ahead by the tolerance to one that lies behind by it.
        assert kept >= 2 * tolerance
        assert kept >= timedelta(hours=8)


async def test_what_is_accepted_and_what_came_before_gets_the_200_without_which_mailgun_tries_again() -> None:
    flow = webhook_flow(scheme=Mailgun(), credential="mailgun", scheme_settings=WithinADay())
    hook = HookOverMemory(flow, credentials={"mailgun": ("mailgun", MacCredential.model_validate({"secret": KEY}))})
    body = mailgun.complete(b'{"event-data": {}}', at=hook.clock.at)
    assert [(await hook.send(body)).status for _ in range(2)] == [200, 200]
    assert len(hook.intake.accepted) == 1
