"""Amazon SNS: messages that contain their signature, and confirmations of subscriptions."""

import re
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.x509 import load_pem_x509_certificate
from pydantic import BaseModel, BeforeValidator, Field

from hookline.api import (
    CannotVerify,
    NotVerified,
    RequestVerifier,
    Scheme,
    SignedRequest,
    StepError,
    Verified,
    WebhookResponse,
)
from hookline_signatures.building_blocks.fetched_keys import Fetched
from hookline_signatures.building_blocks.freshness import WithinADay, check_near
from hookline_signatures.building_blocks.header_text import from_base64, rfc3339_time
from hookline_signatures.building_blocks.json_body import JsonBody, read_json
from hookline_signatures.building_blocks.mac_check import MISMATCH, UNREADABLE
from hookline_signatures.building_blocks.secret_fields import listed
from hookline_signatures.public_key.pinned_certificates import KEY_REMEDY, PinnedCertificates, Signer, signer

#: Patterns and not a URL parser: without users, ports, dots or escapes nothing can be read in two ways.
_HOST: Final = r"https://sns\.[a-z0-9-]{3,40}\.amazonaws\.com(\.cn)?"
_CERT_URL: Final = re.compile(_HOST + r"/[A-Za-z0-9_-]{1,100}\.pem")
_SUBSCRIBE_URL: Final = re.compile(_HOST + r"/\?Action=ConfirmSubscription&[A-Za-z0-9%&=._:~+-]{1,2000}")
_TOPIC: Final = r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$"

_HASHES: Final = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303 - what Amazon signs with by default
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
_CONFIRM_TIMEOUT: Final = 5.0
_LONGEST_ANSWER: Final = 64 * 1024
_TEST_URL: Final = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-test.pem"


class SnsSettings(WithinADay):
    """The topics whose messages are accepted, and the tolerance."""

    topics: Annotated[
        tuple[Annotated[str, Field(pattern=_TOPIC)], ...],
        BeforeValidator(listed, json_schema_input_type=str | list[str]),
        Field(min_length=1, max_length=100),
    ] = Field(
        description="The ARN of the topic, or a list of them. Anybody may have a topic, and Amazon signs the messages "
        "of every topic: the signature alone says nothing.",
        examples=["arn:aws:sns:eu-west-1:123456789012:orders"],
    )


class _Message(msgspec.Struct, frozen=True, rename="pascal"):
    type: str
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    signing_cert_url: str = msgspec.field(name="SigningCertURL")
    subject: str | None = None
    token: str | None = None
    subscribe_url: str | None = msgspec.field(name="SubscribeURL", default=None)

    def signed(self) -> bytes:
        """Return the content that Amazon signs: names and values of some members. Raises NotVerified."""
        values = {
            "Message": self.message,
            "MessageId": self.message_id,
            "Subject": self.subject,
            "SubscribeURL": self.subscribe_url,
            "Timestamp": self.timestamp,
            "Token": self.token,
            "TopicArn": self.topic_arn,
            "Type": self.type,
        }
        names = _SIGNED.get(self.type)
        if names is None or any(values[name] is None for name in names if name != "Subject"):
            raise NotVerified(f"the Type isn't one of {', '.join(_SIGNED)}, or a signed member is missing")
        return "".join(f"{name}\n{values[name]}\n" for name in names if values[name] is not None).encode()


class SnsCredential(PinnedCertificates):
    """A certificate in place of Amazon's, for tests of a flow, which otherwise needs no credential."""


def _read(url: str, pem: bytes, at: datetime) -> Signer:
    # That it is Amazon's is known by where it came from, over TLS; the file doesn't hold the certificates above it.
    try:
        found = signer(load_pem_x509_certificate(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CannotVerify(f"the file at {url} is not a certificate of Amazon's: {error}") from error
    if not found.valid_at(at):
        raise CannotVerify(f"the certificate at {url} is not valid now")
    return found


class Sns(Scheme[Any, SnsSettings]):
    """Amazon SNS: RSA signatures within the body, of versions 1 and 2.

    At Amazon: subscribe the flow's URL to the topic, protocol HTTPS, without raw message delivery, which isn't signed.
    There is no secret, and no credential except for tests; `topics` names the topics whose messages are accepted. SNS
    asks for the subscription to be confirmed: the scheme confirms it by fetching the URL that SNS names, and no flow
    starts. Certificates and that URL are fetched only from `sns.<region>.amazonaws.com`.

    The signature covers the message's text, id, time and topic. The dedupe key is `MessageId`. SNS retries as the
    topic's delivery policy says, for an hour at most. Its body is JSON, sent as `text/plain`: the flow sets
    `"body": "json"`.
    """

    name: ClassVar[str] = "sns"
    title: ClassVar[str] = "Amazon SNS"
    json_as: ClassVar[str | None] = "text/plain"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    credential: ClassVar[type[BaseModel] | None] = SnsCredential
    credential_required: ClassVar[bool] = False
    settings: ClassVar[type[BaseModel]] = SnsSettings

    def __init__(self) -> None:
        self._certificates = Fetched("Amazon's certificate", _read, valid=Signer.valid_at)

    def open(self, request: SignedRequest, credential: SnsCredential | None, settings: SnsSettings) -> RequestVerifier:
        """Begin to collect the body, in which everything is."""
        return _SnsCheck(self._certificates, request, credential, settings)

    def complete(
        self, request: SignedRequest, body: bytes, credential: SnsCredential | None, settings: SnsSettings
    ) -> bytes:
        """Return the body as a notification's message or, if it has a `Type`, as a message of SNS; signed, of now.

        The credential's `private_key` signs. Raises ValueError if the body has a `Type`, but isn't a valid message.
        """
        if credential is None:
            raise NotImplementedError(KEY_REMEDY)
        given = read_json(body, _Given) or _Given()
        members = read_json(body, dict[str, msgspec.Raw]) if given.type else {"Message": _raw(_text(body))}
        at = request.received_at.astimezone(UTC)
        made = {
            "Type": "Notification",
            "MessageId": str(UUID(bytes=sha256(body).digest()[:16])),
            "TopicArn": settings.topics[0],
            "Timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": "2",
            "Signature": "",
            "SigningCertURL": _TEST_URL,
        }
        anew = ("Timestamp", "SignatureVersion", "Signature", "SigningCertURL")
        members = {name: _raw(value) for name, value in made.items()} | {
            name: value for name, value in (members or {}).items() if name not in anew
        }
        message = read_json(msgspec.json.encode(members), _Message)
        try:
            signed = b"" if message is None else message.signed()
        except NotVerified:
            signed = b""
        if message is None or not signed:
            raise ValueError(f"a body with a Type is one of {', '.join(_SIGNED)}, with all members that SNS signs")
        if message.topic_arn not in settings.topics:
            raise ValueError(f"its TopicArn {message.topic_arn!r} isn't one of the flow's topics")
        signature = credential.signing_key.sign(signed, PKCS1v15(), hashes.SHA256())
        return msgspec.json.encode(members | {"Signature": _raw(b64encode(signature).decode())})

    def sign(
        self, request: SignedRequest, body: bytes, credential: SnsCredential | None, settings: SnsSettings
    ) -> Sequence[tuple[str, str]]:
        """Return the content type of SNS; the signature is in the body."""
        return [("content-type", "text/plain; charset=UTF-8")]


class _Given(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="Type", default="")


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ValueError("a notification's message is text in UTF-8") from None


def _raw(value: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


class _SnsCheck:
    def __init__(
        self,
        certificates: Fetched[Signer],
        request: SignedRequest,
        credential: SnsCredential | None,
        settings: SnsSettings,
    ) -> None:
        self._certificates = certificates
        self._credential = credential
        self._request = request
        self._settings = settings
        self._body = JsonBody(_Message)

    def feed(self, chunk: bytes) -> None:
        self._body.feed(chunk)

    async def finish(self) -> Verified:
        message = self._body.read()
        if message is None:
            raise NotVerified("the body isn't a message of SNS; is raw message delivery off?")
        await self._judge(message)
        if message.type == "Notification":
            return Verified(message.message_id or None)
        if message.type == "SubscriptionConfirmation":
            await self._confirm(message)
        # To fetch the URL of an UnsubscribeConfirmation would subscribe again.
        return Verified(response=WebhookResponse())

    async def _judge(self, message: _Message) -> None:
        at = self._request.received_at
        algorithm = _HASHES.get(message.signature_version)
        signature = from_base64(message.signature)
        # The topic comes before the certificate: others' messages needn't cost a fetch.
        if message.topic_arn not in self._settings.topics:
            raise NotVerified(f"the topic {message.topic_arn[:300]} isn't in `topics`")
        if algorithm is None:
            raise NotVerified(f"the SignatureVersion isn't one of {', '.join(_HASHES)}")
        if not signature:
            raise NotVerified(UNREADABLE)
        if not _CERT_URL.fullmatch(message.signing_cert_url):
            raise NotVerified("the SigningCertURL isn't one of Amazon SNS")
        check_near(at - rfc3339_time(message.timestamp), self._settings.tolerance)
        signed = message.signed()
        signers = self._credential.signers_at(at) if self._credential is not None else []
        signers = signers or [await self._certificates.get(message.signing_cert_url, at, self._request.http)]
        for one in signers:
            with suppress(InvalidSignature):
                one.key.verify(signature, signed, PKCS1v15(), algorithm)
                return
        raise NotVerified(MISMATCH)

    async def _confirm(self, message: _Message) -> None:
        url = message.subscribe_url or ""
        if not _SUBSCRIBE_URL.fullmatch(url):
            raise NotVerified("the SubscribeURL isn't one of Amazon SNS")
        try:
            response = await self._request.http.request(
                "GET", url, redirects=0, timeout=_CONFIRM_TIMEOUT, max_bytes=_LONGEST_ANSWER
            )
        except StepError as error:
            raise CannotVerify(
                f"the subscription to {message.topic_arn} can't be confirmed: {error.message}"
            ) from error
        if response.status != 200:
            raise CannotVerify(f"the subscription to {message.topic_arn} can't be confirmed: status {response.status}")
