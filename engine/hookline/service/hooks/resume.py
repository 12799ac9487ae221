"""The endpoint for requests to the resume URLs of waiting steps: `/resume/<token>`.

The order of its checks is fixed: framing, token, method, those of `receive`, and then those of the store in one
transaction: whether another callback came first, and whether the time was up.
"""

from hookline.intake.callbacks import Callbacks, WaitingStep
from hookline.kernel.errors import AlreadyCalled, WaitOver
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.callbacks import CallbackHandler, target_of
from hookline.service.hooks.headers_and_masks import Headers
from hookline.service.hooks.receive import RequestReceiver
from hookline.service.hooks.rejection import RejectionHandler, RequestContext, respond
from hookline.service.hooks.waiting_step_pages import (
    confirmation_page,
    early_page,
    expects_page,
    form_page,
    is_browser,
    recorded_page,
    rejection_page,
)


class ResumeEndpoint:
    """The endpoint for requests to `/resume/…`."""

    def __init__(
        self, *, waiting: Callbacks, callbacks: CallbackHandler, receiver: RequestReceiver, rejections: RejectionHandler
    ) -> None:
        self._waiting = waiting
        self._callbacks = callbacks
        self._receiver = receiver
        self._rejections = rejections

    async def handle(self, request: HookRequest) -> HookResponse:
        """Return the response to a request; its path is the token. Raises SenderGone, and nothing else."""
        return await respond(request, self._rejections, self._handle)

    async def _handle(self, request: HookRequest, headers: Headers, context: RequestContext) -> HookResponse:
        # The token isn't recorded, since it is all that a callback needs.
        context.path = "/resume/…"
        if is_browser(headers):
            context.rejection = rejection_page
        step = await self._waiting.find(request.path)
        context.flow_id = step.flow.id
        context.path = f"/resume/… ({step.path})"
        target = target_of(step.flow, step.compiled)
        if request.method == "GET" and not (request.query and target.takes(request)):
            self._receiver.check_sender(request, headers, target, context)
            return await self._page(step)
        if step.compiled.page is not None and expects_page(headers):
            context.rejection = rejection_page
        reply = await self._callbacks.handle_by_token(request, headers, step, context)
        shown = is_browser(headers) if step.compiled.page is None else expects_page(headers)
        if request.method != "POST" or not shown or step.compiled.scheme is not None or step.compiled.settings.accepted:
            return reply
        return recorded_page(step.flow, reply.status)

    async def _page(self, step: WaitingStep) -> HookResponse:
        """The page of a step. Raises AlreadyCalled and WaitOver."""
        status = await self._waiting.status(step)
        if status.called:
            raise AlreadyCalled(f"step {step.compiled.id!r} has received a callback before")
        if status.timed_out or step.over:
            raise WaitOver(f"step {step.compiled.id!r} no longer waits for a callback")
        page = await self._waiting.page(step, status) if status.waits else None
        if page is not None:
            return form_page(page)
        if step.compiled.page is not None and not status.waits:
            return early_page(step.flow)
        return confirmation_page(step.flow, step.compiled)
