"""Twilio's `X-Twilio-Signature`: the URL and the fields of a form."""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from typing import ClassVar, Final
from urllib.parse import parse_qsl

from pydantic import BaseModel

from hookline.api import NoSettings, NotVerified, RequestVerifier, Scheme, SignedRequest, Verified, WebhookResponse
from hookline_signatures.building_blocks.header_text import as_received, from_base64, from_hex, message_id, required
from hookline_signatures.building_blocks.mac_check import MISMATCH
from hookline_signatures.building_blocks.secret_fields import as_bytes
from hookline_signatures.generic.body_mac import MacCredential

_SIGNATURE: Final = "x-twilio-signature"
#: Comes where the account signs with a shared key of its own instead of the auth token.
_ALGORITHM: Final = "x-twilio-webhooks-signature-settings"
_ALGORITHMS: Final = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
_ID: Final = "i-twilio-idempotency-token"
_BODY_HASH: Final = "bodySHA256"
_FORM: Final = "application/x-www-form-urlencoded"
#: The fields are sorted before they are signed, so that a form has to be kept until it is whole.
_LONGEST_FORM: Final = 1024 * 1024
_MOST_FIELDS: Final = 1000
_ORIGIN: Final = re.compile(r"(https?)://(\[[^\]/?#]*\]|[^:/?#\[\]]*)(:[0-9]+)?([/?].*)?", re.DOTALL)
_PORTS: Final = {"https": ":443", "http": ":80"}


class Twilio(Scheme[MacCredential, NoSettings]):
    """Twilio's `X-Twilio-Signature`: HMAC of the URL and the form's fields, or of the URL with a hash of the body.

    At Twilio, give the flow's URL as the webhook of a phone number, a messaging service, or a status callback, exactly
    as under the server's `public_url`: it is signed. The credential's `secret` is the account's Auth Token, or the
    secret of the shared key that signs.

    No time is signed. The dedupe key is `I-Twilio-Idempotency-Token`, which isn't signed. Twilio waits for fifteen
    seconds, and retries only if the URL says so (`#rc=…`). An accepted request is answered with an empty 204, which
    means "nothing to do" to Twilio; a flow that answers with TwiML sets `"respond": "reply"`.
    """

    name: ClassVar[str] = "twilio"
    title: ClassVar[str] = "Twilio"
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    signs_url: ClassVar[bool] = True
    accepted: ClassVar[WebhookResponse | None] = WebhookResponse(204)

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Read the headers."""
        signature = from_base64(required(request, _SIGNATURE))
        algorithm = _algorithm(request.header(_ALGORITHM))
        hashed = request.parameter(_BODY_HASH)
        # The hash is part of the URL that is signed. Where it is there, it counts, whatever type the body says to be
        # of: what says so isn't signed.
        body = _Form(request) if hashed is None else _Hashed(hashed)
        return _TwilioCheck(
            as_bytes(credential.secret), algorithm, signature, _urls(request), body, message_id(request, _ID)
        )

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret, for the request's URL, and its `Content-Type` or else a form's.

        Raises ValueError if the body isn't a form and its hash isn't in the URL.
        """
        hashed = request.parameter(_BODY_HASH)
        part = _Form(request) if hashed is None else _Hashed(hashed)
        part.feed(body)
        try:
            signed = as_received(request.url) + part.finish()
        except NotVerified:
            raise ValueError(f"a body that isn't a form needs ?{_BODY_HASH}=<its SHA-256 in hex> in the URL") from None
        mac = hmac.new(as_bytes(credential.secret)[0], signed, "sha1").digest()
        return [(_SIGNATURE, b64encode(mac).decode())]


def _algorithm(settings: str | None) -> str:
    parts = [part.strip(" ").partition("=") for part in (settings or "").split(",")]
    named = [value for name, _, value in parts if name == "algorithm"] or ["HMAC_SHA1"]
    if len(named) != 1 or named[0].upper() not in _ALGORITHMS:
        raise NotVerified(f"the request asks for an algorithm that is none of {', '.join(_ALGORITHMS)}")
    return _ALGORITHMS[named[0].upper()]


def _urls(request: SignedRequest) -> list[bytes]:
    # Twilio itself isn't of one mind whether the port is part of it.
    parts = _ORIGIN.fullmatch(request.url)
    if parts is None:
        raise NotVerified("the server's public URL isn't in a form that Twilio signs")
    protocol, host, port, rest = parts.group(1, 2, 3, 4)
    ports = ("", port or _PORTS[protocol])
    return [as_received(f"{protocol}://{host}{one}{rest or ''}") for one in ports]


class _Form:
    """A form's fields: each key and each value, sorted, without duplicates."""

    def __init__(self, request: SignedRequest) -> None:
        media_type = (request.header("content-type") or _FORM).partition(";")[0].strip().lower()
        self._is_form = media_type == _FORM
        self._body = bytearray()

    def feed(self, chunk: bytes) -> None:
        if len(self._body) <= _LONGEST_FORM:
            self._body += chunk

    def finish(self) -> bytes:
        if not self._body:
            return b""
        if not self._is_form or len(self._body) > _LONGEST_FORM:
            raise NotVerified("the body isn't a form, or is too large for one, and the URL has no hash of it")
        try:
            fields = parse_qsl(
                self._body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
            )
        except ValueError:  # bytes that are no ASCII, escapes that are no UTF-8, too many fields
            raise NotVerified("the body isn't a form that can be read") from None
        return "".join(name + value for name, value in sorted(set(fields))).encode()


class _Hashed:
    """A body whose hash is in the URL."""

    def __init__(self, hashed: str) -> None:
        self._expected = from_hex(hashed)
        self._hash = hashlib.sha256()

    def feed(self, chunk: bytes) -> None:
        self._hash.update(chunk)

    def finish(self) -> bytes:
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise NotVerified(f"the body's hash isn't the one in the URL's {_BODY_HASH}")
        return b""


class _TwilioCheck:
    def __init__(
        self,
        keys: Sequence[bytes],
        algorithm: str,
        signature: bytes,
        urls: Sequence[bytes],
        body: _Form | _Hashed,
        dedupe_key: str | None,
    ) -> None:
        self._keys = keys
        self._algorithm = algorithm
        self._signature = signature
        self._urls = urls
        self._body = body
        self._dedupe_key = dedupe_key

    def feed(self, chunk: bytes) -> None:
        self._body.feed(chunk)

    async def finish(self) -> Verified:
        signed = self._body.finish()
        holds = False
        for key in self._keys:
            for url in self._urls:
                mac = hmac.new(key, url + signed, self._algorithm).digest()
                holds |= hmac.compare_digest(mac, self._signature)
        if not holds:
            raise NotVerified(f"{MISMATCH}; the URL is signed, too: is public_url the one that Twilio calls?")
        return Verified(self._dedupe_key)
