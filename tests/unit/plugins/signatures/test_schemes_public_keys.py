"""`discord` and `sendgrid`: signatures that only their owner can make."""

import hashlib
import json
from base64 import b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError
from tests.unit.plugins.signatures.scheme_harness import SECONDS, SchemeHarness

from hookline.api import NotVerified, WebhookResponse
from hookline_signatures.public_key.discord import Discord, DiscordCredential
from hookline_signatures.public_key.sendgrid import SendGrid, SendGridCredential

ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = ED25519.public_key().public_bytes_raw().hex()
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key().public_bytes_raw().hex()
discord = SchemeHarness(Discord(), {"public_key": PUBLIC})

ECDSA = ec.generate_private_key(ec.SECP256R1())


def spki(key: Any) -> str:
    return b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


sendgrid = SchemeHarness(SendGrid(), {"private_key": pem(ECDSA)})


def interaction(body: bytes, at: str = SECONDS) -> dict[str, str]:
    return {"x-signature-timestamp": at, "x-signature-ed25519": ED25519.sign(at.encode() + body).hex()}


async def test_trap_12_discords_signature_holds_under_any_key_of_the_credential() -> None:
    body = b'{"type": 2, "id": "846462639134605312", "data": {}}'
    for keys in (PUBLIC, [OTHER, PUBLIC], [PUBLIC, OTHER], PUBLIC.upper()):
        verified = await SchemeHarness(Discord(), {"public_key": keys})(interaction(body), body)
        assert (verified.dedupe_key, verified.response) == ("846462639134605312", None)
    with pytest.raises(NotVerified):
        await SchemeHarness(Discord(), {"public_key": OTHER})(interaction(body), body)


def test_discords_own_library_takes_what_the_scheme_signs() -> None:
    library = pytest.importorskip("discord_interactions")
    private = ED25519.private_bytes_raw().hex()
    signed = SchemeHarness(Discord(), {"private_key": private}).sign(b'{"type":1}')
    at, signature = signed["x-signature-timestamp"], signed["x-signature-ed25519"]
    assert library.verify_key(b'{"type":1}', signature, at, PUBLIC)


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"type": 1, "id": "1", "version": 1}, WebhookResponse(200, b'{"type":1}', "application/json")),
        ({"type": 0, "version": 1, "application_id": "1"}, WebhookResponse(204, b"", "application/json")),
        ({"type": 1, "version": 1, "event": {"type": "ENTITLEMENT_CREATE"}}, None),
        ({"type": 2, "id": "1"}, None),
    ],
)
async def test_pings_are_answered_and_events_of_the_same_type_are_not(
    body: Any, answer: WebhookResponse | None
) -> None:
    raw = json.dumps(body).encode()
    assert (await discord(interaction(raw), raw)).response == answer


async def test_trap_4_a_ping_with_a_wrong_signature_is_rejected() -> None:
    raw = b'{"type":1}'
    for wrong in ("00" * 64, interaction(b"{}")["x-signature-ed25519"], "zz", ""):
        with pytest.raises(NotVerified):
            await discord({**interaction(raw), "x-signature-ed25519": wrong}, raw)


@pytest.mark.parametrize("key", ["", "00", PUBLIC[:-2], PUBLIC + "00", "zz" * 32, []])
def test_trap_7_a_key_of_discords_that_is_none_is_rejected_when_stored(key: Any) -> None:
    with pytest.raises(ValidationError):
        DiscordCredential.model_validate({"public_key": key})


@pytest.mark.parametrize(
    ("model", "public", "private"),
    [(DiscordCredential, PUBLIC, bytes(range(32)).hex()), (SendGridCredential, spki(ECDSA), pem(ECDSA))],
)
def test_a_key_for_trying_stands_in_place_of_the_providers_and_never_beside_it(
    model: Any, public: str, private: str
) -> None:
    with pytest.raises(ValidationError, match="in its place"):
        model.model_validate({"public_key": public, "private_key": private})
    with pytest.raises(ValidationError, match="give the public_key"):
        model.model_validate({})


@pytest.mark.parametrize(
    ("model", "private"),
    [
        *((DiscordCredential, text) for text in ("", "00", "zz" * 32)),
        *((SendGridCredential, text) for text in ("", "text", pem(ec.generate_private_key(ec.SECP384R1())))),
        (SendGridCredential, pem(rsa.generate_private_key(65537, 2048))),
    ],
)
def test_trap_7_a_private_key_that_is_none_is_rejected_when_stored_and_not_shown(model: Any, private: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"private_key": private})
    assert [one["msg"] for one in caught.value.errors() if "private_key" in one["msg"]]
    assert len(private) < 3 or private not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("harness", [discord, SchemeHarness(SendGrid(), {"public_key": spki(ECDSA)})])
def test_only_who_has_the_private_key_can_sign(harness: SchemeHarness) -> None:
    with pytest.raises(NotImplementedError, match="make a key of your own"):
        harness.sign(b"{}")


#: From the tests of SendGrid's own libraries; the last CRLF is signed.
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6w"
    "EA3F+g=="
)
SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
SENT = {
    "x-twilio-email-event-webhook-signature": SIGNATURE,
    "x-twilio-email-event-webhook-timestamp": "1600112502",
}
EVENTS = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


async def test_sendgrids_published_vector_holds_with_its_last_line_end_alone() -> None:
    then = SchemeHarness(SendGrid(), {"public_key": KEY}, {"tolerance": "36500d"})
    assert (await then(SENT, EVENTS)).dedupe_key == hashlib.sha256(EVENTS).hexdigest()
    for other in (EVENTS[:-2], EVENTS[:-2] + b"\n", EVENTS + b"\r\n"):
        with pytest.raises(NotVerified):
            await then(SENT, other)
    with pytest.raises(NotVerified):
        await SchemeHarness(SendGrid(), {"public_key": KEY})(SENT, EVENTS)


def test_sendgrids_own_library_takes_what_the_scheme_signs() -> None:
    library = pytest.importorskip("sendgrid.helpers.eventwebhook")
    signed = sendgrid.sign(EVENTS)
    signature, at = (signed[f"x-twilio-email-event-webhook-{part}"] for part in ("signature", "timestamp"))
    assert library.EventWebhook(spki(ECDSA)).verify_signature(EVENTS.decode(), signature, at)


async def test_trap_12_sendgrids_old_and_new_key_are_both_taken() -> None:
    signature = ECDSA.sign(SECONDS.encode() + EVENTS, ec.ECDSA(hashes.SHA256()))
    sent = {
        "x-twilio-email-event-webhook-signature": b64encode(signature).decode(),
        "x-twilio-email-event-webhook-timestamp": SECONDS,
    }
    for keys in ([KEY, spki(ECDSA)], [spki(ECDSA), KEY]):
        await SchemeHarness(SendGrid(), {"public_key": keys})(sent, EVENTS)
    with pytest.raises(NotVerified):
        await SchemeHarness(SendGrid(), {"public_key": KEY})(sent, EVENTS)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "AAAA",
        "not base64!",
        KEY[:-8],
        spki(rsa.generate_private_key(65537, 2048)),
        spki(ec.generate_private_key(ec.SECP384R1())),
        [],
    ],
)
def test_trap_7_a_key_of_sendgrids_that_is_none_is_rejected_when_stored(key: Any) -> None:
    with pytest.raises(ValidationError):
        SendGridCredential.model_validate({"public_key": key})
