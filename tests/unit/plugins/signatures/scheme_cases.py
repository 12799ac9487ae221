"""Every scheme with credentials and settings of its own, for tests of what holds for all of them."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hookline.api import Scheme, SignedRequest, StepError, Verified
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
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - timedelta(days=9), NOW + timedelta(days=9))
    ).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private.decode(), certificate.public_bytes(Encoding.PEM).decode()


def _ecdsa() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


PRIVATE, CERTIFICATE = _rsa()
EC_PRIVATE = _ecdsa()
DISCORD_PRIVATE = bytes(range(32)).hex()
TOPIC = "arn:aws:sns:eu-central-1:123456789012:orders"

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
    "hmac, any encoding": ("hmac", {"secret": "topsecret"}, {"header": "X-Sig", "encoding": "any"}),
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
    "discord": ("discord", {"private_key": DISCORD_PRIVATE}, {}),
    "mailgun": ("mailgun", {"secret": ["topsecret", "older one"]}, {}),
    "sendgrid": ("sendgrid", {"private_key": EC_PRIVATE}, {}),
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
    "sns, pinned": ("sns", {"certificate": CERTIFICATE, "private_key": PRIVATE}, {"topics": TOPIC}),
}
#: Where the provider puts something into the body itself: a body of such a shape that holds these bytes.
SHAPES: dict[str, Callable[[bytes], bytes]] = {
    "sns": lambda raw: raw.hex().encode(),
    "linear": lambda raw: json.dumps({"raw": raw.hex()}).encode(),
    "mailgun": lambda raw: json.dumps({"event-data": {"raw": raw.hex()}}).encode(),
    "microsoft-graph": lambda raw: json.dumps({"value": [{"raw": raw.hex()}, {}]}).encode(),
    "twilio": lambda raw: b"Raw=" + raw.hex().encode(),
}
#: Those that send a time.
TIMED = (
    *("gitlab, both", "gitlab, signed", "hmac, all settings", "linear", "standard-webhooks", "standard-webhooks, v1a"),
    *("discord", "mailgun", "sendgrid", "slack", "stripe", "svix", "zendesk", "zoom", "sns, pinned"),
)
#: Ids that a request may do without.
OPTIONAL = {"x-github-delivery", "x-request-uuid", "linear-delivery", "idempotency-key"} | {
    *("x-shopify-event-id", "x-zendesk-webhook-invocation-id"),
}
SCHEMES = {scheme.name: scheme for scheme in register_schemes()}


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
    made = scheme.sign(request(at=at), body, credential, chosen)
    # SNS says of its JSON that it is a text, and nothing judges by that.
    return [header for header in made if header != ("content-type", "text/plain; charset=UTF-8")]


#: Those whose secret both sides know: the same case with another secret.
SHARED_SECRETS = {
    name: {key: value if key == "username" else "another one" * 3 for key, value in credential.items()}
    for name, (_, credential, _) in CASES.items()
    if not {"certificate", "public_key", "private_key", "signing_token"} & credential.keys()
    and "whs" not in str(credential)
} | {
    "stripe": {"secret": "whsec_another"},
    "standard-webhooks": {"secret": b64encode(bytes(range(1, 25))).decode()},
    "svix": {"secret": b64encode(bytes(range(1, 25))).decode()},
}
