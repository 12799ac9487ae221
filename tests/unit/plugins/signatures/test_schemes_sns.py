"""`sns`: messages that hold their signature, certificates by one rule, and confirmations."""

import json
from base64 import b64encode
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.plugins.signatures.scheme_harness import NOW, Network, SchemeHarness

from hookline.api import CannotVerify, NotVerified, Response, StepError, Verified, WebhookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow
from hookline_signatures.public_key.sns import Sns, SnsSettings

TOPIC = "arn:aws:sns:eu-central-1:123456789012:orders"
CERT = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem"
SUBSCRIBE = f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
KEY = rsa.generate_private_key(65537, 2048)


def certificate(key: Any = KEY, start: timedelta = timedelta(days=-1), end: timedelta = timedelta(days=9)) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW + start, NOW + end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


PEM = certificate()


def message(version: str = "1", key: rsa.RSAPrivateKey = KEY, **other: Any) -> dict[str, Any]:
    """As the documentation of SNS says: names and values, sorted by names, each on a line."""
    made = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Subject": "My First Message",
        "Message": "Zoë\nsays: hello",
        "Timestamp": "2026-01-31T11:59:58.123Z",
        "SignatureVersion": version,
        "SigningCertURL": CERT,
        "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
    } | other
    names = {"Message", "MessageId", "Timestamp", "TopicArn", "Type"}
    names |= {"Subject"} if made["Type"] == "Notification" else {"SubscribeURL", "Token"}
    signed = "".join(f"{name}\n{made[name]}\n" for name in sorted(names) if made.get(name) is not None)
    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()
    return made | {"Signature": b64encode(key.sign(signed.encode(), PKCS1v15(), algorithm)).decode()}


def confirmation(kind: str = "SubscriptionConfirmation", **other: Any) -> dict[str, Any]:
    return message(Type=kind, Subject=None, Token="2336412f37", SubscribeURL=SUBSCRIBE, **other)


def body(document: Any) -> bytes:
    return json.dumps(document).encode()


def sns(files: dict[str, Any] | None = None, **settings: Any) -> SchemeHarness:
    network = Network({CERT: PEM, SUBSCRIBE: b"<ok/>"} | (files or {}))
    return SchemeHarness(Sns(), None, {"topics": TOPIC, **settings}, network)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", ["My First Message", None, ""])
async def test_both_versions_of_signatures_hold_and_the_message_id_is_the_dedupe_key(
    version: str, subject: str | None
) -> None:
    verified = await sns()({}, body(message(version, Subject=subject)))
    assert verified == Verified("22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324")


async def test_trap_10_the_certificate_is_fetched_once_without_redirects() -> None:
    harness = sns()
    for _ in range(3):
        await harness({}, body(message()))
    ((method, url, options),) = harness.network.asked
    assert (method, url, options["redirects"]) == ("GET", CERT, 0)


@pytest.mark.parametrize(
    "url",
    [
        CERT.replace("https", "http"),
        CERT.replace("sns.eu-central-1.amazonaws.com", "sns.eu-central-1.amazonaws.com.evil.example"),
        CERT.replace("sns.eu-central-1.amazonaws.com", "evil.example"),
        CERT.replace("sns.eu-central-1", "sns.eu-central-1.evil"),
        CERT.replace("sns.eu-central-1.amazonaws", "s3.eu-central-1.amazonaws"),
        CERT.replace("amazonaws.com", "amazonaws.com:8443"),
        CERT.replace("amazonaws.com", "amazonaws.com@evil.example"),
        CERT.replace("https://sns", "https://user@sns"),
        CERT.replace("sns.eu-central-1.amazonaws.com", "bucket.s3.amazonaws.com/sns.eu-central-1.amazonaws.com"),
        CERT + "?x=.pem",
        CERT + "\n",
        CERT.replace(".pem", ".txt"),
        CERT.replace("/Simple", "/a/../Simple"),
        "",
    ],
)
async def test_trap_10_a_certificate_from_elsewhere_is_never_fetched(url: str) -> None:
    harness = sns({url: PEM})
    with pytest.raises(NotVerified):
        await harness({}, body(message(SigningCertURL=url)))
    assert harness.network.asked == []


async def test_certificates_of_amazons_chinese_regions_are_taken() -> None:
    url = CERT.replace("eu-central-1.amazonaws.com", "cn-north-1.amazonaws.com.cn")
    topic = "arn:aws-cn:sns:cn-north-1:123456789012:orders.fifo"
    harness = sns({url: PEM}, topics=[TOPIC, topic])
    assert (await harness({}, body(message(SigningCertURL=url, TopicArn=topic)))).dedupe_key


async def test_the_signed_message_of_another_topic_is_rejected_and_costs_no_fetch() -> None:
    harness = sns()
    with pytest.raises(NotVerified):
        await harness({}, body(message(TopicArn="arn:aws:sns:eu-central-1:210987654321:orders")))
    assert harness.network.asked == []


@pytest.mark.parametrize(
    "other",
    [
        {"Message": "another"},
        {"MessageId": "another"},
        {"Subject": "another"},
        {"Subject": None},
        {"Timestamp": "2026-01-31T11:59:59.123Z"},
        {"Timestamp": "yesterday"},
        {"Type": "SubscriptionConfirmation"},
        {"Type": "Another"},
        {"SignatureVersion": "2"},
        {"SignatureVersion": "3"},
        {"Signature": ""},
        {"Signature": "é"},
        {"Signature": b64encode(b"x" * 256).decode()},
        {"Signature": None},
        {"Message": 7},
        {"Message": None},
    ],
)
async def test_trap_5_an_altered_or_malformed_message_is_rejected(other: dict[str, Any]) -> None:
    with pytest.raises(NotVerified):
        await sns()({}, body(message() | other))


async def test_what_another_key_signed_is_rejected() -> None:
    with pytest.raises(NotVerified):
        await sns()({}, body(message(key=rsa.generate_private_key(65537, 2048))))


@pytest.mark.parametrize(("off", "holds"), [(timedelta(days=1), True), (timedelta(days=1, seconds=1), False)])
async def test_trap_11_freshness_is_judged_by_the_time_of_receipt(off: timedelta, holds: bool) -> None:
    sent = body(message(Timestamp=(NOW - off).strftime("%Y-%m-%dT%H:%M:%SZ")))
    if holds:
        await sns()({}, sent)
    else:
        with pytest.raises(NotVerified):
            await sns()({}, sent)


@pytest.mark.parametrize(
    "found",
    [
        StepError("no network", code="http.connect", retryable=True),
        Response(302, {"location": "https://evil.example/a.pem"}, b""),
        b"no certificate",
        certificate(rsa.generate_private_key(65537, 1024)),
        certificate(ec.generate_private_key(ec.SECP256R1())),
        certificate(end=timedelta(hours=-1)),
        certificate(start=timedelta(hours=1)),
    ],
)
async def test_a_certificate_that_cannot_be_had_or_used_leaves_it_open_whether_a_message_holds(found: Any) -> None:
    with pytest.raises(CannotVerify):
        await sns({CERT: found})({}, body(message()))


async def test_a_certificate_that_amazon_does_not_have_is_rejected() -> None:
    with pytest.raises(NotVerified):
        await sns({CERT: StepError("not found", code="http.404")})({}, body(message()))


async def test_a_kept_certificate_serves_while_amazon_cannot_be_reached_until_it_expires() -> None:
    harness = sns()
    await harness({}, body(message()))
    harness.network.files[CERT] = StepError("no network", code="http.connect", retryable=True)

    def later(days: int) -> tuple[bytes, datetime]:
        at = NOW + timedelta(days=days)
        return body(message(Timestamp=at.strftime("%Y-%m-%dT%H:%M:%SZ"))), at

    sent, at = later(5)
    await harness({}, sent, at=at)
    sent, at = later(10)
    with pytest.raises(CannotVerify):
        await harness({}, sent, at=at)


async def test_a_subscription_is_confirmed_by_fetching_its_url_and_starts_no_flow() -> None:
    harness = sns()
    assert await harness({}, body(confirmation())) == Verified(response=WebhookResponse())
    assert [(method, url) for method, url, _ in harness.network.asked] == [("GET", CERT), ("GET", SUBSCRIBE)]
    assert harness.network.asked[1][2]["redirects"] == 0


async def test_trap_4_a_forged_confirmation_is_not_confirmed() -> None:
    harness = sns()
    for forged in (
        confirmation() | {"Token": "another"},
        confirmation() | {"SubscribeURL": SUBSCRIBE + "&a=b"},
        confirmation(TopicArn="arn:aws:sns:eu-central-1:210987654321:orders"),
        {name: value for name, value in confirmation().items() if name != "Token"},
    ):
        with pytest.raises(NotVerified):
            await harness({}, body(forged))
    assert SUBSCRIBE not in [url for _, url, _ in harness.network.asked]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Action=ConfirmSubscription&Token=1",
        SUBSCRIBE.replace("https", "http"),
        SUBSCRIBE.replace("ConfirmSubscription", "Publish"),
        SUBSCRIBE.replace("/?", "/path?"),
        SUBSCRIBE.replace(".com/", ".com:8443/"),
        SUBSCRIBE + "#x",
    ],
)
async def test_trap_10_a_confirmation_that_leads_elsewhere_is_never_fetched_even_if_it_is_signed(url: str) -> None:
    harness = sns({url: b""})
    with pytest.raises(NotVerified):
        await harness({}, body(message(Type="SubscriptionConfirmation", Subject=None, Token="1", SubscribeURL=url)))
    assert url not in [asked for _, asked, _ in harness.network.asked]


@pytest.mark.parametrize(
    "found", [StepError("no network", code="http.connect", retryable=True), Response(302, {}, b"")]
)
async def test_a_confirmation_that_fails_is_asked_for_again(found: Any) -> None:
    with pytest.raises(CannotVerify, match="can't be confirmed"):
        await sns({SUBSCRIBE: found})({}, body(confirmation()))


async def test_the_end_of_a_subscription_is_taken_note_of_and_not_undone() -> None:
    harness = sns()
    assert await harness({}, body(confirmation("UnsubscribeConfirmation"))) == Verified(response=WebhookResponse())
    assert [url for _, url, _ in harness.network.asked] == [CERT]


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b"raw message delivery"])
async def test_trap_1_a_body_that_is_no_message_is_rejected(raw: bytes) -> None:
    with pytest.raises(NotVerified):
        await sns()({}, raw)


@settings(max_examples=150)
@given(
    other=st.dictionaries(
        st.sampled_from(sorted(confirmation())),
        st.one_of(st.text(max_size=30), st.none(), st.integers(), st.sampled_from(["1", "2", "Notification", CERT])),
    )
)
async def test_trap_1_verification_is_total_whatever_the_message_says(other: dict[str, Any]) -> None:
    for made in (message(), confirmation()):
        with suppress(NotVerified, CannotVerify):
            assert isinstance(await sns()({}, body(made | other)), Verified)


@pytest.mark.parametrize(
    "topics", [None, [], "", "orders", "arn:aws:sqs:eu-central-1:123456789012:orders", TOPIC + "*"]
)
def test_topics_have_to_be_named(topics: Any) -> None:
    with pytest.raises(ValidationError):
        SnsSettings.model_validate({"topics": topics})
    with pytest.raises(ValidationError):
        SnsSettings.model_validate({})


async def test_a_message_arrives_as_json_although_sns_calls_it_text() -> None:
    scheme = Sns()
    flow = webhook_flow(scheme=scheme, scheme_settings=SnsSettings(topics=TOPIC), body="json")
    hook = HookOverMemory(flow, http=Network({CERT: PEM, SUBSCRIBE: b"<ok/>"}))
    hook.clock.at = NOW
    assert (await hook.send(body(message()), "text/plain; charset=UTF-8")).status == 202
    (envelope,) = hook.intake.accepted
    assert envelope.message.body["Message"] == "Zoë\nsays: hello"
    assert envelope.dedupe_key == f"v:{message()['MessageId']}"
    assert (await hook.send(body(confirmation()), "text/plain; charset=UTF-8")).status == 200
    forged = await hook.send(body(message() | {"Message": "forged"}), "text/plain; charset=UTF-8")
    assert (forged.status, len(hook.intake.accepted)) == (401, 1)
