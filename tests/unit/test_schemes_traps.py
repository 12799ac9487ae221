"""What holds for every scheme: total, strict about repeated headers, and true to what it signs itself."""

import json
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.api import CannotVerify, NotVerified, Scheme, SignedRequest, StepError, Verified
from hookline.service.exchange import HookReply
from hookline.service.hook import HookOptions
from hookline.testing.hook import HookOverMemory, webhook_flow
from hookline_signatures import register_schemes

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SHARED = b64encode(bytes(range(24))).decode()
ED25519 = b64encode(bytes(range(32))).decode()


class Unreachable:
    """A client without a network."""

    async def request(self, method: str, url: str, **options: Any) -> Any:
        raise StepError("no network", code="http.connect", retryable=True)


def _rsa() -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "trial")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - timedelta(days=1), NOW + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), certificate.public_bytes(Encoding.PEM).decode()


def _ecdsa() -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), b64encode(public).decode()


PRIVATE, CERTIFICATE = _rsa()
EC_PRIVATE, EC_PUBLIC = _ecdsa()
DISCORD_PRIVATE = bytes(range(32)).hex()
DISCORD_PUBLIC = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw().hex()

#: Name of the case: scheme, credential, settings.
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "basic": ("basic", {"username": "shop", "password": "pass:word"}, {}),
    "api-key": ("api-key", {"key": "k-1234567890"}, {}),
    "api-key, prefixed": ("api-key", {"key": "k-1234567890"}, {"header": "Authorization", "prefix": "Bearer "}),
    "bearer": ("bearer", {"token": ["t-1234567890", "older one"]}, {}),
    "jwt, secret": ("jwt", {"secret": "s" * 32}, {"algorithms": ["HS256"], "audience": "hookline"}),
    "jwt, public key": (
        "jwt",
        {"public_key": CERTIFICATE, "private_key": PRIVATE},
        {"algorithms": ["PS256", "RS256"], "audience": None, "issuer": "shop", "header": "X-Api-Key", "prefix": ""},
    ),
    "hmac": ("hmac", {"secret": "topsecret"}, {"header": "X-Sig"}),
    "hmac, all settings": (
        "hmac",
        {"secret": ["topsecret", "older one"]},
        {
            "header": "X-Sig",
            "algorithm": "sha512",
            "encoding": "base64",
            "prefix": "v0=",
            "timestamp_header": "X-Time",
            "id_header": "X-Id",
            "signed": "v0:{timestamp}:{body}:{id}",
        },
    ),
    "github": ("github", {"secret": "topsecret"}, {}),
    "bitbucket": ("bitbucket", {"secret": "topsecret"}, {}),
    "dropbox": ("dropbox", {"secret": "topsecret"}, {}),
    "gitlab, token": ("gitlab", {"token": "topsecret"}, {}),
    "gitlab, signed": ("gitlab", {"signing_token": f"whsec_{SHARED}"}, {}),
    "gitlab, both": ("gitlab", {"token": ["topsecret", "older one"], "signing_token": f"whsec_{SHARED}"}, {}),
    "intercom": ("intercom", {"secret": "topsecret"}, {}),
    "linear": ("linear", {"secret": ["topsecret", "older one"]}, {}),
    "meta": ("meta", {"secret": "topsecret", "verify_token": "a token"}, {}),
    "microsoft-graph": ("microsoft-graph", {"client_state": ["topsecret", "older one"]}, {}),
    "xero": ("xero", {"secret": "topsecret"}, {}),
    "zoom": ("zoom", {"secret": ["topsecret", "older one"]}, {}),
    "discord": ("discord", {"public_key": DISCORD_PUBLIC, "private_key": DISCORD_PRIVATE}, {}),
    "mailgun": ("mailgun", {"secret": ["topsecret", "older one"]}, {}),
    "sendgrid": ("sendgrid", {"public_key": EC_PUBLIC, "private_key": EC_PRIVATE}, {}),
    "shopify": ("shopify", {"secret": ["topsecret", "older one"]}, {}),
    "slack": ("slack", {"secret": ["topsecret", "older one"]}, {}),
    "square": ("square", {"secret": ["topsecret", "older one"]}, {}),
    "stripe": ("stripe", {"secret": "whsec_topsecret"}, {}),
    "twilio": ("twilio", {"secret": ["topsecret", "older one"]}, {}),
    "zendesk": ("zendesk", {"secret": ["topsecret", "older one"]}, {}),
    "standard-webhooks": ("standard-webhooks", {"secret": f"whsec_{SHARED}"}, {}),
    "standard-webhooks, v1a": ("standard-webhooks", {"secret": f"whsk_{ED25519}"}, {}),
    "svix": ("svix", {"secret": f"whsec_{SHARED}"}, {}),
    "paypal, pinned": ("paypal", {"webhook_id": "1JE4", "certificate": CERTIFICATE, "private_key": PRIVATE}, {}),
}
#: Where the provider puts something into the body itself: a body of such a shape that holds these bytes.
SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "linear": lambda raw: json.dumps({"raw": raw.hex()}).encode(),
    "mailgun": lambda raw: json.dumps({"event-data": {"raw": raw.hex()}}).encode(),
    "microsoft-graph": lambda raw: json.dumps({"value": [{"raw": raw.hex()}, {}]}).encode(),
    "twilio": lambda raw: b"Raw=" + raw.hex().encode(),
}
#: Those that send a time.
TIMED = (
    *("gitlab, both", "gitlab, signed", "hmac, all settings", "linear", "standard-webhooks", "standard-webhooks, v1a"),
    *("discord", "mailgun", "sendgrid", "slack", "stripe", "svix", "zendesk", "zoom"),
)
#: Ids that a request may do without.
OPTIONAL = {"x-github-delivery", "x-request-uuid", "linear-delivery", "idempotency-key"} | {
    *("x-shopify-event-id", "x-zendesk-webhook-invocation-id"),
}
SCHEMES = {scheme.name: scheme for scheme in register_schemes()}
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


@cache
def case(name: str) -> tuple[Scheme[Any, Any], Any, Any]:
    scheme_name, credential, chosen = CASES[name]
    scheme = SCHEMES[scheme_name]
    assert scheme.credential is not None
    return scheme, scheme.credential.model_validate(credential), scheme.settings.model_validate(chosen)


def request(headers: Any = (), at: datetime = NOW) -> SignedRequest:
    return SignedRequest("POST", "https://hooks.example/hook/shop", tuple(headers), at, Unreachable())  # type: ignore[arg-type] # has what is used


async def verify(name: str, sent: SignedRequest, *chunks: bytes) -> Verified:
    scheme, credential, chosen = case(name)
    check = scheme.open(sent, credential, chosen)
    for chunk in chunks:
        check.feed(chunk)
    return await check.finish()


def complete(name: str, raw: bytes, at: datetime = NOW) -> bytes:
    """A body of the provider's that holds these bytes."""
    scheme, credential, chosen = case(name)
    return scheme.complete(request(at=at), SHAPES.get(scheme.name, bytes)(raw), credential, chosen)


def signed(name: str, body: bytes, at: datetime = NOW) -> list[tuple[str, str]]:
    scheme, credential, chosen = case(name)
    return list(scheme.sign(request(at=at), body, credential, chosen))


def test_each_scheme_is_among_the_cases() -> None:
    # What Amazon alone can sign has a file of its own.
    assert {scheme for scheme, _, _ in CASES.values()} == SCHEMES.keys() - {"sns"}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=3))
async def test_what_a_scheme_signs_it_verifies_however_it_arrives(name: str, body: bytes, cuts: list[int]) -> None:
    body = complete(name, body)
    places = [0, *sorted(cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(places)]
    await verify(name, request(signed(name, body)), *chunks)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=150, deadline=None)
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


@pytest.mark.parametrize("name", CASES)
async def test_trap_3_a_repeated_header_is_refused(name: str) -> None:
    body = complete(name, b"{}")
    headers = signed(name, body)
    await verify(name, request(headers), body)
    for header in headers:
        with pytest.raises(NotVerified):
            await verify(name, request([*headers, header]), body)


@pytest.mark.parametrize("name", CASES)
async def test_a_missing_or_empty_header_is_refused(name: str) -> None:
    body = complete(name, b"{}")
    headers = signed(name, body)
    for header, _ in headers:
        if header in OPTIONAL:
            continue
        others = [one for one in headers if one[0] != header]
        for sent in (others, [*others, (header, "")]):
            with pytest.raises(NotVerified):
                await verify(name, request(sent), body)


@pytest.mark.parametrize(
    "name", [name for name in CASES if SCHEMES[CASES[name][0]].reads_body and name != "gitlab, token"]
)
async def test_trap_5_any_other_byte_of_the_body_is_refused(name: str) -> None:
    for body in (b'{"a": 1}', b'{"a":1} ', b'{"a":2}', b""):
        with pytest.raises(NotVerified):
            await verify(name, request(signed(name, complete(name, b'{"a":1}'))), body)


#: What is within the body, and a header of several entries, of which one wrong doesn't hide one right: in other files.
ELSEWHERE = ("mailgun", "microsoft-graph", "stripe")


@pytest.mark.parametrize("name", [name for name in CASES if name not in ELSEWHERE])
async def test_trap_1_a_mangled_signature_is_refused(name: str) -> None:
    body = complete(name, b"{}")
    headers = signed(name, body)
    header, value = headers[-1] if "paypal" not in name else headers[2]
    others = [one for one in headers if one[0] != header]
    for mangled in (value[:-4], value + "x", "\xe9" + value, value + "\n", value * 2, "=" * 8, "v1"):
        with pytest.raises(NotVerified):
            await verify(name, request([*others, (header, mangled)]), body)


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize(("off", "holds"), [(0, True), (1, False)])
@pytest.mark.parametrize("sign", [1, -1])
async def test_trap_11_freshness_is_judged_by_the_time_of_receipt(name: str, off: int, holds: bool, sign: int) -> None:
    _, _, chosen = case(name)
    at = NOW - sign * (chosen.tolerance + timedelta(seconds=off))
    body = complete(name, b"{}", at)
    sent = request(signed(name, body, at))
    if holds:
        await verify(name, sent, body)
    else:
        with pytest.raises(NotVerified):
            await verify(name, sent, body)


def test_rule_33_the_headers_that_hold_secrets_are_declared() -> None:
    declared = {}
    for name in CASES:
        scheme, _, chosen = case(name)
        declared[name] = scheme.secret_headers(chosen)
    secret = {name: headers for name, headers in declared.items() if headers}
    assert secret == {
        "basic": {"authorization"},
        "api-key": {"x-api-key"},
        "api-key, prefixed": {"authorization"},
        "bearer": {"authorization"},
        "jwt, secret": {"authorization"},
        "jwt, public key": {"x-api-key"},
        **{f"gitlab, {kind}": {"x-gitlab-token"} for kind in ("token", "signed", "both")},
    }


@pytest.mark.parametrize("name", CASES)
def test_no_credential_shows_its_secrets(name: str) -> None:
    _, credential, _ = case(name)
    secrets = [
        value for values in CASES[name][1].values() for value in ([values] if isinstance(values, str) else values)
    ]
    shown = repr(credential) + str(credential.model_dump_json())
    public = {"shop", "1JE4", CERTIFICATE, EC_PUBLIC, DISCORD_PUBLIC}
    assert not [secret for secret in secrets if secret not in public and secret in shown]


def test_rule_5_only_schemes_without_a_body_are_judged_before_it() -> None:
    assert {scheme.name for scheme in SCHEMES.values() if not scheme.reads_body} == {
        *("basic", "bearer", "api-key", "jwt"),
    }


#: Those whose secret both sides know: the same case with another secret.
SHARED_SECRETS = {
    name: {key: value if key == "username" else "another one" * 3 for key, value in credential.items()}
    for name, (_, credential, _) in CASES.items()
    if not {"certificate", "public_key", "signing_token"} & credential.keys() and "whs" not in str(credential)
} | {
    "stripe": {"secret": "whsec_another"},
    "standard-webhooks": {"secret": b64encode(bytes(range(1, 25))).decode()},
    "svix": {"secret": b64encode(bytes(range(1, 25))).decode()},
}


@pytest.mark.parametrize("name", SHARED_SECRETS)
async def test_what_another_secret_signs_is_refused(name: str) -> None:
    scheme, _, chosen = case(name)
    assert scheme.credential is not None
    other = scheme.credential.model_validate(SHARED_SECRETS[name])
    body = scheme.complete(request(), SHAPES.get(scheme.name, bytes)(b"{}"), other, chosen)
    with pytest.raises(NotVerified):
        await verify(name, request(scheme.sign(request(), body, other, chosen)), body)
    # And holds where it is the secret: the case is a right one.
    check = scheme.open(request(scheme.sign(request(), body, other, chosen)), other, chosen)
    check.feed(body)
    assert isinstance(await check.finish(), Verified)


@pytest.mark.parametrize("name", CASES)
async def test_trap_4_every_refusal_has_the_same_answer_and_stores_nothing(name: str) -> None:
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

    async def send(headers: list[tuple[str, str]], body: bytes = body) -> HookReply:
        raw = [(key.encode(), value.encode("latin-1")) for key, value in headers]
        return await hook.send(body, media_type, path="shop", headers=raw)

    refused = [await send([*right, header]) for header in right if header[0] not in OPTIONAL]
    refused += [await send([one for one in right if one != header]) for header in right if header[0] not in OPTIONAL]
    refused += [await send([(header, "\xe9, =,") for header, _ in right], b"[")]
    if name in TIMED:
        hook.clock.at = NOW + chosen.tolerance + timedelta(seconds=1)
        refused += [await send(right)]
        hook.clock.at = NOW
    assert {(reply.status, reply.headers, reply.body) for reply in refused} == {
        (401, refused[0].headers, refused[0].body)
    }
    assert (hook.intake.accepted, hook.memory_blobs.kept) == ([], {})
    # No key was used up: the right one is the first.
    reply = await send(right)
    assert (reply.status, len(hook.intake.accepted)) == (202 if scheme.accepted is None else scheme.accepted.status, 1)
