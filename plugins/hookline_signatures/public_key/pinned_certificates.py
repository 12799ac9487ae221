"""Certificates of RSA keys that sign: reading them, and pinning them in a credential, with an own key for tests."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Annotated, Final, Self

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from hookline.api import CannotVerify, Reach

SHORTEST_KEY: Final = 2048
"""Bits."""
KEY_REMEDY: Final = (
    "make a key and a certificate of your own, and a credential for tests that holds them as `private_key` and "
    "`certificate` (docs/how-to/receive-from-providers.md)"
)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs, and its period of validity."""

    key: RSAPublicKey
    not_before: datetime
    not_after: datetime

    def valid_at(self, at: datetime) -> bool:
        """Return true if its certificate and the issuers' are valid at this time."""
        return self.not_before <= at <= self.not_after


def signer(certificate: Certificate, above: tuple[Certificate, ...] = ()) -> Signer:
    """The signer that a certificate names. Raises ValueError if its key isn't RSA, or is too short."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_KEY:
        raise ValueError(f"the key of this certificate isn't an RSA key of {SHORTEST_KEY} bits or more")
    chain = (certificate, *above)
    return Signer(
        key,
        max(one.not_valid_before_utc for one in chain),
        min(one.not_valid_after_utc for one in chain),
    )


class PinnedCertificates(BaseModel):
    """The only certificates that may sign, if there are some, and a key for tests that belongs to one of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Annotated[str | None, Reach("pem")] = Field(
        default=None,
        description="The only certificates that may sign, in PEM; by default those that the provider publishes.",
    )
    private_key: Annotated[SecretStr | None, Reach("pem")] = Field(
        default=None,
        description="A private key in PEM, for tests: it signs as the provider would. Needs its `certificate`.",
    )

    @model_validator(mode="after")
    def _keys_can_be_read(self) -> Self:
        if self.certificate is not None:
            try:
                _ = self.pinned
            except ValueError as error:
                raise ValueError(f"certificate: {error}") from None
        if self.private_key is not None:
            key = self.signing_key
            if key.public_key() not in [one.key for one in self.pinned]:
                raise ValueError("private_key: also give the certificate that belongs to it")
        return self

    @cached_property
    def pinned(self) -> list[Signer]:
        """The pinned signers; none if any certificate of the provider may sign. Raises ValueError."""
        if self.certificate is None:
            return []
        return [signer(one) for one in load_pem_x509_certificates(self.certificate.encode())]

    def signers_at(self, at: datetime) -> list[Signer]:
        """Return the pinned signers that are valid at a time. Raises CannotVerify if there are only others."""
        valid = [one for one in self.pinned if one.valid_at(at)]
        if self.pinned and not valid:
            raise CannotVerify("no certificate of the credential is valid now; give it a new one, or none")
        return valid

    @cached_property
    def signing_key(self) -> RSAPrivateKey:
        """The key for tests. Raises ValueError, and NotImplementedError if there is none."""
        if self.private_key is None:
            raise NotImplementedError(KEY_REMEDY)
        try:
            key = load_pem_private_key(self.private_key.get_secret_value().encode(), password=None)
        except (ValueError, TypeError):
            # The library's error may quote the key.
            raise ValueError("private_key: it is not an unencrypted private key in PEM") from None
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("private_key: it is not an RSA key")  # noqa: TRY004 - a wrong value, as pydantic asks for
        return key
