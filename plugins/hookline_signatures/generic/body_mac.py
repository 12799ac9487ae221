"""Schemes with a MAC of the body: `hmac`, in which everything is a setting, and a base with fixed settings."""

import hmac
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from hookline.api import Duration, NoSettings, NotVerified, Reach, RequestVerifier, Scheme, SignedRequest
from hookline_signatures.building_blocks.freshness import check_fresh
from hookline_signatures.building_blocks.header_text import (
    as_received,
    check_id,
    from_base64,
    from_hex,
    message_id,
    required,
)
from hookline_signatures.building_blocks.mac_check import Mac
from hookline_signatures.building_blocks.secret_fields import Secrets, as_bytes
from hookline_signatures.generic.header_only import header_name

_PLACEHOLDER = re.compile(r"(\{[a-z]+\})")


class MacCredential(BaseModel):
    """The secret that sender and receiver share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: Secrets = Field(description="The secret; or a list of secrets, each of which is accepted.")


class HmacSettings(BaseModel):
    """The form of a sender's MAC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: Annotated[str, Reach("read_header"), AfterValidator(header_name)] = Field(
        description="The header that holds the MAC.", examples=["X-Signature"]
    )
    algorithm: Literal["sha1", "sha256", "sha512"] = Field(default="sha256", description="The hash function.")
    encoding: Literal["hex", "base64", "any"] = Field(
        default="hex", description="The encoding of the MAC; `any`: hex or base64."
    )
    prefix: str = Field(default="", description="The text before the MAC, such as `sha256=`.")
    timestamp_header: Annotated[Annotated[str, AfterValidator(header_name)] | None, Reach("read_header")] = Field(
        default=None, description="The header that holds the time of sending, in whole seconds since 1970."
    )
    tolerance: Duration = Field(
        default=timedelta(seconds=300), description="The largest difference between that time and the time of receipt."
    )
    id_header: Annotated[Annotated[str, AfterValidator(header_name)] | None, Reach("read_header")] = Field(
        default=None, description="The header that holds the message's id: the dedupe key."
    )
    signed: str = Field(
        default="",
        description="The signed content: text with `{body}` once, and `{timestamp}` and `{id}` if they are signed too. "
        "By default `{body}`, or `{timestamp}.{body}` with a `timestamp_header`.",
    )

    @model_validator(mode="after")
    def _signs_what_it_relies_on(self) -> Self:
        parts = _PLACEHOLDER.findall(self.layout)
        if parts.count("{body}") != 1:
            raise ValueError("signed: it has to contain `{body}` exactly once")
        if unknown := set(parts) - {"{body}", "{timestamp}", "{id}"}:
            raise ValueError(
                f"signed: {', '.join(sorted(unknown))} is not known; use {{body}}, {{timestamp}} and {{id}}"
            )
        if ("{timestamp}" in parts) != (self.timestamp_header is not None):
            # A time that isn't signed could be any time.
            raise ValueError("signed: it has to contain `{timestamp}` if, and only if, there is a `timestamp_header`")
        if "{id}" in parts and self.id_header is None:
            raise ValueError("signed: `{id}` needs an `id_header`")
        return self

    @property
    def layout(self) -> str:
        """The layout of the signed content, with the default filled in."""
        return self.signed or ("{body}" if self.timestamp_header is None else "{timestamp}.{body}")

    @property
    def encodings(self) -> Sequence[Literal["hex", "base64"]]:
        """The encodings that are accepted; Hookline itself uses the first one."""
        return ("hex", "base64") if self.encoding == "any" else (self.encoding,)

    def around(self, timestamp: bytes, message_id: bytes) -> tuple[bytes, bytes]:
        """Return the signed bytes before the body and after it."""
        known = {"{timestamp}": timestamp, "{id}": message_id}
        before, _, after = self.layout.partition("{body}")
        return tuple(  # type: ignore[return-value] # two in, two out
            b"".join(known.get(part, part.encode()) for part in _PLACEHOLDER.split(text)) for text in (before, after)
        )


class Hmac(Scheme[MacCredential, HmacSettings]):
    """A MAC of the body in a header of any name: for senders that have no scheme of their own here.

    At the sender, give the flow's URL and a secret, and find out how it makes its MAC; the settings describe that. The
    header and the encoding have to match the settings: nothing is guessed, except hex or base64 if `encoding` is `any`.

    There is a dedupe key if `id_header` names the header with an id, which should be part of the signed content. A time
    is checked if `timestamp_header` names its header; it then has to be signed too.
    """

    name: ClassVar[str] = "hmac"
    title: ClassVar[str] = "HMAC of the body"
    credential: ClassVar[type[BaseModel] | None] = MacCredential
    settings: ClassVar[type[BaseModel]] = HmacSettings

    def open(self, request: SignedRequest, credential: MacCredential, settings: HmacSettings) -> Mac:
        """Read the headers, and begin the MAC."""
        timestamp, known_as = "", None
        if settings.timestamp_header is not None:
            timestamp = required(request, settings.timestamp_header)
            check_fresh(timestamp, request.received_at, settings.tolerance)
        if settings.id_header is not None:
            known_as = required(request, settings.id_header)
            check_id(known_as, settings.id_header)
        text = required(request, settings.header)
        signatures = [read_mac(text, settings.prefix, encoding) for encoding in settings.encodings]
        before, after = settings.around(as_received(timestamp), as_received(known_as or ""))
        return Mac(
            as_bytes(credential.secret),
            settings.algorithm,
            signatures,
            before=before,
            after=after,
            dedupe_key=known_as,
        )

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: HmacSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret, at the request's time; the id is the request's, or made from the body."""
        headers = []
        timestamp, made = str(int(request.received_at.timestamp())), ""
        if settings.timestamp_header is not None:
            headers.append((settings.timestamp_header, timestamp))
        if settings.id_header is not None:
            made = request.header(settings.id_header) or hmac.new(b"id", body, "sha256").hexdigest()[:32]
            headers.append((settings.id_header, made))
        before, after = settings.around(timestamp.encode(), made.encode())
        mac = hmac.new(as_bytes(credential.secret)[0], before + body + after, settings.algorithm).digest()
        return [*headers, (settings.header, settings.prefix + write_mac(mac, settings.encodings[0]))]


@dataclass(frozen=True, slots=True)
class Layout:
    """The fixed settings of one provider."""

    header: str
    algorithm: str = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    id_header: str | None = None
    """The header with the id of the delivery. It isn't signed, and is the same when the delivery is repeated."""

    def open(self, request: SignedRequest, credential: MacCredential) -> Mac:
        """Read the headers, and begin the MAC. Raises NotVerified."""
        signature = read_mac(required(request, self.header), self.prefix, self.encoding)
        known_as = None if self.id_header is None else message_id(request, self.id_header)
        return Mac(as_bytes(credential.secret), self.algorithm, [signature], dedupe_key=known_as)

    def sign(self, request: SignedRequest, body: bytes, credential: MacCredential) -> Sequence[tuple[str, str]]:
        """Sign with the first secret; the id is the request's, or made from the body."""
        headers = []
        if self.id_header is not None:
            made = hmac.new(b"id", body, "sha256").hexdigest()[:32]
            headers.append((self.id_header, request.header(self.id_header) or made))
        mac = hmac.new(as_bytes(credential.secret)[0], body, self.algorithm).digest()
        return [*headers, (self.header, self.prefix + write_mac(mac, self.encoding))]


class BodyMac(Scheme[MacCredential, NoSettings]):
    """A provider's MAC of the body alone."""

    credential: ClassVar[type[BaseModel] | None] = MacCredential
    layout: ClassVar[Layout]

    def open(self, request: SignedRequest, credential: MacCredential, settings: NoSettings) -> RequestVerifier:
        """Read the headers, and begin the MAC."""
        return self.layout.open(request, credential)

    def sign(
        self, request: SignedRequest, body: bytes, credential: MacCredential, settings: NoSettings
    ) -> Sequence[tuple[str, str]]:
        """Sign with the first secret."""
        return self.layout.sign(request, body, credential)


def read_mac(text: str, prefix: str, encoding: Literal["hex", "base64"]) -> bytes:
    """The MAC in a header; none if it can't be read. Raises NotVerified if the prefix is missing."""
    if not text.startswith(prefix):
        raise NotVerified(f"the signature doesn't begin with {prefix!r}")
    bare = text[len(prefix) :]
    return from_hex(bare) if encoding == "hex" else from_base64(bare)


def write_mac(mac: bytes, encoding: Literal["hex", "base64"]) -> str:
    """A MAC in the encoding of a header."""
    return mac.hex() if encoding == "hex" else b64encode(mac).decode()
