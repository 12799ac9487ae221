"""`jwt` and `bearer`: tokens that say who sends."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError
from tests.unit.plugins.signatures.scheme_harness import NOW, Network, SchemeHarness

from hookline.api import CannotVerify, NotVerified, Response, StepError
from hookline_signatures.generic.header_only import Bearer, BearerCredential
from hookline_signatures.generic.jwt_token import Jwt, JwtCredential, JwtSettings

SECRET = "0123456789abcdef0123456789abcdef"
JWKS_URL = "https://issuer.example/.well-known/jwks.json"
AT = int(NOW.timestamp())
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
NAMES = {type(RSA.public_key()): "RS256", type(EC.public_key()): "ES256", type(ED.public_key()): "EdDSA"}
CLAIMS: dict[str, Any] = {"exp": AT + 60, "aud": "hookline", "iss": "shop", "sub": 7}


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def private_pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def jwk(key: Any, key_id: str | None = None, **more: Any) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(NAMES[type(key.public_key())]).to_jwk(key.public_key(), as_dict=True)
    return {**made, **({"kid": key_id} if key_id else {}), **more}


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


def token(key: Any = SECRET, algorithm: str = "HS256", headers: Any = None, **claims: Any) -> str:
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.encode(said, key, algorithm, headers)


def harness(credential: Any = None, network: Network | None = None, **settings: Any) -> SchemeHarness:
    chosen = {"algorithms": ["HS256"], "audience": "hookline"} | settings
    return SchemeHarness(Jwt(), credential or {"secret": SECRET}, chosen, network or Network())


def shown(value: str) -> dict[str, str]:
    return {"authorization": f"Bearer {value}"}


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [(RSA, ["RS256", "RS512", "PS256"]), (EC, ["ES256"]), (ED, ["EdDSA"])],
    ids=["RSA", "ECDSA", "Ed25519"],
)
async def test_each_kind_of_key_verifies_its_algorithms(key: Any, algorithms: list[str]) -> None:
    for algorithm in algorithms:
        for credential in ({"public_key": pem(key)}, {"jwks": jwks(jwk(key))}, {"jwks": jwks(jwk(key, "k1"))}):
            await harness(credential, algorithms=[algorithm])(shown(token(key, algorithm)))
            with pytest.raises(NotVerified):
                await harness(credential, algorithms=["HS256"])(shown(token(key, algorithm)))


async def test_an_algorithm_that_the_flow_does_not_name_is_rejected() -> None:
    with pytest.raises(NotVerified):
        await harness(algorithms=["HS512"])(shown(token()))
    with pytest.raises(NotVerified):
        await harness()(shown(token("", "none")))
    # The public key taken for a secret: anybody who knows it could sign.
    forged = _forged({"alg": "HS256"}, pem(RSA).encode())
    with pytest.raises(NotVerified):
        await harness({"public_key": pem(RSA)}, algorithms=["HS256", "RS256"])(shown(forged))


def _forged(header: dict[str, Any], secret: bytes) -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, CLAIMS)]
    signed = b".".join(parts)
    mac = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + urlsafe_b64encode(mac).rstrip(b"=")).decode()


async def test_a_token_that_names_critical_headers_is_rejected() -> None:
    await harness()(shown(_forged({"alg": "HS256"}, SECRET.encode())))
    for header in ({"crit": ["b64"], "b64": False}, {"crit": []}, {"crit": ["exp"]}, {"kid": 7}, {"kid": ["k1"]}):
        with pytest.raises(NotVerified):
            await harness()(shown(_forged({"alg": "HS256"} | header, SECRET.encode())))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": AT - 31},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": -float("inf")},
        {"exp": 1e300},
        {"exp": 10**400},
        {"exp": 253_402_300_800},
        {"exp": [AT + 60]},
        {"exp": {}},
        {"exp": str(AT + 60)},
        {"nbf": -float("inf")},
        {"nbf": -(10**400)},
        {"iat": float("nan")},
        {"nbf": AT + 31},
        {"iat": AT + 31},
        {"iat": "now"},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another"]},
        {"iss": "another"},
        {"iss": None},
    ],
)
async def test_a_token_that_has_expired_or_is_for_another_is_rejected(claims: dict[str, Any]) -> None:
    raw = _forged_claims(claims)
    with pytest.raises(NotVerified):
        await harness(issuer="shop")(shown(raw))


def _forged_claims(claims: dict[str, Any]) -> str:
    said = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(said).encode(), SECRET, "HS256")


async def test_trap_11_times_are_judged_by_the_time_of_receipt_with_leeway() -> None:
    for claims in ({"exp": AT - 29}, {"nbf": AT + 30, "iat": AT + 30}, {"exp": AT + 0.5}):
        await harness()(shown(token(**claims)))
    await harness(leeway="0s")(shown(token()), at=NOW + timedelta(seconds=59))
    with pytest.raises(NotVerified):
        await harness(leeway="0s")(shown(token()), at=NOW + timedelta(seconds=60))


async def test_one_of_several_audiences_is_enough_and_null_asks_for_none() -> None:
    await harness(audience=["another", "hookline"])(shown(token(aud=["hookline", "x"])))
    await harness(audience=None)(shown(token(aud="anybody")))
    await harness(audience=None)(shown(token(aud=None)))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer e30.e30.e30",
        "Bearer bnVsbA.bnVsbA.AA",
        "Bearer W10.W10.AA",
        "Bearer é.é.é",
        "Bearer " + urlsafe_b64encode(b"[" * 9000).decode().rstrip("=") + ".e30.AA",
        "Bearer " + "a" * 20_000 + ".e30.AA",
        f"Basic {token()}",
        f"Bearer {token()} ",
        f"Bearer  {token()}",
        token(),
        f"Bearer {token()[:-2]}",
        f"Bearer {token()}=",
        f"Bearer {token()}\n",
    ],
)
async def test_trap_1_a_malformed_token_is_rejected(value: str) -> None:
    with pytest.raises(NotVerified):
        await harness()({"authorization": value})


async def test_the_token_may_be_in_another_header_and_the_way_to_authenticate_has_no_case() -> None:
    await harness()({"authorization": f"bearer {token()}"})
    await harness(header="X-Token", prefix="")({"x-token": token()})
    assert Jwt().secret_headers(JwtSettings(algorithms=("HS256",), audience=None, header="X-Token")) == {"x-token"}


async def test_trap_12_old_and_new_secret_are_both_taken() -> None:
    await harness({"secret": ["n" * 32, SECRET]})(shown(token()))
    with pytest.raises(NotVerified):
        await harness({"secret": "n" * 32})(shown(token()))


async def test_trap_10_a_set_of_keys_is_fetched_once_an_hour_without_redirects() -> None:
    network = Network({JWKS_URL: jwks(jwk(RSA, "k1")).encode()})
    one = harness({"jwks_url": JWKS_URL}, network, algorithms=["RS256"])
    sent = shown(token(RSA, "RS256", {"kid": "k1"}, exp=AT + 9000))
    for minutes in (0, 30, 60):
        await one(sent, at=NOW + timedelta(minutes=minutes))
    ((method, url, options),) = network.asked
    assert (method, url, options["redirects"]) == ("GET", JWKS_URL, 0)
    await one(sent, at=NOW + timedelta(minutes=61))
    assert len(network.asked) == 2


async def test_a_key_that_is_not_in_the_set_is_looked_for_again_but_not_each_time() -> None:
    network = Network({JWKS_URL: jwks(jwk(EC, "old")).encode()})
    one = harness({"jwks_url": JWKS_URL}, network, algorithms=["RS256", "ES256"])
    await one(shown(token(EC, "ES256", {"kid": "old"})))
    sent = shown(token(RSA, "RS256", {"kid": "new"}, exp=AT + 9000))
    for _ in range(5):
        with pytest.raises(NotVerified):
            await one(sent)
    assert len(network.asked) == 1
    network.files[JWKS_URL] = jwks(jwk(EC, "old"), jwk(RSA, "new")).encode()
    await one(sent, at=NOW + timedelta(seconds=61))
    assert len(network.asked) == 2


@pytest.mark.parametrize(
    "found",
    [
        StepError("no network", code="http.connect", retryable=True),
        StepError("not found", code="http.404"),
        Response(302, {"location": "https://evil.example"}, b""),
        b"no JSON",
        b'{"keys": []}',
        b'{"keys": [7]}',
    ],
)
async def test_a_set_of_keys_that_cannot_be_had_leaves_it_open_whether_a_token_holds(found: Any) -> None:
    with pytest.raises(CannotVerify):
        await harness({"jwks_url": JWKS_URL}, Network({JWKS_URL: found}), algorithms=["RS256"])(
            shown(token(RSA, "RS256"))
        )


async def test_keys_that_are_not_for_this_may_stand_beside_one_that_is() -> None:
    others = [
        {"kty": "oct", "k": urlsafe_b64encode(SECRET.encode()).decode(), "kid": "k1"},
        {"kty": "new", "kid": "k1"},
        jwk(rsa.generate_private_key(65537, 1024), "k1"),
        jwk(EC, "k1", use="enc"),
        jwk(EC, "k1", alg="RS256"),
    ]
    one = harness({"jwks": jwks(*others, jwk(RSA, "k1"))}, algorithms=["RS256", "ES256", "HS256"])
    await one(shown(token(RSA, "RS256", {"kid": "k1"})))
    for sent in (token(EC, "ES256", {"kid": "k1"}), token(headers={"kid": "k1"}), token(RSA, "RS256", {"kid": "k2"})):
        with pytest.raises(NotVerified):
            await one(shown(sent))


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"secret": ""},
        {"secret": SECRET[:-1]},
        {"secret": [SECRET, "short"]},
        {"public_key": "no key"},
        {"public_key": pem(rsa.generate_private_key(65537, 1024))},
        {"public_key": pem(ec.generate_private_key(ec.SECP256K1()))},
        {"jwks": "no JSON"},
        {"jwks": "{}"},
        {"jwks": jwks()},
        {"jwks": jwks({"kty": "oct", "k": "AAAA"})},
        {"jwks_url": "http://issuer.example/jwks.json"},
        {"jwks_url": "https://user:pass@issuer.example/"},
        {"secret": SECRET, "public_key": pem(RSA)},
        {"public_key": pem(RSA), "private_key": "no key"},
    ],
)
def test_trap_7_and_8_keys_that_protect_nothing_are_rejected_when_stored(credential: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JwtCredential.model_validate(credential)


@pytest.mark.parametrize(
    "settings",
    [
        {"audience": "a"},
        {"algorithms": ["HS256"]},
        {"algorithms": [], "audience": "a"},
        {"algorithms": ["none"], "audience": "a"},
        {"algorithms": ["HS1"], "audience": None},
    ],
)
def test_algorithms_and_the_audience_have_to_be_said(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JwtSettings.model_validate(settings)


async def test_a_token_is_made_with_the_key_that_can_sign() -> None:
    credential = {"jwks": jwks(jwk(RSA, "k1")), "private_key": private_pem(RSA)}
    one = harness(credential, algorithms=["RS256"], issuer="shop")
    signed = one.sign(b"")
    await one(signed)
    assert jwt.get_unverified_header(signed["authorization"].removeprefix("Bearer "))["kid"] == "k1"
    with pytest.raises(NotImplementedError):
        harness({"public_key": pem(RSA)}, algorithms=["RS256"]).sign(b"")


async def test_a_token_is_signed_with_the_first_algorithm_that_fits_its_key() -> None:
    one = harness(algorithms=["RS256", "HS512", "HS256"])
    signed = one.sign(b"")
    await one(signed)
    assert jwt.get_unverified_header(signed["authorization"].removeprefix("Bearer "))["alg"] == "HS256"
    two = harness(
        {"public_key": pem(EC), "private_key": private_pem(EC)}, algorithms=["RS256", "EdDSA", "HS256", "ES256"]
    )
    await two(two.sign(b""))
    with pytest.raises(ValueError, match="sign with any of RS256, HS512"):
        harness(algorithms=["RS256", "HS512"]).sign(b"")


@pytest.mark.parametrize("value", ["Bearer t0ken-1", "bearer t0ken-1", "Bearer  t0ken-1", "BEARER old-token"])
async def test_a_bearer_token_holds(value: str) -> None:
    assert (
        await SchemeHarness(Bearer(), {"token": ["t0ken-1", "old-token"]})({"authorization": value})
    ).dedupe_key is None


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "t0ken-1", "Basic t0ken-1", "Bearer t0ken-", "Bearer é"])
async def test_trap_1_any_other_bearer_token_is_rejected(value: str) -> None:
    with pytest.raises(NotVerified):
        await SchemeHarness(Bearer(), {"token": ["t0ken-1", "old-token"]})({"authorization": value})


@pytest.mark.parametrize("token", ["", "abcd", "     ", [], ["good-token", ""]])
def test_trap_7_a_bearer_token_that_is_short_is_rejected_when_stored(token: Any) -> None:
    with pytest.raises(ValidationError):
        BearerCredential.model_validate({"token": token})
