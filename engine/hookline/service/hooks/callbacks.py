"""Callbacks: requests to waiting steps. Each is received like a message, and delivered to its step."""

import hashlib
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.access.audit import entry
from hookline.bodies.forms import lenient_query
from hookline.flows.blocks.webhook_wait import WaitNode
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.elements.message_scope import arrival_scope
from hookline.intake.callbacks import Callbacks, WaitingStep
from hookline.kernel.errors import AlreadyCalled, TooManyRequests, WaitOver
from hookline.kernel.ids import Ids
from hookline.kernel.json import canonical, encode
from hookline.kernel.time import Clock
from hookline.model.access import Actor, AuditEntry
from hookline.model.message import Arrival, Message
from hookline.model.waits import Call
from hookline.sdk.schemes import WebhookResponse
from hookline.secrets.redaction import Redaction
from hookline.service.hooks import cors, responses
from hookline.service.hooks.masking import Headers
from hookline.service.hooks.receive import ReceivedRequest, RequestReceiver, RequestTarget
from hookline.service.hooks.rejection import RequestContext
from hookline.service.types import HookRequest, HookResponse
from hookline.storage.changes import CallbackRepeated, CallbackStored, NotWaiting, StoreCallback

_EARLY_RETRY_AFTER: Final = 60.0
"""Seconds. A step keeps a bounded number of callbacks that came before any execution waits for them."""


class CallbackHandler:
    """Receives callbacks and delivers them."""

    def __init__(
        self, *, waiting: Callbacks, receiver: RequestReceiver, redaction: Redaction, clock: Clock, ids: Ids
    ) -> None:
        self._waiting = waiting
        self._receiver = receiver
        self._redaction = redaction
        self._clock = clock
        self._ids = ids

    async def handle_by_token(
        self, request: HookRequest, headers: Headers, step: WaitingStep, context: RequestContext
    ) -> HookResponse:
        """Handle a callback to the URL of one step of one execution."""
        return await self._handle(request, headers, step.flow, step.node, step, context)

    async def handle_by_key(
        self, request: HookRequest, headers: Headers, flow: CompiledFlow, node: WaitNode, context: RequestContext
    ) -> HookResponse:
        """Handle a callback that finds its execution by a key."""
        return await self._handle(request, headers, flow, node, None, context)

    async def _handle(
        self,
        request: HookRequest,
        headers: Headers,
        flow: CompiledFlow,
        node: WaitNode,
        step: WaitingStep | None,
        context: RequestContext,
    ) -> HookResponse:
        if node.settings.cors is not None:
            context.webhook, context.origin = node.settings, headers.joined.get("origin")
        if request.method == "HEAD":
            return HookResponse(200)
        if request.method == "OPTIONS":
            return cors.options(node.settings, headers.joined)
        context.bare = node.scheme is not None and node.scheme.bare_rejections
        target = target_of(flow, node)
        if not target.takes(request):
            raise target.not_taken()
        uploads = self._receiver.uploads()
        try:
            incoming = await self._receiver.receive(request, headers, target, context, uploads)
            if isinstance(incoming, WebhookResponse):
                await uploads.discard()
                return responses.scheme_response(incoming)
            callback = self._callback(flow, node, step, incoming)
        except BaseException:  # if the request is cancelled or rejected, its files are removed
            await uploads.discard()
            raise
        # If this fails, the callback may have been stored. Its blobs are kept; the sweeper removes those that nothing
        # refers to.
        try:
            outcome = await self._waiting.deliver(callback)
        finally:
            uploads.release()
        if isinstance(outcome, CallbackStored):
            return responses.callback_response(flow, node, outcome)
        await uploads.discard()
        if isinstance(outcome, CallbackRepeated):
            if outcome.identical:
                return responses.callback_response(flow, node, outcome)
            raise AlreadyCalled(f"step {node.id!r} has received another callback before")
        if isinstance(outcome, NotWaiting):
            raise WaitOver(f"step {node.id!r} no longer waits for a callback")
        raise TooManyRequests(
            f"step {node.id!r} keeps no more calls that came before anything waits for them",
            retry_after=_EARLY_RETRY_AFTER,
        )

    def _callback(
        self, flow: CompiledFlow, node: WaitNode, step: WaitingStep | None, incoming: ReceivedRequest
    ) -> StoreCallback:
        received, headers = incoming.received, incoming.headers.joined
        query = lenient_query(incoming.query) if incoming.query else {}
        scheme_id = incoming.verified.dedupe_key if incoming.verified is not None else None
        call = Call(
            body=msgspec.Raw(received.json if received.json is not None else encode(received.body)),
            headers=headers,
            attachments=received.attachments,
            method=incoming.method,
            query=query,
            received_at=incoming.received_at,
            verified_by=incoming.verified_by,
            client=incoming.client,
        )
        now = self._clock.now()
        key: str | None = None
        if step is None and node.key_of_call is not None:
            arrival = Arrival(
                use="webhook",
                method=incoming.method,
                path=node.id,
                query=query,
                received_at=incoming.received_at,
                verified_by=incoming.verified_by,
                client=incoming.client,
                scheme_id=scheme_id,
            )
            message = Message(received.body, headers, received.attachments)
            key = node.key_of_call.text(arrival_scope(message, arrival, flow.vars))
        return StoreCallback(
            id=self._ids.new(),
            execution_id=None if step is None else step.execution_id,
            path=None if step is None else step.path,
            flow_id=flow.id,
            step_id=node.id,
            key=key,
            digest=callback_digest(call, scheme_id),
            at=now,
            until=None if step is not None else now + node.settings.early,
            payload=self._redaction.redact_call(flow.redaction_rules, call),
            blob_ids=tuple(attachment.id for attachment in received.attachments),
            audit=None if step is None else self._audit(step, now, incoming.client),
        )

    def _audit(self, step: WaitingStep, now: datetime, client: str | None) -> AuditEntry:
        return entry(
            self._ids.new(),
            now,
            Actor("resume-url", address=client),
            "execution.resume",
            flow_id=step.flow.id,
            flow_version=step.flow.version,
            subject=step.execution_id,
            detail=step.path,
        )


def target_of(flow: CompiledFlow, node: WaitNode) -> RequestTarget:
    """The target of a callback to a step."""
    return RequestTarget(f"{flow.id}/{node.id}", flow, node.settings, node)


def callback_digest(call: Call, scheme_id: str | None) -> bytes:
    """A hash of a callback's content, which tells a repeated callback from another one.

    If the scheme has an id for the callback, the hash is that of the id. Otherwise it is that of the body, the query
    and the files. Headers don't count: dates, signatures and the ids of requests and traces differ from one try to the
    next, and no list of such headers would be complete.
    """
    if scheme_id is not None:
        said: list[Any] = ["id", scheme_id]
    else:
        files = [[file.name, file.filename, file.type, file.size, file.sha256] for file in call.attachments]
        said = ["body", hashlib.sha256(bytes(call.body)).hexdigest(), call.query, files]
    return hashlib.sha256(canonical(said)).digest()
