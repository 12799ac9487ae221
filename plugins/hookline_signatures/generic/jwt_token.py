"""The scheme `jwt`: a JSON Web Token in a header verifies the sender."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from hookline.api import CannotVerify, Duration, NotVerified, Reach, RequestVerifier, Scheme, SignedRequest, Verified
from hookline_signatures.building_blocks.fetched_keys import Fetched
from hookline_signatures.building_blocks.header_text import required
from hookline_signatures.building_blocks.mac_check import MISMATCH
from hookline_signatures.building_blocks.secret_fields import AnySecrets, listed
from hookline_signatures.generic.header_only import BEARER, header_name
from hookline_signatures.generic.jwt_keys import SHORTEST_SECRET, Algorithm, VerifyingKey, key_set, public, shared

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST_TOKEN: Final = 16 * 1024
_HTTPS: Final = r"^https://[^\s/?#@]+([/?][^\s#]*)?$"
#: How old a set of keys may be, and how old where a token names a key that isn't in it: its issuer may have a new one.
_KEPT_FOR: Final = timedelta(hours=1)
_LOOKED_AGAIN_AFTER: Final = timedelta(minutes=1)
_LAST_SECOND: Final = 253_402_300_800
#: How long a token of a test request is good: it is sent at once.
_LIFETIME: Final = timedelta(minutes=5)


def _secrets_are_long(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    shortest = min(SHORTEST_SECRET.values())
    if any(len(secret.get_secret_value().encode()) < shortest for secret in secrets):
        raise ValueError(f"a secret that signs tokens needs at least {shortest} bytes")
    return secrets


class JwtCredential(BaseModel):
    """The key that verifies tokens: exactly one of `secret`, `public_key`, `jwks` and `jwks_url`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: Annotated[AnySecrets, AfterValidator(_secrets_are_long)] | None = Field(
        default=None,
        description="The secret for HS256, HS384 or HS512; or a list of secrets, each of which is accepted.",
    )
    public_key: Annotated[
        tuple[str, ...] | None,
        Reach("pem"),
        BeforeValidator(lambda value: None if value is None else listed(value), json_schema_input_type=str | list[str]),
    ] = Field(
        default=None, description="A public key or a certificate in PEM; or a list of them, each of which is accepted."
    )
    jwks: str | None = Field(default=None, description="The JSON Web Key Set, as text.")
    jwks_url: Annotated[str | None, Reach("service_url")] = Field(
        default=None, pattern=_HTTPS, description="The https URL of a JSON Web Key Set, which is fetched and cached."
    )
    private_key: Annotated[SecretStr | None, Reach("pem")] = Field(
        default=None,
        description="A private key in PEM, for tests, beside a `public_key` or `jwks`: it signs as the issuer would.",
    )

    @model_validator(mode="after")
    def _one_kind_of_key(self) -> Self:
        given = [name for name in ("secret", "public_key", "jwks", "jwks_url") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of secret, public_key, jwks and jwks_url")
        try:
            _ = self.keys
        except ValueError as error:
            raise ValueError(f"{given[0]}: {error}") from None
        if self.private_key is not None:
            _ = self.signing_key
        return self

    @cached_property
    def signing_key(self) -> Any:
        """The key for tests: a secret, or a private key. Raises ValueError, and NotImplementedError."""
        if self.secret is not None:
            return self.secret[0].get_secret_value().encode()
        if self.private_key is None:
            raise NotImplementedError(
                "make a key of your own, and a credential for tests that holds it as `private_key`, beside the "
                "`public_key` that belongs to it; or one with a `secret`, if the flow accepts HS256"
            )
        try:
            return load_pem_private_key(self.private_key.get_secret_value().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The library's error may quote the key.
            raise ValueError("private_key: it is not an unencrypted private key in PEM") from None

    @cached_property
    def keys(self) -> Sequence[VerifyingKey]:
        """The keys; none if they have to be fetched. Raises ValueError."""
        if self.secret is not None:
            return [shared(secret.get_secret_value().encode()) for secret in self.secret]
        if self.public_key is not None:
            return [public(pem) for pem in self.public_key]
        return [] if self.jwks is None else key_set(self.jwks)


class JwtSettings(BaseModel):
    """The tokens that are accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithms: tuple[Algorithm, ...] = Field(
        min_length=1,
        description="The algorithms that a token may be signed with; no others are accepted.",
        examples=[["HS256"]],
    )
    audience: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(
            lambda value: None if value is None else listed(value), json_schema_input_type=str | list[str] | None
        ),
    ] = Field(
        description="The audience of a token (`aud`); or a list, of which the token has to name one. null accepts any.",
        examples=["https://hooks.example.com"],
    )
    issuer: str | None = Field(default=None, description="The issuer of a token (`iss`); by default any.")
    leeway: Duration = Field(default=timedelta(seconds=30), description="The largest deviation of the issuer's clock.")
    header: Annotated[str, Reach("read_header"), AfterValidator(header_name)] = Field(
        default="authorization", description="The header that holds the token."
    )
    prefix: str = Field(default="Bearer ", description="The text before the token, with its space.")


class Jwt(Scheme[JwtCredential, JwtSettings]):
    """A JSON Web Token (RFC 7519) in `Authorization: Bearer …`, or in another header.

    At the sender, give the flow's URL, and find out which algorithm signs its tokens, for which audience, and where
    its keys are published. The flow's `verify` names `algorithms` and `audience`; the credential holds a `secret` (of
    32 bytes at least) for HS256, HS384 or HS512, and otherwise, as for RS256, a `public_key`, a set of keys (`jwks`),
    or the URL of one (`jwks_url`), which is cached for an hour.

    A token has to expire (`exp`); this and `nbf` and `iat`, if present, are checked by the time of receipt. The token
    verifies the sender, not the content; it may serve for many requests, so that there is no dedupe key except the
    flow's own.
    """

    name: ClassVar[str] = "jwt"
    title: ClassVar[str] = "JSON Web Token"
    credential: ClassVar[type[BaseModel] | None] = JwtCredential
    settings: ClassVar[type[BaseModel]] = JwtSettings
    reads_body: ClassVar[bool] = False
    challenge: ClassVar[str | None] = BEARER

    def __init__(self) -> None:
        self._sets = Fetched("the set of keys", _read_set, kept_for=_KEPT_FOR, named_by_sender=False)

    def open(self, request: SignedRequest, credential: JwtCredential, settings: JwtSettings) -> RequestVerifier:
        """Read the header."""
        value = required(request, settings.header)
        # The name of a way to authenticate has no case (RFC 9110).
        if value[: len(settings.prefix)].lower() != settings.prefix.lower():
            raise NotVerified(f"the header {settings.header} doesn't begin with {settings.prefix!r}")
        token = value[len(settings.prefix) :]
        if len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
            raise NotVerified("the header's value isn't a token, or is too long for one")
        return _JwtCheck(self._sets, request, credential, settings, token)

    def secret_headers(self, settings: JwtSettings) -> frozenset[str]:
        """Return the header with the token: until it expires, anyone who has it may send."""
        return frozenset({settings.header})

    def sign(
        self, request: SignedRequest, body: bytes, credential: JwtCredential, settings: JwtSettings
    ) -> Sequence[tuple[str, str]]:
        """Return a token for five minutes, with the first algorithm that fits the first secret or the `private_key`.

        Raises ValueError if none of the flow's algorithms fits.
        """
        now = int(request.received_at.timestamp())
        claims: dict[str, Any] = {"iat": now, "exp": now + int(_LIFETIME.total_seconds())}
        if settings.audience is not None:
            claims["aud"] = settings.audience[0]
        if settings.issuer is not None:
            claims["iss"] = settings.issuer
        key = credential.signing_key
        for algorithm in settings.algorithms:
            ids = [one.id for one in credential.keys if one.id is not None and algorithm in one.algorithms]
            # A secret that is too short for an algorithm would sign, but never verify.
            if isinstance(key, bytes) and algorithm not in credential.keys[0].algorithms:
                continue
            try:
                token = jwt.encode(claims, key, algorithm, {"kid": ids[0]} if ids else None)
            except (jwt.PyJWTError, TypeError, ValueError):
                continue
            return [(settings.header, settings.prefix + token)]
        raise ValueError(f"the key can't sign with any of {', '.join(settings.algorithms)}")


def _read_set(url: str, content: bytes, at: datetime) -> Sequence[VerifyingKey]:
    try:
        return key_set(content)
    except ValueError as error:
        raise CannotVerify(f"{url}: {error}") from None


class _JwtCheck:
    def __init__(
        self,
        sets: Fetched[Sequence[VerifyingKey]],
        request: SignedRequest,
        credential: JwtCredential,
        settings: JwtSettings,
        token: str,
    ) -> None:
        self._sets = sets
        self._request = request
        self._credential = credential
        self._settings = settings
        self._token = token
        self._why = ""
        """The reason why no key has verified it."""

    def feed(self, chunk: bytes) -> None:
        """Ignore the bytes: nothing depends on them."""

    async def finish(self) -> Verified:
        header = self._header()
        algorithm, key_id = header.get("alg"), header.get("kid")
        # What a token says is critical, and we don't know, makes it another token than we would take it for.
        if not isinstance(algorithm, str) or algorithm not in self._settings.algorithms:
            raise NotVerified(f"the token's alg {str(algorithm)[:20]!r} isn't one of the flow's algorithms")
        if "crit" in header or not isinstance(key_id, str | None):
            raise NotVerified("the token's header has a crit, or a kid that isn't a text")
        found = False
        for one in await self._keys(algorithm, key_id):
            found = True
            claims = self._claims(one, algorithm)
            if claims is not None:
                self._check_times(claims)
                return Verified()
        raise NotVerified(self._why if found else "no key fits the token's alg and kid")

    def _header(self) -> dict[str, Any]:
        try:
            return dict(jwt.get_unverified_header(self._token))
        except Exception:  # noqa: BLE001 - however a library fails at what a sender wrote, it doesn't hold
            raise NotVerified("the token's header can't be read") from None

    async def _keys(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        url = self._credential.jwks_url
        if url is None:
            return _fitting(self._credential.keys, algorithm, key_id)
        at, http = self._request.received_at, self._request.http
        fitting = _fitting(await self._sets.get(url, at, http), algorithm, key_id)
        if not fitting:
            fresh = await self._sets.get(url, at, http, kept_for=_LOOKED_AGAIN_AFTER)
            fitting = _fitting(fresh, algorithm, key_id)
        return fitting

    def _claims(self, key: VerifyingKey, algorithm: str) -> dict[str, Any] | None:
        settings = self._settings
        try:
            return jwt.decode(
                self._token,
                key.key,
                algorithms=[algorithm],
                audience=settings.audience,
                issuer=settings.issuer,
                # Times are judged by when the request came, and not by when this runs.
                options={
                    "require": ["exp"],
                    "verify_aud": settings.audience is not None,
                    "verify_iss": settings.issuer is not None,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    # Not ours to judge: some issuers write numbers.
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except jwt.InvalidAudienceError:
            self._why = "the token's aud isn't the flow's audience"
        except jwt.InvalidIssuerError:
            self._why = "the token's iss isn't the flow's issuer"
        except jwt.MissingRequiredClaimError as error:
            self._why = f"the token has no {error.claim}"
        except Exception:  # noqa: BLE001 - as above
            self._why = self._why or MISMATCH
        return None

    def _check_times(self, claims: dict[str, Any]) -> None:
        now, leeway = self._request.received_at.timestamp(), self._settings.leeway.total_seconds()
        times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in times.values()):
            raise NotVerified("a time of the token isn't a number")
        # Not infinity either, which `1e999` becomes, nor NaN: every comparison with that is false.
        if any(not -_LAST_SECOND < value < _LAST_SECOND for value in times.values()):
            raise NotVerified("a time of the token isn't a date before the year 10000")
        begun = all(times[name] <= now + leeway for name in ("nbf", "iat") if name in times)
        if not begun:
            raise NotVerified("the token isn't valid yet, by its nbf or iat")
        if not now < times["exp"] + leeway:
            raise NotVerified(f"the token expired {now - times['exp']:.0f} s before receipt")


def _fitting(keys: Sequence[VerifyingKey], algorithm: str, key_id: str | None) -> list[VerifyingKey]:
    good = [key for key in keys if algorithm in key.algorithms]
    # Keys without ids, as PEM has none, may be the one that a token names.
    return good if key_id is None else [key for key in good if key.id in (None, key_id)]
