"""`sns` with a certificate of one's own: what a flow is tried with, and nothing else."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError
from tests.unit.plugins.signatures.scheme_harness import SchemeHarness
from tests.unit.plugins.signatures.test_schemes_sns import KEY, PEM, TOPIC, body, certificate, confirmation, message

from hookline.api import CannotVerify, NotVerified, Verified, WebhookResponse
from hookline_signatures.public_key.sns import Sns, SnsCredential


def test_without_a_key_of_ones_own_only_amazon_can_sign() -> None:
    for credential in (None, {"certificate": PEM.decode()}):
        with pytest.raises(NotImplementedError, match="make a key and a certificate of your own"):
            SchemeHarness(Sns(), credential, {"topics": TOPIC}).complete(b"hello")


def harness(key: rsa.RSAPrivateKey = KEY, pem: bytes | None = None, **settings: Any) -> SchemeHarness:
    """With a certificate of one's own; without a network."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    credential = {"certificate": (pem or certificate(key)).decode(), "private_key": private}
    return SchemeHarness(Sns(), credential, {"topics": [TOPIC, f"{TOPIC}-2"], **settings})


@pytest.mark.parametrize("raw", [b"hello", b"", "Zoë".encode(), b'{"order": 17}', b"[1]"])
async def test_a_file_is_completed_to_a_signed_notification(raw: bytes) -> None:
    made = harness().complete(raw)
    assert json.loads(made)["Message"] == raw.decode()
    assert json.loads(made)["TopicArn"] == TOPIC
    verified = await harness()({}, made)
    assert verified == Verified(json.loads(made)["MessageId"])
    assert harness().sign(made) == {"content-type": "text/plain; charset=UTF-8"}


async def test_what_sns_sent_is_signed_anew_and_of_now() -> None:
    old = message(Timestamp="2012-05-02T00:54:06.655Z", TopicArn=f"{TOPIC}-2") | {
        "Signature": "EXAMPLElDMXvB8r9R83tGoNn0ecwd5=="
    }
    made = json.loads(harness().complete(body(old)))
    anew = ("Timestamp", "Signature", "SignatureVersion", "SigningCertURL")
    assert {name: made[name] for name in old if name not in anew} == {k: v for k, v in old.items() if k not in anew}
    assert made["Timestamp"] == "2026-01-31T12:00:00.000Z"
    await harness()({}, body(made))
    # Its confirmations too; the URL of one that ends a subscription isn't fetched.
    ends = harness().complete(body(confirmation("UnsubscribeConfirmation")))
    assert (await harness()({}, ends)).response == WebhookResponse()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\xff", "UTF-8"),
        (b'{"Type": "Notice", "Message": ""}', "a Type is one of Notification"),
        (b'{"Type": "Notification"}', "all members"),
        (b'{"Type": "SubscriptionConfirmation", "Message": ""}', "all members"),
        (body(message(TopicArn=TOPIC + "-3")), "isn't one of the flow's topics"),
    ],
)
def test_what_sns_would_never_send_is_not_signed(raw: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        harness().complete(raw)


async def test_trap_12_a_pinned_certificate_is_the_only_one_or_one_of_several() -> None:
    other = rsa.generate_private_key(65537, 2048)
    made = harness(other).complete(b"hello")
    with pytest.raises(NotVerified):
        await harness()({}, made)
    # Nor is what Amazon signs taken then, or its certificate fetched.
    with pytest.raises(NotVerified):
        await SchemeHarness(Sns(), {"certificate": certificate(other).decode()}, {"topics": TOPIC})({}, body(message()))
    for both in (PEM + certificate(other), certificate(other) + PEM):
        await SchemeHarness(Sns(), {"certificate": both.decode()}, {"topics": TOPIC})({}, made)


async def test_a_pinned_certificate_is_judged_at_the_time_of_receipt() -> None:
    ended = certificate(end=timedelta(seconds=-1))
    with pytest.raises(CannotVerify, match="give it a new one"):
        await harness(pem=ended)({}, harness(pem=ended).complete(b"hello"))


@pytest.mark.parametrize(
    "values",
    [
        {"certificate": "text"},
        {"certificate": certificate(ec.generate_private_key(ec.SECP256R1())).decode()},
        {"private_key": "text"},
        {"private_key": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()},
    ],
    ids=range(4),
)
def test_trap_7_a_certificate_or_key_that_is_none_is_rejected_when_stored(values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SnsCredential.model_validate(values)
