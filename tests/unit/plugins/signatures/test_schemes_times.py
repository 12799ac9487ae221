"""What holds for every scheme that signs a time: text as it was received, judged by the time of receipt."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from hmac import new as new_mac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.unit.plugins.signatures.scheme_cases import (
    DISCORD_PRIVATE,
    EC_PRIVATE,
    NOW,
    SHARED,
    TIMED,
    case,
    complete,
    request,
    signed,
    verify,
)

from hookline.api import NotVerified

SECONDS = str(int(NOW.timestamp()))
BODY = b'{"a": 1}'


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


def mac(key: bytes, before: str, body: bytes = BODY) -> bytes:
    return new_mac(key, before.encode() + body, "sha256").digest()


def _standard(family: str, at: str) -> dict[str, str]:
    signature = b64encode(mac(b64decode(SHARED), f"msg_1.{at}.")).decode()
    return {f"{family}-id": "msg_1", f"{family}-timestamp": at, f"{family}-signature": f"v1,{signature}"}


def _v1a(at: str) -> dict[str, str]:
    signature = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(f"msg_1.{at}.".encode() + BODY)
    return _standard("webhook", at) | {"webhook-signature": f"v1a,{b64encode(signature).decode()}"}


def _discord(at: str) -> dict[str, str]:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(DISCORD_PRIVATE))
    return {"x-signature-timestamp": at, "x-signature-ed25519": key.sign(at.encode() + BODY).hex()}


def _sendgrid(at: str) -> dict[str, str]:
    key = load_pem_private_key(EC_PRIVATE.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = b64encode(key.sign(at.encode() + BODY, ec.ECDSA(hashes.SHA256()))).decode()
    family = "x-twilio-email-event-webhook"
    return {f"{family}-timestamp": at, f"{family}-signature": signature}


#: A time that is signed as it is written: what the provider's documentation makes of it, by hand.
SIGNED_AT: dict[str, Callable[[str], dict[str, str]]] = {
    "discord": _discord,
    "gitlab, signed": lambda at: _standard("webhook", at),
    "gitlab, both": lambda at: _standard("webhook", at) | {"x-gitlab-token": "topsecret"},
    "hmac, all settings": lambda at: {
        "x-id": "1",
        "x-time": at,
        "x-sig": "v0="
        + b64encode(new_mac(b"topsecret", b"v0:%b:%b:1" % (at.encode(), BODY), "sha512").digest()).decode(),
    },
    "sendgrid": _sendgrid,
    "slack": lambda at: {
        "x-slack-request-timestamp": at,
        "x-slack-signature": "v0=" + mac(b"topsecret", f"v0:{at}:").hex(),
    },
    "standard-webhooks": lambda at: _standard("webhook", at),
    "standard-webhooks, v1a": _v1a,
    "stripe": lambda at: {"stripe-signature": f"t={at},v1={mac(b'whsec_topsecret', f'{at}.').hex()}"},
    "svix": lambda at: _standard("svix", at),
    "zoom": lambda at: {"x-zm-request-timestamp": at, "x-zm-signature": "v0=" + mac(b"topsecret", f"v0:{at}:").hex()},
}
#: Whose time is within the body, or no number.
OTHER_TIMES = {"linear", "mailgun", "sns, pinned", "zendesk"}


def test_each_time_in_a_header_is_among_those_signed_by_hand() -> None:
    assert SIGNED_AT.keys() | OTHER_TIMES == set(TIMED)


@pytest.mark.parametrize("name", SIGNED_AT)
async def test_trap_2_a_time_is_nothing_but_digits_and_signed_as_received(name: str) -> None:
    for form in ("{}", "0{}"):
        await verify(name, request(SIGNED_AT[name](form.format(SECONDS)).items()), BODY)
    # Each is signed rightly, and some are numbers to Python.
    for form in ("+{}", " {}", "{} ", "{}.0", "{}e0", "-{}", "0x{}", "{}_0", "{}\n", "{}\u00b2", "\u0661{}", ""):
        with pytest.raises(NotVerified):
            await verify(name, request(SIGNED_AT[name](form.format(SECONDS)).items()), BODY)
    # A number that is the same isn't the same text.
    other = [(header, value.replace(SECONDS, f"0{SECONDS}")) for header, value in SIGNED_AT[name](SECONDS).items()]
    with pytest.raises(NotVerified):
        await verify(name, request(other), BODY)
