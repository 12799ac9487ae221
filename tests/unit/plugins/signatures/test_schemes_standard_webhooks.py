"""`standard-webhooks`, against the provider's own package, its published vector, and Ed25519 as documented."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hookline.api import NotVerified, SignedRequest, Verified
from hookline_signatures.generic.standard_webhooks import StandardCredential, StandardSettings, StandardWebhooks, Svix

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, SECONDS, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
NOW = datetime.fromtimestamp(SECONDS, UTC)
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
WRONG = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "whpk_" + b64encode(PRIVATE.public_key().public_bytes_raw()).decode()


def credential_of(secret: Any) -> StandardCredential:
    return StandardCredential.model_validate({"secret": secret})


async def verify(
    secret: Any,
    signature: str,
    body: bytes = BODY,
    *,
    id: str = ID,
    seconds: str = str(SECONDS),
    family: str = "webhook",
) -> Verified:
    headers = ((f"{family}-id", id), (f"{family}-timestamp", seconds), (f"{family}-signature", signature))
    request = SignedRequest("POST", "https://h.example/hook/a", headers, NOW, None)  # type: ignore[arg-type] # fetches nothing
    scheme = Svix() if family == "svix" else StandardWebhooks()
    check = scheme.open(request, credential_of(secret), StandardSettings())
    check.feed(body[:7])
    check.feed(body[7:])
    return await check.finish()


def asymmetric(body: bytes = BODY, key: Ed25519PrivateKey = PRIVATE) -> str:
    return "v1a," + b64encode(key.sign(f"{ID}.{SECONDS}.".encode() + body)).decode()


async def test_the_published_vector_holds_and_its_id_is_the_dedupe_key() -> None:
    assert await verify(SECRET, SIGNATURE) == Verified(ID)
    assert await verify(SECRET, SIGNATURE, family="svix") == Verified(ID)


@given(body=st.text(max_size=200))
async def test_what_the_official_package_signs_holds(body: str) -> None:
    signature = standardwebhooks.Webhook(SECRET).sign(ID, NOW, body)
    await verify(SECRET, signature, body.encode())


@given(body=st.text(max_size=200))
def test_what_we_sign_the_official_package_verifies(body: str) -> None:
    now = datetime.now(UTC)
    request = SignedRequest("POST", "https://h.example/hook/a", (), now, None)  # type: ignore[arg-type] # fetches nothing
    headers = StandardWebhooks().sign(request, body.encode(), credential_of(SECRET), StandardSettings())
    standardwebhooks.Webhook(SECRET).verify(body, dict(headers), json_parse=False)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(body + "x", dict(headers), json_parse=False)


@pytest.mark.parametrize(
    "secret", [SECRET.removeprefix("whsec_"), f" {SECRET}\n", "whsec_" + "/+" * 16, "whsec_" + "_-" * 16]
)
async def test_a_secret_is_read_with_or_without_prefix_padding_and_in_both_alphabets(secret: str) -> None:
    canonical = secret.strip().removeprefix("whsec_").replace("_", "/").replace("-", "+")
    await verify(secret, standardwebhooks.Webhook(canonical).sign(ID, NOW, BODY.decode()))


async def test_unpadded_secrets_are_taken() -> None:
    padded = b64encode(bytes(range(25))).decode()
    await verify("whsec_" + padded.rstrip("="), standardwebhooks.Webhook(padded).sign(ID, NOW, BODY.decode()))


@pytest.mark.parametrize(
    "junk", [WRONG, "v1", "v1,", "v1,é", "v1a,AAAA", "v2,xyz", ",", "", "v1,g0hM9SsE", "V1," + "A" * 44]
)
async def test_trap_3_a_wrong_entry_does_not_hide_a_right_one(junk: str) -> None:
    await verify(SECRET, f"{junk} {SIGNATURE}")
    await verify(SECRET, f"{SIGNATURE} {junk}")
    with pytest.raises(NotVerified):
        await verify(SECRET, junk or WRONG)


async def test_more_entries_than_any_sender_has_are_rejected() -> None:
    with pytest.raises(NotVerified):
        await verify(SECRET, " ".join([WRONG] * 40 + [SIGNATURE]))


@pytest.mark.parametrize("id", ["", "msg 1", "msg\x00", "mëg", "msg.1", "x" * 201])
async def test_trap_9_an_id_that_could_be_read_in_two_ways_is_rejected(id: str) -> None:
    signature = standardwebhooks.Webhook(SECRET).sign(id, NOW, BODY.decode())
    with pytest.raises(NotVerified):
        await verify(SECRET, signature, id=id)


async def test_an_asymmetric_signature_holds_under_the_public_key() -> None:
    assert await verify(PUBLIC, asymmetric()) == Verified(ID)
    assert await verify([SECRET, PUBLIC], f"{WRONG} v1a,AAAA {asymmetric()}") == Verified(ID)
    other = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    for signature in (asymmetric(key=other), asymmetric(b"{}"), asymmetric().replace("v1a", "v1"), SIGNATURE, "v1a,"):
        with pytest.raises(NotVerified):
            await verify(PUBLIC, signature)


async def test_a_public_key_is_never_used_as_a_shared_secret() -> None:
    # Anybody knows the public key, and could sign with it.
    known = standardwebhooks.Webhook(PUBLIC.removeprefix("whpk_")).sign(ID, NOW, BODY.decode())
    with pytest.raises(NotVerified):
        await verify(PUBLIC, known)


async def test_a_body_too_long_to_keep_is_not_verified_asymmetrically() -> None:
    body = bytes(17 * 1024 * 1024)
    with pytest.raises(NotVerified):
        await verify(PUBLIC, asymmetric(body), body)


async def test_a_long_body_is_verified_symmetrically() -> None:
    body = b"0" * (17 * 1024 * 1024)
    await verify(SECRET, standardwebhooks.Webhook(SECRET).sign(ID, NOW, body.decode()), body)


async def test_trap_12_old_and_new_secret_are_both_taken() -> None:
    new = "whsec_" + b64encode(bytes(range(24))).decode()
    await verify([new, SECRET], SIGNATURE)
    await verify([SECRET, new], SIGNATURE)


def test_only_the_owner_of_a_private_key_can_sign() -> None:
    request = SignedRequest("POST", "https://h.example/hook/a", (), NOW, None)  # type: ignore[arg-type] # fetches nothing
    with pytest.raises(NotImplementedError):
        StandardWebhooks().sign(request, BODY, credential_of(PUBLIC), StandardSettings())


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_!!!",
        "whsec_c2hvcnQ=",
        "plain text",
        "whpk_",
        "whpk_c2hvcnQ=",
        "whsk_c2hvcnQ=",
        [],
        [SECRET, ""],
    ],
)
def test_trap_7_a_key_that_decodes_to_little_or_nothing_is_rejected_when_stored(secret: Any) -> None:
    with pytest.raises(ValidationError):
        credential_of(secret)
