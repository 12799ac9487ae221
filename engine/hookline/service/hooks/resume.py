"""The URLs of steps that wait: what happens to a request to `/resume/<token>`.

The order of its checks is a promise: framing, token, method, those of `receiving`, and then what the store decides in
one transaction: whether another call came first, or the time was up.
"""

from hookline.kernel.errors import WaitOver
from hookline.service.hooks.callbacks import Calls, Waiting, purpose_of
from hookline.service.hooks.headers import Headers
from hookline.service.hooks.merge_service_resume_page import page
from hookline.service.hooks.middleware import admit
from hookline.service.hooks.receive import Receiver
from hookline.service.hooks.rejection import Refuser, Seen
from hookline.service.types import HookReply, HookRequest


class Resume:
    """Answers requests to `/resume/…`."""

    def __init__(self, *, waiting: Waiting, calls: Calls, receiver: Receiver, refuser: Refuser) -> None:
        self._waiting = waiting
        self._calls = calls
        self._receiver = receiver
        self._refuser = refuser

    async def handle(self, request: HookRequest) -> HookReply:
        """The answer to a request; its path is the token. Raises SenderGone, and never anything else."""
        return await admit(request, self._refuser, self._handle)

    async def _handle(self, request: HookRequest, headers: Headers, seen: Seen) -> HookReply:
        # Whoever knows the token may call: it isn't recorded.
        seen.path = "/resume/…"
        step = await self._waiting.named(request.path)
        seen.flow_id = step.flow.id
        seen.path = f"/resume/… ({step.path})"
        if request.method == "GET" and not (request.query and purpose_of(step.flow, step.node).takes(request)):
            if step.over:
                raise WaitOver
            self._receiver.check_sender(request, headers, purpose_of(step.flow, step.node), seen)
            return page(step.flow, step.node)
        return await self._calls.named(request, headers, step, seen)
