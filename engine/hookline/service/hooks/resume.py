"""The endpoint for requests to the resume URLs of waiting steps: `/resume/<token>`.

The order of its checks is fixed: framing, token, method, those of `receive`, and then those of the store in one
transaction: whether another callback came first, and whether the time was up.
"""

from html import escape
from typing import Final

from hookline.flows.blocks.webhook_wait import WaitNode
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.callbacks import Callbacks
from hookline.kernel.errors import WaitOver
from hookline.model.webhook import takes
from hookline.service.hooks.callbacks import CallbackHandler, target_of
from hookline.service.hooks.masking import Headers
from hookline.service.hooks.receive import RequestReceiver
from hookline.service.hooks.rejection import RejectionHandler, RequestContext, respond
from hookline.service.types import HookRequest, HookResponse

_FORM: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    # The URL is a secret: no other site may show the page, see its URL as a referrer, or receive the form.
    (b"content-security-policy", b"default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-robots-tag", b"noindex"),
)
_PAGE: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body>
<h1>{title}</h1>
<p>This flow waits at its step <strong>{step}</strong>.</p>
{asks}
</body>
</html>
"""
_BUTTON: Final = '<form method="post"><button type="submit">Go on</button></form>'
_ELSEWHERE: Final = "<p>It waits for a call from another system: nothing can be done about it here.</p>"


def page(flow: CompiledFlow, node: WaitNode) -> HookResponse:
    """The page of a step. It has a button that sends a callback, if the step accepts an empty form."""
    settings = node.settings
    by_form = (
        node.scheme is None
        and "POST" in settings.methods
        and (settings.media_types is None or takes(settings.media_types, _FORM))
    )
    text = _PAGE.format(
        title=escape(flow.settings.title or flow.id), step=escape(node.id), asks=_BUTTON if by_form else _ELSEWHERE
    )
    return HookResponse(200, _HEADERS, text.encode())


class Resume:
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
        step = await self._waiting.find(request.path)
        context.flow_id = step.flow.id
        context.path = f"/resume/… ({step.path})"
        if request.method == "GET" and not (request.query and target_of(step.flow, step.node).takes(request)):
            if step.over:
                raise WaitOver
            self._receiver.check_sender(request, headers, target_of(step.flow, step.node), context)
            return page(step.flow, step.node)
        return await self._callbacks.handle_by_token(request, headers, step, context)
