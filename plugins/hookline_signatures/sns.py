"""Amazon SNS: messages that hold their signature themselves, and confirmations of subscriptions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final, cast

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate
from pydantic import BaseModel, BeforeValidator, Field

from hookline.api import Answer, CannotVerify, Check, NotVerified, Scheme, SignedRequest, StepError, Verified
from hookline_signatures.fetched import Fetched
from hookline_signatures.freshness import WithinADay
from hookline_signatures.header_text import from_base64, rfc3339_time
from hookline_signatures.json_body import JsonBody
from hookline_signatures.secret_values import listed

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
_SHORTEST_KEY: Final = 2048
_CONFIRM_TIMEOUT: Final = 5.0
_LONGEST_ANSWER: Final = 64 * 1024


class SnsSettings(WithinADay):
    """Whose messages are taken."""

    topics: Annotated[
        tuple[Annotated[str, Field(pattern=_TOPIC)], ...],
        BeforeValidator(listed, json_schema_input_type=str | list[str]),
        Field(min_length=1, max_length=100),
    ] = Field(
        description="The ARN of the topic, or a list of them. Anybody may have a topic, and Amazon signs what is sent "
        "to it: the signature alone says nothing.",
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
        """What Amazon signs: names and values of some of the members. Raises NotVerified."""
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
            raise NotVerified
        return "".join(f"{name}\n{values[name]}\n" for name in names if values[name] is not None).encode()


@dataclass(frozen=True, slots=True)
class _SignerCertificate:
    key: RSAPublicKey
    not_before: datetime
    not_after: datetime

    def valid_at(self, at: datetime) -> bool:
        return self.not_before <= at <= self.not_after


def _read(url: str, pem: bytes, at: datetime) -> _SignerCertificate:
    # That it is Amazon's is known by where it came from, over TLS; the file doesn't hold the certificates above it.
    try:
        certificate = load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CannotVerify(f"what is under {url} is not a certificate: {error}") from error
    signer = _SignerCertificate(
        cast(RSAPublicKey, key), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )
    if not isinstance(key, RSAPublicKey) or key.key_size < _SHORTEST_KEY or not signer.valid_at(at):
        raise CannotVerify(f"the certificate under {url} is not a valid one for an RSA key of {_SHORTEST_KEY} bits")
    return signer


class Sns(Scheme[BaseModel, SnsSettings]):
    """Amazon SNS: RSA signatures within the body, of versions 1 and 2.

    At Amazon: subscribe the flow's URL to the topic, protocol HTTPS, without raw message delivery, which isn't signed.
    There is no secret; `topics` names the topics whose messages are taken. SNS asks for the subscription to be
    confirmed: the scheme does so by fetching the URL that SNS names, and no flow starts. Certificates and that URL are
    fetched from `sns.<region>.amazonaws.com` alone.

    The signature covers what the message says, its id, time and topic. The dedupe key is `MessageId`. SNS tries again
    as the topic's delivery policy says, for an hour at most. Its body is JSON, sent as `text/plain`: the flow says
    `"body": "json"`.
    """

    name: ClassVar[str] = "sns"
    title: ClassVar[str] = "Amazon SNS"
    json_as: ClassVar[str | None] = "text/plain"
    retries_for: ClassVar[timedelta] = timedelta(hours=1)
    settings: ClassVar[type[BaseModel]] = SnsSettings

    def __init__(self) -> None:
        self._certificates = Fetched("Amazon's certificate", _read, valid=_SignerCertificate.valid_at)

    def open(self, request: SignedRequest, credential: BaseModel, settings: SnsSettings) -> Check:
        """Everything is in the body."""
        return _SnsCheck(self._certificates, request, settings)

    def sign(
        self, request: SignedRequest, body: bytes, credential: BaseModel, settings: SnsSettings
    ) -> Sequence[tuple[str, str]]:
        """Only Amazon can."""
        raise NotImplementedError


class _SnsCheck:
    def __init__(
        self, certificates: Fetched[_SignerCertificate], request: SignedRequest, settings: SnsSettings
    ) -> None:
        self._certificates = certificates
        self._request = request
        self._settings = settings
        self._body = JsonBody(_Message)

    def feed(self, chunk: bytes) -> None:
        self._body.feed(chunk)

    async def finish(self) -> Verified:
        message = self._body.read()
        if message is None:
            raise NotVerified
        await self._judge(message)
        if message.type == "Notification":
            return Verified(message.message_id or None)
        if message.type == "SubscriptionConfirmation":
            await self._confirm(message)
        # To fetch the URL of an UnsubscribeConfirmation would subscribe again.
        return Verified(answer=Answer())

    async def _judge(self, message: _Message) -> None:
        at = self._request.received_at
        algorithm = _HASHES.get(message.signature_version)
        signature = from_base64(message.signature)
        # The topic comes before the certificate: others' messages needn't cost a fetch.
        if (
            message.topic_arn not in self._settings.topics
            or algorithm is None
            or not signature
            or not _CERT_URL.fullmatch(message.signing_cert_url)
            or abs(at - rfc3339_time(message.timestamp)) > self._settings.tolerance
        ):
            raise NotVerified
        signed = message.signed()
        signer = await self._certificates.get(message.signing_cert_url, at, self._request.http)
        try:
            signer.key.verify(signature, signed, PKCS1v15(), algorithm)
        except InvalidSignature:
            raise NotVerified from None

    async def _confirm(self, message: _Message) -> None:
        url = message.subscribe_url or ""
        if not _SUBSCRIBE_URL.fullmatch(url):
            raise NotVerified
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
