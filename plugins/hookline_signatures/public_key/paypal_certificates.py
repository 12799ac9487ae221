"""PayPal's certificates: their URLs, the check of their chain, and the cache of those that were fetched."""

import re
import ssl
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Final

from cryptography.x509 import Certificate, DNSName, load_der_x509_certificate, load_pem_x509_certificates
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from hookline.api import CannotVerify, HttpClient
from hookline_signatures.building_blocks.fetched_keys import Fetched
from hookline_signatures.public_key.pinned_certificates import Signer, signer

#: A pattern and not a URL parser: without users, ports, queries, dots or escapes nothing can be read in two ways.
_CERT_URL: Final = re.compile(r"https://api(-m)?(\.sandbox)?\.paypal\.com/v1/notifications/certs/[A-Za-z0-9_-]{1,100}")
#: Whom a certificate must be for: the names that PayPal's own SDKs ask for, live and sandbox.
_NAMES: Final = ("messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com")


def is_paypals(url: str) -> bool:
    """Return true if PayPal publishes certificates at this URL."""
    return _CERT_URL.fullmatch(url) is not None


class PayPalCertificates:
    """Fetches certificates, checks their chain, and caches them."""

    def __init__(self, roots: tuple[Certificate, ...] | None = None) -> None:
        """`roots`: the authorities to trust; by default those that this machine trusts for TLS."""
        self._given = roots
        self._fetched = Fetched("PayPal's certificate", self._check, valid=Signer.valid_at)

    async def signer(self, url: str, at: datetime, http: HttpClient) -> Signer:
        """Return the signer of the certificate at a URL of PayPal's.

        Raises NotVerified if PayPal has no such certificate, and CannotVerify if that can't be known now.
        """
        return await self._fetched.get(url, at, http)

    @cached_property
    def _roots(self) -> Store:
        # The machine's own, as for every TLS connection that we make: one place for its owner to care for.
        trusted = self._given if self._given is not None else _of_this_machine()
        if not trusted:
            raise CannotVerify(
                "this machine trusts no certificate authority, so that PayPal's certificates can't be checked; "
                "install its CA certificates, or pin `certificate` in the credential"
            )
        return Store(list(trusted))

    def _check(self, url: str, pem: bytes, at: datetime) -> Signer:
        try:
            certificate, *rest = load_pem_x509_certificates(pem)
        except ValueError as error:
            raise CannotVerify(f"the file at {url} is not a certificate: {error}") from error
        said = ""
        for name in _NAMES:
            verifier = PolicyBuilder().store(self._roots).time(at).build_server_verifier(DNSName(name))
            try:
                chain = verifier.verify(certificate, rest)
                return signer(certificate, tuple(chain[1:]))
            except (VerificationError, ValueError) as error:
                said = str(error)
        raise CannotVerify(f"the certificate at {url} is not one that signs PayPal's messages: {said}")


def _of_this_machine() -> tuple[Certificate, ...]:
    context = ssl.create_default_context()
    certificates = []
    for shown, der in zip(context.get_ca_certs(), context.get_ca_certs(binary_form=True), strict=True):
        # A few old authorities' certificates break rules that the library holds to; it can do without them.
        if int(str(shown["serialNumber"]), 16) > 0:
            with suppress(ValueError):
                certificates.append(load_der_x509_certificate(der))
    return tuple(certificates)
