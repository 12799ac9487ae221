"""`paypal`: signatures made with `cryptography` from PayPal's documentation, and a certificate authority of our own."""

import asyncio
import zlib
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from pydantic import ValidationError

from hookline.api import CannotVerify, NotVerified, Response, SignedRequest, StepError, Verified
from hookline_signatures.public_key.paypal import PayPal, PayPalCredential, PayPalSettings
from hookline_signatures.public_key.paypal_certificates import PayPalCertificates

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
URL = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-df8cd2d5"
LIVE, SANDBOX = "messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"
#: Its CRC32 is above 2**31: signed and unsigned decimals differ.
BODY = b'{"id":"WH-7","amount":"9.99"}'
TRANSMISSION = "505fcad0-acfc-11e6-8e5f-13662a490b19"
WEBHOOK = "2A9741408B151863U"


@dataclass(frozen=True)
class Certified:
    """A key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def private(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@cache
def certify(
    name: str,
    issuer: Certified | None = None,
    *,
    authority: bool = False,
    start: timedelta = timedelta(days=-30),
    end: timedelta = timedelta(days=30),
    key_size: int = 2048,
) -> Certified:
    key = rsa.generate_private_key(65537, key_size)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    above = issuer.certificate.subject if issuer else subject
    signing = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder(above, subject, key.public_key(), x509.random_serial_number(), NOW + start, NOW + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(not authority, False, False, False, False, authority, authority, False, False), critical=True
        )
    )
    if not authority:
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    return Certified(key, builder.sign(signing, hashes.SHA256()))


def root() -> Certified:
    return certify("root.example", authority=True)


def intermediate() -> Certified:
    return certify("intermediate.example", root(), authority=True)


def paypals() -> Certified:
    return certify(LIVE, intermediate())


@dataclass
class Network:
    """Answers each request with what it holds, and counts; with a gate, when four wait at it."""

    answer: Any
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    gate: asyncio.Barrier | None = None

    async def request(self, method: str, url: str, **options: Any) -> Response:
        self.asked.append((url, options))
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, Response):
            return self.answer
        return Response(200, {}, self.answer)


def headers(
    signer: Certified, *, sent: str = "2026-01-31T11:59:58Z", body: bytes = BODY, webhook: str = WEBHOOK, **other: str
) -> dict[str, str]:
    message = f"{TRANSMISSION}|{sent}|{webhook}|{zlib.crc32(body)}".encode()
    return {
        "paypal-transmission-id": TRANSMISSION,
        "paypal-transmission-time": sent,
        "paypal-transmission-sig": b64encode(signer.key.sign(message, PKCS1v15(), hashes.SHA256())).decode(),
        "paypal-cert-url": URL,
        "paypal-auth-algo": "SHA256withRSA",
    } | {name.replace("_", "-"): value for name, value in other.items()}


async def verify(
    sent: dict[str, str],
    network: Any = None,
    *,
    scheme: PayPal | None = None,
    at: datetime = NOW,
    body: bytes = BODY,
    **credential: Any,
) -> Verified:
    scheme = scheme or PayPal(PayPalCertificates((root().certificate,)))
    request = SignedRequest("POST", "https://h.example/hook/a", tuple(sent.items()), at, network)
    model = PayPalCredential.model_validate({"webhook_id": WEBHOOK, **credential})
    check = scheme.open(request, model, PayPalSettings())
    for byte in body:
        check.feed(bytes([byte]))
    return await check.finish()


def chain() -> bytes:
    return paypals().pem + intermediate().pem


async def test_trap_9_a_message_of_paypals_holds_and_its_signed_transmission_is_the_dedupe_key() -> None:
    assert zlib.crc32(BODY) > 2**31
    network = Network(chain())
    assert await verify(headers(paypals()), network) == Verified(TRANSMISSION)
    ((url, options),) = network.asked
    assert url == URL
    assert options["redirects"] == 0
    assert options["max_bytes"] <= 65536
    assert options["timeout"] <= 10


async def test_the_sandbox_signs_under_a_name_of_its_own() -> None:
    sandbox = certify(SANDBOX, intermediate())
    url = "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"
    await verify(headers(sandbox, paypal_cert_url=url), Network(sandbox.pem + intermediate().pem))


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"id":"WH-8","amount":"9.99"}'},
        {"webhook_id": "0000000000000000X"},
        {"sent": {"paypal-transmission-id": TRANSMISSION[:-1] + "0"}},
        {"sent": {"paypal-transmission-time": "2026-01-31T11:59:59Z"}},
        {"sent": {"paypal-auth-algo": "SHA1withRSA"}},
        {"sent": {"paypal-transmission-id": TRANSMISSION + "|x"}},
    ],
)
async def test_whatever_is_signed_may_not_change(change: dict[str, Any]) -> None:
    sent = headers(paypals()) | change.pop("sent", {})
    with pytest.raises(NotVerified):
        await verify(sent, Network(chain()), **change)


async def test_a_signed_checksum_is_unsigned_decimal() -> None:
    message = f"{TRANSMISSION}|2026-01-31T11:59:58Z|{WEBHOOK}|{zlib.crc32(BODY) - 2**32}".encode()
    sent = headers(paypals())
    sent["paypal-transmission-sig"] = b64encode(paypals().key.sign(message, PKCS1v15(), hashes.SHA256())).decode()
    with pytest.raises(NotVerified):
        await verify(sent, Network(chain()))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://evilpaypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://u:p@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.paypal.com\\.evil.example/v1/notifications/certs/CERT-1",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/oauth2/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../CERT-1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?x=1",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
        "https://api.paypal.com/v1/notifications/certs/%2e%2e",
        "https://api.paypal.com/v1/notifications/certs/",
        URL + "\n",
        "HTTPS://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
    ],
)
async def test_trap_10_a_certificate_from_elsewhere_is_never_fetched(url: str) -> None:
    network = Network(chain())
    with pytest.raises(NotVerified):
        await verify(headers(paypals(), paypal_cert_url=url), network)
    assert network.asked == []
    # A pinned certificate changes nothing about that.
    with pytest.raises(NotVerified):
        await verify(headers(paypals(), paypal_cert_url=url), certificate=paypals().pem.decode())


@pytest.mark.parametrize(
    "served",
    [
        lambda: certify(LIVE).pem,
        lambda: paypals().pem,
        lambda: certify("www.paypal.com", intermediate()).pem + intermediate().pem,
        lambda: certify(f"x.{LIVE}", intermediate()).pem + intermediate().pem,
        lambda: certify(LIVE, certify("elsewhere", authority=True)).pem + certify("elsewhere", authority=True).pem,
        lambda: certify(LIVE, certify("no authority", root())).pem + certify("no authority", root()).pem,
        lambda: certify(LIVE, intermediate(), end=timedelta(days=-1)).pem + intermediate().pem,
        lambda: certify(LIVE, intermediate(), start=timedelta(days=1)).pem + intermediate().pem,
        lambda: intermediate().pem + paypals().pem,
        lambda: b"",
        lambda: b"<html>",
        lambda: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
    ids=[
        *("self-signed", "no intermediate", "PayPal's, for another use", "a name below", "other authority"),
        *("issued by none", "expired", "not yet valid", "an authority's own", "nothing", "a page", "broken"),
    ],
)
async def test_trap_10_a_certificate_that_is_not_paypals_verifies_nothing(served: Any) -> None:
    with pytest.raises(CannotVerify):
        await verify(headers(paypals()), Network(served()))


@pytest.mark.rule(4)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (StepError("no", code="http.connect", retryable=True), CannotVerify),
        (StepError("no", code="http.timeout", retryable=True), CannotVerify),
        (StepError("no", code="http.egress"), CannotVerify),
        (StepError("no", code="http.500", retryable=True), CannotVerify),
        (StepError("no", code="http.403"), CannotVerify),
        (Response(302, {"location": "https://evil.example"}, b""), CannotVerify),
        (Response(204, {}, b""), CannotVerify),
        (StepError("no", code="http.404"), NotVerified),
    ],
)
async def test_a_certificate_that_cannot_be_fetched_is_no_verdict(answer: Any, expected: Any) -> None:
    with pytest.raises(expected):
        await verify(headers(paypals()), Network(answer))


async def test_trap_10_a_certificate_is_fetched_once_a_day() -> None:
    scheme, network = PayPal(PayPalCertificates((root().certificate,))), Network(chain())
    for hours in (0, 1, 23):
        await verify(headers(paypals()), network, scheme=scheme, at=NOW + timedelta(hours=hours))
    assert len(network.asked) == 1
    await verify(headers(paypals()), network, scheme=scheme, at=NOW + timedelta(hours=25))
    assert len(network.asked) == 2


async def test_a_kept_certificate_serves_while_paypal_cannot_be_reached_until_it_expires() -> None:
    scheme, network = PayPal(PayPalCertificates((root().certificate,))), Network(chain())
    await verify(headers(paypals()), network, scheme=scheme)
    network.answer = StepError("no", code="http.connect")
    later, expired = NOW + timedelta(days=3), NOW + timedelta(days=31)
    await verify(headers(paypals(), sent="2026-02-03T12:00:00Z"), network, scheme=scheme, at=later)
    with pytest.raises(CannotVerify):
        await verify(headers(paypals(), sent="2026-03-03T12:00:00Z"), network, scheme=scheme, at=expired)


async def test_the_kept_certificates_are_bounded() -> None:
    certificates = PayPalCertificates((root().certificate,))
    scheme, network = PayPal(certificates), Network(chain())
    for number in range(40):
        await verify(headers(paypals(), paypal_cert_url=f"{URL}-{number}"), network, scheme=scheme)
    assert len(network.asked) == 40
    await verify(headers(paypals(), paypal_cert_url=f"{URL}-39"), network, scheme=scheme)
    assert len(network.asked) == 40
    await verify(headers(paypals(), paypal_cert_url=f"{URL}-0"), network, scheme=scheme)
    assert len(network.asked) == 41


async def test_a_crowd_fetches_one_certificate_once_or_little_more() -> None:
    scheme, network = PayPal(PayPalCertificates((root().certificate,))), Network(chain(), gate=asyncio.Barrier(4))
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(verify(headers(paypals()), network, scheme=scheme))
    assert len(network.asked) == 4


async def test_a_flood_of_made_up_certificates_is_turned_away() -> None:
    scheme, network = PayPal(PayPalCertificates((root().certificate,))), Network(chain(), gate=asyncio.Barrier(4))
    flood = (verify(headers(paypals(), paypal_cert_url=f"{URL}-{n}"), network, scheme=scheme) for n in range(200))
    results = await asyncio.gather(*flood, return_exceptions=True)
    assert sum(isinstance(result, Verified) for result in results) == 64
    assert sum(isinstance(result, CannotVerify) for result in results) == 200 - 64


async def test_a_machine_that_trusts_nobody_says_so() -> None:
    scheme = PayPal(PayPalCertificates(()))
    with pytest.raises(CannotVerify, match="pin `certificate`"):
        await verify(headers(paypals()), Network(chain()), scheme=scheme)


async def test_by_default_the_machines_own_authorities_are_trusted() -> None:
    # Whatever they are, ours is not among them.
    with pytest.raises(CannotVerify, match="is not one that signs PayPal's messages"):
        await verify(headers(paypals()), Network(chain()), scheme=PayPal())


async def test_a_pinned_certificate_is_the_only_one_and_nothing_is_fetched() -> None:
    own = certify("pinned")
    assert await verify(headers(own), certificate=own.pem.decode()) == Verified(TRANSMISSION)
    with pytest.raises(NotVerified):
        await verify(headers(paypals()), certificate=own.pem.decode())


async def test_trap_12_several_certificates_and_webhooks_may_be_named() -> None:
    own, other = certify("pinned"), certify("pinned later")
    both = (own.pem + other.pem).decode()
    for signer in (own, other):
        await verify(headers(signer), certificate=both, webhook_id=["OTHER", WEBHOOK])


async def test_a_pinned_certificate_is_judged_at_the_time_of_receipt() -> None:
    own = certify("pinned")
    sent = headers(own, sent="2026-03-03T12:00:00Z")
    with pytest.raises(CannotVerify, match="valid now"):
        await verify(sent, certificate=own.pem.decode(), at=NOW + timedelta(days=31))


@pytest.mark.parametrize(
    ("age", "holds"), [(timedelta(days=3), True), (timedelta(days=7), True), (timedelta(days=7, seconds=1), False)]
)
async def test_trap_11_paypals_own_retries_are_fresh_and_older_copies_are_not(age: timedelta, holds: bool) -> None:
    own = certify("pinned")
    sent = headers(own, sent=(NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ"))
    if holds:
        await verify(sent, certificate=own.pem.decode())
    else:
        with pytest.raises(NotVerified):
            await verify(sent, certificate=own.pem.decode())


@pytest.mark.parametrize("sent", ["2026-01-31T11:59:58.123Z", "2026-01-31T13:59:58+02:00"])
async def test_trap_2_a_time_is_signed_as_received(sent: str) -> None:
    await verify(headers(certify("pinned"), sent=sent), certificate=certify("pinned").pem.decode())


@pytest.mark.parametrize("sent", ["1769860798", "2026-01-31", "2026-01-31T11:59:58", "2026-13-01T00:00:00Z", "now"])
async def test_trap_2_a_time_that_cannot_be_read_is_rejected(sent: str) -> None:
    with pytest.raises(NotVerified):
        await verify(headers(certify("pinned"), sent=sent), certificate=certify("pinned").pem.decode())


async def test_what_an_own_key_signs_holds_under_its_pinned_certificate() -> None:
    own = certify("pinned")
    credential = PayPalCredential.model_validate(
        {"webhook_id": WEBHOOK, "certificate": own.pem.decode(), "private_key": own.private}
    )
    request = SignedRequest("POST", "https://h.example/hook/a", (), NOW, Network(b""))  # type: ignore[arg-type] # fetches nothing
    sent = dict(PayPal().sign(request, BODY, credential, PayPalSettings()))
    await verify(sent, certificate=own.pem.decode())
    with pytest.raises(NotImplementedError):
        PayPal().sign(request, BODY, PayPalCredential.model_validate({"webhook_id": WEBHOOK}), PayPalSettings())


def _elliptic() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "webhook_id"),
        ({"webhook_id": ""}, "webhook_id"),
        ({"webhook_id": []}, "webhook_id"),
        ({"webhook_id": "A|B"}, "webhook_id"),
        ({"webhook_id": "A\n"}, "webhook_id"),
        ({"webhook_id": "A", "certificate": "text"}, "certificate"),
        ({"webhook_id": "A", "certificate": _elliptic()}, "RSA"),
        ({"webhook_id": "A", "private_key": certify("pinned").private}, "give the certificate"),
        (
            {"webhook_id": "A", "private_key": certify("pinned").private, "certificate": paypals().pem.decode()},
            "give the certificate",
        ),
        ({"webhook_id": "A", "private_key": "text"}, "private_key"),
    ],
    ids=range(10),
)
def test_trap_7_a_credential_that_cannot_verify_is_rejected_when_stored(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PayPalCredential.model_validate(values)


@pytest.mark.rule(9)
def test_a_transmission_is_kept_until_it_is_too_old_or_paypal_stops_trying_whichever_is_later() -> None:
    scheme = PayPal()
    assert scheme.retries_for >= timedelta(days=3)
    for oldest in (timedelta(hours=1), 2 * scheme.retries_for):
        kept = scheme.remembers(PayPalSettings(oldest=oldest))
        assert kept == max(oldest, scheme.retries_for)
