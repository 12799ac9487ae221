"""The admin API's routes that sign a message as its provider would: to return it, or to send it to its flow."""

import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, unquote

import msgspec
from pydantic import BaseModel
from quart import Blueprint, Response

from hookline.access.audit import entry
from hookline.engine import Engine
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import CannotSign, CredentialError, FlowNotFound, Malformed
from hookline.model.access import Actor, TokenScope
from hookline.model.message import Envelope
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import decode_body, read_body
from hookline.service.admin.responses import json_response
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.hook_endpoint import Hook
from hookline.service.hooks.immediate_responses import EXECUTION_ID
from hookline.service.server.hook_application import HOOK
from hookline.service.signed_samples import (
    Pair,
    SignedMessage,
    UnsignedMessage,
    hook_url,
    sign,
    sign_without_secrets,
    verifying_credential,
)
from hookline.service.views.json_field_types import Uuid
from hookline.storage.change_declarations import Accepted, Duplicate

_SHOWN: Final = 65_536
"""Bytes of a response's body that are returned."""
_METHOD: Final = re.compile(r"[A-Z]{1,20}\Z")
_REST: Final = re.compile(r"[!-~]*\Z")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_OF_THE_WAY: Final = frozenset({"content-length", "forwarded", "host", "transfer-encoding", "x-forwarded-for"})
"""Headers about the way of a request, which isn't the sender's to tell."""


class SentMessage(msgspec.Struct, frozen=True):
    """The response to a message that was sent to a flow."""

    scheme: str
    """The scheme with which the message was signed; `none` if the flow verifies nothing."""
    url: str
    """The URL to which its provider would send it."""
    status: int
    headers: list[Pair]
    body: bytes
    """Base64 in JSON; at most 65,536 bytes."""
    truncated: bool
    """True if the body is longer."""
    execution_id: Uuid | None
    """The execution that has the message; null if it was rejected, or if the response names none."""


class AuditedIntake:
    """The intake of the messages that an operator sends: each that is accepted is recorded."""

    def __init__(self, engine: Engine, by: Actor) -> None:
        self._engine = engine
        self._by = by

    def flow(self, flow_id: str) -> CompiledFlow:
        """Return the version of a flow that accepts messages now."""
        return self._engine.intake.flow(flow_id)

    async def accept(self, flow: CompiledFlow, envelope: Envelope) -> Accepted | Duplicate:
        """Make a message durable, with the entry about the operator, if it isn't a duplicate."""
        now = self._engine.clock.now()
        audit = entry(
            self._engine.ids.new(now),
            now,
            self._by,
            "flow.send",
            flow_id=flow.id,
            flow_version=flow.version,
            subject=envelope.execution_id,
        )
        return await self._engine.intake.accept(flow, envelope, audit=audit)


def add_signing(api: Blueprint, engine: Engine, hook: Hook) -> None:
    """Add the routes; messages are sent to `hook`."""

    async def receiving(flow_id: str) -> tuple[CompiledFlow, BaseModel | None]:
        """The flow, and the credential with which it verifies its sender."""
        found = engine.catalog.entries.get(flow_id)
        if found is None:
            raise engine.catalog.missing(flow_id)
        if found.flow is None:
            raise FlowNotFound(f"no version of flow {flow_id!r} can serve; `hookline check` says why")
        if found.flow.trigger.subscribes is not None:
            return found.flow, (await engine.subscriptions.verifying(found.flow))[0]
        return found.flow, verifying_credential(found.flow, engine.credentials.get)

    @api.post("/flows/<flow_id>/sign")
    @operation(
        SignedMessage,
        request=UnsignedMessage,
        scope=TokenScope.OPERATE,
        errors=(CannotSign, CredentialError),
    )
    async def sign_message(flow_id: str) -> Response:
        """Sign a message as its provider would, for `hookline send`.

        The result contains no secret; schemes whose headers contain it are rejected.
        """
        message = decode_body(await read_body(), UnsignedMessage)
        flow, credential = await receiving(flow_id)
        url = hook_url(engine.options.public_url, flow_id, message)
        return json_response(sign_without_secrets(flow, credential, message, url, engine.clock.now()))

    @api.post("/flows/<flow_id>/send")
    @operation(
        SentMessage,
        request=UnsignedMessage,
        scope=TokenScope.OPERATE,
        errors=(CannotSign, CredentialError, Malformed),
    )
    async def send_message(flow_id: str) -> Response:
        """Send a message to a flow, signed as its provider would sign it, and return the flow's response.

        The message passes all checks of a request to the flow's URL, except those of the network in between. It is
        recorded in the audit. It may also be signed by a scheme whose headers contain the secret: they aren't returned.
        """
        message = decode_body(await read_body(), UnsignedMessage)
        _check(message)
        flow, credential = await receiving(flow_id)
        if flow.trigger.webhook is None:
            raise CannotSign(f"flow {flow_id!r} has no URL: its trigger is {flow.trigger.use!r}; start it instead")
        url, by = hook_url(engine.options.public_url, flow_id, message), caller().actor
        scheme, settings = flow.trigger.scheme, flow.trigger.scheme_settings
        signed = SignedMessage("none", [], message.body)
        if scheme is not None and settings is not None:
            signed = sign(scheme, credential, settings, message, url, engine.clock.now())
        response = await hook.into(AuditedIntake(engine, by)).handle(_request(flow_id, message, signed, by.address))
        return json_response(await _sent(signed.scheme, url, response))


def _check(message: UnsignedMessage) -> None:
    """Raise Malformed for a message that no HTTP client could send."""
    if not _METHOD.match(message.method):
        raise Malformed("A method has capital letters, as in POST.")
    if not _REST.match(message.rest) or message.rest[:1] not in ("", "/", "?"):
        raise Malformed("The rest of the URL begins with / or ?, and has no spaces; escape other characters with %.")
    for name, value in message.headers:
        if not _NAME.match(name) or not _VALUE.match(value):
            raise Malformed(f"The header {name[:100]!r} has characters that headers can't have.")
        if name.lower() in _OF_THE_WAY:
            raise Malformed(f"The header {name} can't be chosen.")


def _request(flow_id: str, message: UnsignedMessage, signed: SignedMessage, address: str | None) -> HookRequest:
    path, _, query = message.rest.partition("?")
    body = b"" if message.method == "GET" else signed.body
    # The signed headers replace others of the same name.
    made = {name.lower(): value for name, value in (*message.headers, *signed.headers)}
    headers = [(name.encode(), _on_the_wire(value)) for name, value in made.items()]
    return HookRequest(
        message.method,
        f"{flow_id}{unquote(path)}",
        f"{HOOK}{quote(flow_id, safe='')}{path}".encode(),
        query.encode(),
        [*headers, (b"content-length", str(len(body)).encode())],
        _chunks(body),
        address or None,
    )


def _on_the_wire(value: str) -> bytes:
    """The bytes of a header's value; schemes return theirs as Latin-1."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode()


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


async def _sent(scheme: str, url: str, response: HookResponse) -> SentMessage:
    body = bytearray(response.body)
    if response.chunks is not None:
        async for chunk in response.chunks:
            body += chunk
            if len(body) > _SHOWN:
                break
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in response.headers]
    execution_id = next((value.decode() for name, value in response.headers if name == EXECUTION_ID), None)
    return SentMessage(scheme, url, response.status, headers, bytes(body[:_SHOWN]), len(body) > _SHOWN, execution_id)
