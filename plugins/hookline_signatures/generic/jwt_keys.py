"""The keys that a JSON Web Token may be signed with: each is good for some algorithms and no others."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

Algorithm: TypeAlias = Literal[
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
PublicKey: TypeAlias = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

#: Bytes that RFC 7518 asks of a secret.
SHORTEST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_SHORTEST_RSA: Final = 2048
_MOST_KEYS: Final = 50


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key, its id if it has one, and the algorithms that it may verify."""

    key: PublicKey | bytes
    algorithms: frozenset[str]
    id: str | None = None


def shared(secret: bytes) -> VerifyingKey:
    """A secret, with the algorithms for which it is long enough."""
    return VerifyingKey(secret, frozenset(name for name, size in SHORTEST_SECRET.items() if len(secret) >= size))


def public(pem: str) -> VerifyingKey:
    """The public key in a PEM text, or that of a certificate. Raises ValueError."""
    data = pem.encode()
    try:
        if b"BEGIN CERTIFICATE" in data:
            return _verifying(load_pem_x509_certificate(data).public_key(), None)
        return _verifying(load_pem_public_key(data), None)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None


def key_set(text: str | bytes) -> Sequence[VerifyingKey]:
    """The public keys of a JSON Web Key Set (RFC 7517). Raises ValueError if the text isn't one, or no key can be used.

    Keys of unknown kinds, keys that aren't for signatures, and secrets are left out.
    """
    try:
        document = json.loads(text)
        members = document["keys"]
        keys = [_json_key(one) for one in members[:_MOST_KEYS] if one.get("use", "sig") == "sig"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError('it is not a JSON Web Key Set: {"keys": […]}') from None
    readable = [key for key in keys if key is not None]
    if not readable:
        raise ValueError("it has no public key that can verify signatures")
    return readable


def _json_key(member: dict[str, Any]) -> VerifyingKey | None:
    try:
        # By the kind of key alone: for which algorithms it is good is judged here, and in the flow.
        key = jwt.PyJWK({name: value for name, value in member.items() if name != "alg"}).key
        verifying = _verifying(key.public_key() if hasattr(key, "public_key") else key, member.get("kid"))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        return None
    # A key that says its algorithm is good for no other.
    named = member.get("alg")
    return (
        verifying
        if named is None
        else VerifyingKey(verifying.key, verifying.algorithms & frozenset({named}), verifying.id)
    )


def _verifying(key: object, key_id: str | None) -> VerifyingKey:
    if isinstance(key, RSAPublicKey):
        if key.key_size < _SHORTEST_RSA:
            raise ValueError(f"an RSA key needs at least {_SHORTEST_RSA} bits")
        return VerifyingKey(key, _RSA, key_id)
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return VerifyingKey(key, frozenset({_CURVES[key.curve.name]}), key_id)
    if isinstance(key, Ed25519PublicKey):
        return VerifyingKey(key, frozenset({"EdDSA"}), key_id)
    raise ValueError("a key has to be one of RSA, ECDSA over P-256, P-384 or P-521, or Ed25519")
