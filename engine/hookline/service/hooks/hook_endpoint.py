"""The hook: the endpoint for requests to `/hook/<flow id>`.

It is independent of any web framework. The order of its checks is fixed: framing, flow, method, those of `receive`, and
then those of the intake in one transaction: duplicate, rate limit and backlog.
"""

import asyncio
import copy
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import msgspec

from hookline.bodies.urlencoded import lenient_query
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import request_envelope, with_keys
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import FlowUnknown, PossiblyStored, RequestRejected, UnsupportedMedia
from hookline.kernel.ids import Ids
from hookline.model.message import Arrival, Envelope, Message
from hookline.model.webhook import WebhookSettings
from hookline.sdk.schemes import WebhookResponse
from hookline.service.hook_request_and_response import HookRequest, HookResponse, SenderGone
from hookline.service.hooks import cors, immediate_responses
from hookline.service.hooks.callbacks import CallbackHandler
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.hooks.receive import HookOptions, ReceivedRequest, RequestReceiver, RequestTarget
from hookline.service.hooks.rejection import RejectionHandler, RequestContext, respond
from hookline.service.hooks.reply_wait import ReplyWaiter
from hookline.service.uploads.request_blobs import RequestBlobs
from hookline.storage.change_declarations import Accepted, Duplicate

__all__ = ["Hook", "HookOptions", "HookRequest", "HookResponse", "SenderGone"]


class MessageIntake(Protocol):
    """Accepts the messages of requests: see `Intake`."""

    def flow(self, flow_id: str) -> CompiledFlow:
        """Return the version of a flow that accepts messages now."""

    async def accept(self, flow: CompiledFlow, envelope: Envelope) -> Accepted | Duplicate:
        """Make a message durable, if it isn't a duplicate."""


class Hook:
    """The endpoint for requests to `/hook/…`: messages that start flows, and callbacks that find their execution by a
    key."""

    def __init__(
        self,
        *,
        intake: MessageIntake,
        receiver: RequestReceiver,
        callbacks: CallbackHandler,
        clock: Clock,
        ids: Ids,
        reply_waiter: ReplyWaiter,
        rejections: RejectionHandler,
    ) -> None:
        self._intake = intake
        self._receiver = receiver
        self._callbacks = callbacks
        self._clock = clock
        self._ids = ids
        self._reply_waiter = reply_waiter
        self._rejections = rejections

    def into(self, intake: MessageIntake) -> "Hook":
        """Return the same endpoint with another intake."""
        hook = copy.copy(self)
        hook._intake = intake
        return hook

    async def handle(self, request: HookRequest, context: RequestContext | None = None) -> HookResponse:
        """Return the response to a request. Raises SenderGone, and nothing else: an unexpected error gives a 503.

        `context` is given the facts about the request.
        """
        return await respond(request, self._rejections, self._handle, context)

    async def _handle(self, request: HookRequest, headers: Headers, context: RequestContext) -> HookResponse:
        name, _, path = request.path.partition("/")
        flow = self._intake.flow(name)
        context.flow_id = flow.id
        # Nearly no flow has waiting steps, and then nothing more is looked up.
        step = flow.waits.get(path) if flow.waits else None
        if step is not None and step.key_of_call is not None:
            return await self._callbacks.handle_by_key(request, headers, flow, step, context)
        webhook = flow.trigger.webhook
        if webhook is None:
            raise FlowUnknown
        if webhook.cors is not None:
            context.webhook, context.origin = webhook, headers.joined.get("origin")
        if request.method == "HEAD":
            return HookResponse(200)
        if request.method == "OPTIONS":
            return self._options(flow, webhook, headers)
        scheme = flow.trigger.scheme
        context.bare = scheme is not None and scheme.bare_rejections
        target = RequestTarget(flow.id, flow, webhook, flow.trigger, flow.schema, flow.trigger.request)
        if not target.takes(request):
            raise target.not_taken()
        return await self._accept(request, headers, target, webhook, path, context)

    async def _accept(
        self,
        request: HookRequest,
        headers: Headers,
        target: RequestTarget,
        webhook: WebhookSettings,
        path: str,
        context: RequestContext,
    ) -> HookResponse:
        flow = target.flow
        blobs = self._receiver.request_blobs()
        try:
            envelopes = await self._receive(request, headers, target, webhook, path, context, blobs)
        except BaseException:  # if the request is cancelled or rejected, its files are removed
            await blobs.discard()
            raise
        if isinstance(envelopes, WebhookResponse):
            await blobs.discard()
            return immediate_responses.scheme_response(envelopes)
        if len(envelopes) != 1:
            context.outcomes = await self._accept_each(flow, envelopes, blobs)
            return immediate_responses.several_accepted_response(flow, webhook, context.outcomes)
        execution_id = envelopes[0].execution_id
        commit = partial(self._commit, flow, envelopes, blobs, context)
        if webhook.respond == "accepted":
            return immediate_responses.accepted_response(flow, webhook, await commit())
        return await self._reply_waiter.response(execution_id, webhook, commit)

    async def _receive(
        self,
        request: HookRequest,
        headers: Headers,
        target: RequestTarget,
        webhook: WebhookSettings,
        path: str,
        context: RequestContext,
        blobs: RequestBlobs,
    ) -> list[Envelope] | WebhookResponse:
        """Return the envelopes of a request's messages, or the response of its scheme to a handshake."""
        incoming = await self._receiver.receive(request, headers, target, context, blobs)
        if isinstance(incoming, WebhookResponse):
            return incoming
        flow = target.flow
        return _acceptable(flow, webhook, self._envelopes(flow, webhook, incoming, path))

    def _envelopes(
        self, flow: CompiledFlow, webhook: WebhookSettings, incoming: ReceivedRequest, path: str
    ) -> list[Envelope]:
        """The envelopes of a request that starts a flow; `path` is the rest of the URL after the flow's id.

        There is one, unless the flow's trigger reads another number of messages from its requests. Raises
        SchemaViolation if the flow has a dedupe key and a message has no value for it.
        """
        received, headers, verified = incoming.received, incoming.headers, incoming.verified
        arrival = Arrival(
            use=flow.trigger.use,
            method=incoming.method,
            path=path,
            query=lenient_query(incoming.query) if incoming.query else {},
            received_at=incoming.received_at,
            verified_by=incoming.verified_by,
            client=incoming.client,
            scheme_id=verified.dedupe_key if verified is not None else None,
        )
        make = partial(request_envelope, flow, dedupe_window=webhook.dedupe_window, raw_headers=headers.received)
        if incoming.messages is None:
            message, now = Message(received.body, headers.joined, received.attachments), self._clock.now()
            return [
                make(
                    message,
                    arrival,
                    execution_id=self._ids.new(now),
                    accepted_at=now,
                    body_json=received.json,
                    raw=received.raw,
                )
            ]
        raw = received.json or received.raw
        if len(incoming.messages) > 1:
            # The id and the bytes of a request don't identify one of its several messages.
            arrival, raw = msgspec.structs.replace(arrival, scheme_id=None), None
        return [
            make(
                Message(each.body, headers.joined, each.attachments),
                arrival,
                execution_id=self._ids.new(),
                accepted_at=self._clock.now(),
                message_id=each.id,
                raw=raw,
            )
            for each in incoming.messages
        ]

    async def _accept_each(
        self, flow: CompiledFlow, envelopes: Sequence[Envelope], blobs: RequestBlobs
    ) -> list[Accepted | Duplicate]:
        """Accept all messages of one request: none or several.

        If one can't be accepted, the request is rejected; the accepted ones are duplicates when it comes again. Their
        files are kept in any case; the sweeper removes those that nothing refers to.
        """
        if not envelopes:
            await blobs.discard()
        try:
            outcomes = await asyncio.gather(
                *(self._intake.accept(flow, envelope) for envelope in envelopes), return_exceptions=True
            )
        finally:
            blobs.release()
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if failures:
            raise next((failure for failure in failures if isinstance(failure, PossiblyStored)), failures[0])
        return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]

    def _options(self, flow: CompiledFlow, webhook: WebhookSettings, headers: Headers) -> HookResponse:
        trigger = flow.trigger.request
        if trigger is not None and trigger.options is not None:
            answer = trigger.options(headers.joined, webhook)
            if answer is not None:
                return immediate_responses.scheme_response(answer)
        return cors.options(webhook, headers.joined)

    async def _commit(
        self, flow: CompiledFlow, envelopes: list[Envelope], blobs: RequestBlobs, context: RequestContext
    ) -> Accepted | Duplicate:
        """Store the one message, and remove it from the list: a sender may wait long for the reply, and nothing may
        keep the message in memory meanwhile."""
        envelope = envelopes.pop()
        try:
            outcome = await self._intake.accept(flow, envelope)
        except RequestRejected as rejection:
            # If the message may have been stored, its blobs are kept; the sweeper removes those that nothing refers to.
            if not isinstance(rejection, PossiblyStored):
                await blobs.discard()
            raise
        finally:
            blobs.release()
        context.outcomes = (outcome,)
        if isinstance(outcome, Duplicate):
            await blobs.discard()
        return outcome


def _acceptable(flow: CompiledFlow, webhook: WebhookSettings, envelopes: list[Envelope]) -> list[Envelope]:
    """Check that messages can be accepted together, so that a problem in one is reported before any other is stored."""
    if len(envelopes) < 2:
        return envelopes
    if webhook.respond != "accepted":
        raise UnsupportedMedia("the flow replies to each message; send them one by one")
    return [with_keys(flow, envelope) for envelope in envelopes]
