"""Signing a message as its provider would, so that a flow can be tried without the provider.

The admin API may return signatures, but no secrets: somebody with the admin token could replace the credential and the
flow, but must not learn secrets that other systems may use too. So the API doesn't sign for schemes whose headers
contain the secret itself (`basic`, `api-key`, …), and doesn't return bodies that contain it.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NoReturn, TypeAlias
from urllib.parse import quote

import msgspec
from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.credentials.stored_credentials import FoundCredential
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import CannotSign, CredentialError, NotVerified
from hookline.sdk.http_client import Requests
from hookline.sdk.schemes import Scheme, SignedRequest

_REMEDY: Final = "give the credential's values to `hookline send` itself: --secret key=value"
_NO_KEY: Final = "`hookline run` tries the flow's steps without a sender"


_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Pair: TypeAlias = Annotated[list[str], msgspec.Meta(min_length=2, max_length=2)]
"""The name and the value of a header. It is a list, because few client generators support tuples."""


class UnsignedMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to sign."""

    body: Annotated[bytes, msgspec.Meta(extra_json_schema={"pattern": _BASE64})] = b""
    """Base64 in JSON."""
    method: str = "POST"
    base_url: str | None = None
    """The URL of the server that receives the message, which some providers sign; by default the public URL of this
    server."""
    rest: str = ""
    """The rest of the URL after the flow's: a path that begins with a slash, a query with its question mark."""
    headers: list[Pair] = []
    """The headers that the sender chooses, such as the id of a repeated delivery."""


class SignedMessage(msgspec.Struct, frozen=True):
    """A message as its provider would send it."""

    scheme: str
    """`none` if the flow verifies nothing."""
    headers: list[Pair]
    body: bytes
    """Base64 in JSON; with the values that the provider itself adds."""


class NoNetwork(Requests):
    """The HTTP client of schemes that sign: it sends no requests."""

    async def request(self, *_: Any, **__: Any) -> NoReturn:
        """Raise CannotSign."""
        raise _nothing()

    def stream(self, *_: Any, **__: Any) -> NoReturn:
        """Raise CannotSign."""
        raise _nothing()


def _nothing() -> CannotSign:
    return CannotSign("schemes can't send requests when they sign a message")


def hook_url(public_url: str, flow_id: str, message: UnsignedMessage) -> str:
    """The URL to which the message is sent, as its sender knows it."""
    return f"{(message.base_url or public_url).rstrip('/')}/hook/{quote(flow_id, safe='')}{message.rest}"


def sign(
    scheme: Scheme[Any, Any],
    credential: BaseModel | None,
    settings: BaseModel,
    message: UnsignedMessage,
    url: str,
    at: datetime,
) -> SignedMessage:
    """Return the message with everything that the provider adds. Raises CannotSign."""
    headers = tuple((name.lower(), value) for name, value in message.headers)
    request = SignedRequest(message.method, url, headers, at, NoNetwork())
    try:
        body = scheme.complete(request, message.body, credential, settings)
        made = [list(pair) for pair in scheme.sign(request, body, credential, settings)]
    except NotImplementedError as error:
        raise CannotSign(
            f"only the provider itself can sign as scheme {scheme.name!r} does with this credential; "
            + (str(error) or _NO_KEY)
        ) from None
    except ValueError as error:
        raise CannotSign(f"scheme {scheme.name!r} can't sign this: {error}") from None
    except NotVerified:
        raise CannotSign(
            f"scheme {scheme.name!r} can't sign this: a header or a parameter of the query is there twice, or can't "
            "be read; send it once"
        ) from None
    return SignedMessage(scheme.name, made, body)


def verifying_credential(flow: CompiledFlow, get: Callable[[str, str], FoundCredential]) -> BaseModel | None:
    """The credential with which a flow verifies its sender. Raises CredentialError."""
    scheme, name = flow.trigger.scheme, flow.trigger.credential
    if scheme is None or scheme.credential is None or name is None:
        return None
    found = get(name, flow.id)
    kind, value = found.type, found.value
    if not isinstance(value, scheme.credential):
        raise CredentialError(f"credential {name!r} is of type {kind!r}, not {scheme.name!r}")
    return value


def sign_without_secrets(
    flow: CompiledFlow, credential: BaseModel | None, message: UnsignedMessage, url: str, at: datetime
) -> SignedMessage:
    """Sign with a flow's own credential for somebody who must not see it: the result shows no secret.

    The scheme is `none` if the flow verifies nothing. Raises CannotSign.
    """
    scheme, settings = flow.trigger.scheme, flow.trigger.scheme_settings
    if scheme is None or settings is None:
        return SignedMessage("none", [], message.body)
    if scheme.secret_headers(settings):
        raise CannotSign(f"what scheme {scheme.name!r} sends contains the secret itself; {_REMEDY}")
    signed = sign(scheme, credential, settings, message, url, at)
    shown = [value.encode("utf-8", "surrogateescape") for _, value in signed.headers]
    if signed.body != message.body:
        shown.append(signed.body)
    if any(secret in text for secret in _secrets(credential) for text in shown):
        raise CannotSign(f"what scheme {scheme.name!r} sends would contain the secret itself; {_REMEDY}")
    return signed


def _secrets(value: Any) -> Iterator[bytes]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, SecretStr | SecretBytes):
        secret = value.get_secret_value()
        if text := secret if isinstance(secret, bytes) else secret.encode():
            yield text
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for one in value:
            yield from _secrets(one)
