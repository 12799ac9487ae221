"""Callbacks: requests to waiting steps. Each is received like a message, and delivered to its step."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from hookline.access.audit import entry
from hookline.bodies.page_form_input import read_page_input
from hookline.bodies.urlencoded import lenient_query
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.message_scope import arrival_scope
from hookline.intake.callbacks import Callbacks, WaitingStep
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import AlreadyCalled, InputInvalid, ServiceUnavailable, TooManyRequests, WaitOver
from hookline.kernel.ids import Ids
from hookline.kernel.json import canonical, encode, is_heavy_value
from hookline.model.access import Actor, AuditEntry
from hookline.model.callbacks_and_pages import Call
from hookline.model.message import Arrival, Message
from hookline.plugin_host.large_value_work import Offloader
from hookline.sdk.schemes import WebhookResponse
from hookline.secrets.redaction import Redaction
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks import cors, immediate_responses
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.hooks.receive import ReceivedRequest, RequestReceiver, RequestTarget
from hookline.service.hooks.rejection import RequestContext
from hookline.service.hooks.waiting_step_pages import FORMS, expects_page, form_page
from hookline.storage.change_declarations import CallbackRepeated, CallbackStored, NotWaiting, StoreCallback

_NOT_YET_RETRY_AFTER: Final = 5.0
_EARLY_RETRY_AFTER: Final = 60.0
"""Seconds. A step keeps a bounded number of callbacks that came before any execution waits for them."""


class CallbackHandler:
    """Receives callbacks and delivers them."""

    def __init__(
        self, *, waiting: Callbacks, receiver: RequestReceiver, redaction: Redaction, clock: Clock, ids: Ids
    ) -> None:
        self._waiting = waiting
        self._receiver = receiver
        self._offloader = Offloader()
        self._redaction = redaction
        self._clock = clock
        self._ids = ids

    async def handle_by_token(
        self, request: HookRequest, headers: Headers, step: WaitingStep, context: RequestContext
    ) -> HookResponse:
        """Handle a callback to the URL of one step of one execution."""
        return await self._handle(request, headers, step.flow, step.compiled, step, context)

    async def handle_by_key(
        self, request: HookRequest, headers: Headers, flow: CompiledFlow, step: CompiledWait, context: RequestContext
    ) -> HookResponse:
        """Handle a callback that finds its execution by a key."""
        return await self._handle(request, headers, flow, step, None, context)

    async def _handle(
        self,
        request: HookRequest,
        headers: Headers,
        flow: CompiledFlow,
        compiled: CompiledWait,
        step: WaitingStep | None,
        context: RequestContext,
    ) -> HookResponse:
        if compiled.settings.cors is not None:
            context.webhook, context.origin = compiled.settings, headers.joined.get("origin")
        if request.method == "HEAD":
            return HookResponse(200)
        if request.method == "OPTIONS":
            return cors.options(compiled.settings, headers.joined)
        context.bare = compiled.scheme is not None and compiled.scheme.bare_rejections
        target = target_of(flow, compiled)
        if not target.takes(request):
            raise target.not_taken()
        blobs = self._receiver.request_blobs()
        try:
            incoming = await self._receiver.receive(request, headers, target, context, blobs)
            if isinstance(incoming, WebhookResponse):
                await blobs.discard()
                return immediate_responses.scheme_response(incoming)
            body = None
            if step is not None and compiled.page is not None:
                body = await self._page_body(step, incoming, context)
            callback = self._callback(flow, compiled, step, incoming, body)
        except BaseException:  # if the request is cancelled or rejected, its files are removed
            await blobs.discard()
            raise
        # If this fails, the callback may have been stored. Its blobs are kept; the sweeper removes those that nothing
        # refers to.
        try:
            outcome = await self._waiting.deliver(callback)
        finally:
            blobs.release()
        if isinstance(outcome, CallbackStored | CallbackRepeated):
            context.outcomes = (outcome,)
        if isinstance(outcome, CallbackStored):
            return immediate_responses.callback_response(flow, compiled, outcome)
        await blobs.discard()
        if isinstance(outcome, CallbackRepeated):
            if outcome.identical:
                return immediate_responses.callback_response(flow, compiled, outcome)
            raise AlreadyCalled(f"step {compiled.id!r} has received another callback before")
        if isinstance(outcome, NotWaiting):
            raise WaitOver(f"step {compiled.id!r} no longer waits for a callback")
        raise TooManyRequests(
            f"step {compiled.id!r} keeps no more calls that came before anything waits for them",
            retry_after=_EARLY_RETRY_AFTER,
        )

    async def _page_body(
        self, step: WaitingStep, incoming: ReceivedRequest, context: RequestContext
    ) -> dict[str, Any] | None:
        """Return the body that the input of a page becomes; None if the page doesn't count any more.

        Raises InputInvalid, WaitOver, ServiceUnavailable if the page must be evaluated first, and StoreError.
        """
        status = await self._waiting.status(step)
        if status.called:
            return None  # the store tells whether it is the same callback again
        if status.timed_out or step.over:
            raise WaitOver(f"step {step.compiled.id!r} no longer waits for a callback")
        page = await self._waiting.page(step, status)
        if page is None:
            if status.waits:
                return None  # it began to wait under a version without a page
            raise ServiceUnavailable(
                f"the execution hasn't reached step {step.compiled.id!r} yet", retry_after=_NOT_YET_RETRY_AFTER
            )
        given, headers = incoming.received.body, incoming.headers
        form = headers.joined.get("content-type", "").startswith(FORMS)
        read = partial(read_page_input, page, given, form=form, exact=step.flow.exact)
        body, problems = await self._offloader.run(read, large=is_heavy_value(given))
        if problems:
            if expects_page(headers):
                shown = given if isinstance(given, Mapping) else {}
                context.rejection = lambda error: form_page(page, status=error.status, given=shown, problems=problems)
            raise InputInvalid(problems=problems)
        return body

    def _callback(
        self,
        flow: CompiledFlow,
        compiled: CompiledWait,
        step: WaitingStep | None,
        incoming: ReceivedRequest,
        page_body: dict[str, Any] | None,
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
        # A repeated callback is recognized by what was sent, since its page is gone.
        digest = callback_digest(call, scheme_id)
        if page_body is not None:
            call = msgspec.structs.replace(call, body=msgspec.Raw(encode(page_body)))
        now = self._clock.now()
        key: str | None = None
        if step is None and compiled.key_of_call is not None:
            arrival = Arrival(
                use="webhook",
                method=incoming.method,
                path=compiled.id,
                query=query,
                received_at=incoming.received_at,
                verified_by=incoming.verified_by,
                client=incoming.client,
                scheme_id=scheme_id,
            )
            message = Message(received.body, headers, received.attachments)
            key = compiled.key_of_call.text(arrival_scope(message, arrival, flow.vars))
        return StoreCallback(
            id=self._ids.new(),
            execution_id=None if step is None else step.execution_id,
            path=None if step is None else step.path,
            flow_id=flow.id,
            step_id=compiled.id,
            key=key,
            digest=digest,
            at=now,
            until=None if step is not None else now + compiled.settings.early,
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


def target_of(flow: CompiledFlow, step: CompiledWait) -> RequestTarget:
    """The target of a callback to a step."""
    return RequestTarget(f"{flow.id}/{step.id}", flow, step.settings, step)


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
