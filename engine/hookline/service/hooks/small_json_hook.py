"""The direct way of a message: for a small JSON body that has come whole, to a flow that asks for no more.

This way takes half of the time, since it has no task, no stream and no state of its own. It only accepts. Until the
message is being stored, nothing here has an effect, so a server brings everything else to `Hook.handle`, which checks
it from the beginning, and knows how to reject it.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from hookline.bodies.json import Room, read_json
from hookline.bodies.media_types import read_media
from hookline.bodies.urlencoded import lenient_query
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import request_envelope
from hookline.intake.intake import Intake
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ServiceUnavailable
from hookline.kernel.ids import Ids
from hookline.kernel.json import MANY
from hookline.model.message import Arrival, Message
from hookline.service.hook_request_and_response import HookRequest, HookResponse
from hookline.service.hooks.headers_and_masks import read_headers
from hookline.service.hooks.immediate_responses import accepted_response
from hookline.service.hooks.receive import RequestReceiver
from hookline.service.hooks.rejection import RejectionHandler, RequestContext
from hookline.service.uploads.request_blobs import SMALL, VALUE
from hookline.storage.change_declarations import Accepted, Duplicate
from hookline.telemetry.captures import CaptureRecord

_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
"""With another, the query is the body, or there is no message."""
_FEW: Final = SMALL // VALUE
"""The most values in a body that isn't counted towards the memory of all requests."""


class DirectHook:
    """Accepts messages for which nothing has to be waited for, except until they are stored."""

    def __init__(
        self,
        *,
        intake: Intake,
        receiver: RequestReceiver,
        clock: Clock,
        ids: Ids,
        rejections: RejectionHandler,
        captures: CaptureRecord,
    ) -> None:
        self._intake = intake
        self._receiver = receiver
        self._clock = clock
        self._ids = ids
        self._rejections = rejections
        self._captures = captures

    def begin(self, request: HookRequest, body: bytes, answer: Callable[[HookResponse], None]) -> bool:
        """Begin to store the message of a request, and return True; then `answer` is called once it is stored.

        False: nothing has happened, and the request is for `Hook.handle`.
        """
        try:
            return self._begin(request, body, answer)
        except Exception:  # noqa: BLE001 - the other way comes to the same error, and reports it
            return False

    def _begin(self, request: HookRequest, body: bytes, answer: Callable[[HookResponse], None]) -> bool:
        name, _, path = request.path.partition("/")
        if name in self._captures.open:
            return False
        flow = self._intake.direct_flow(name)
        webhook = None if flow is None else flow.trigger.webhook
        if flow is None or webhook is None or request.method not in _METHODS or request.method not in webhook.methods:
            return False
        headers = read_headers(request.headers)
        joined = headers.joined
        media = read_media(joined.get("content-type"), webhook.body)
        if media.kind != "json" or "content-encoding" in joined:
            return False
        if len(body) > min(MANY, self._receiver.max_body(webhook)):
            return False
        # A body of so few bytes can't have more values.
        received = read_json(body, media.charset, exact=flow.exact, room=None if len(body) <= _FEW else Room(_few))
        if flow.schema is not None and not flow.schema.surely_accepts(received.body):
            return False
        now = self._clock.now()
        arrival = Arrival(
            use=flow.trigger.use,
            method=request.method,
            path=path,
            query=lenient_query(request.query) if request.query else {},
            received_at=now,
            client=self._receiver.client(request, joined),
        )
        envelope = request_envelope(
            flow,
            Message(received.body, joined),
            arrival,
            execution_id=self._ids.new(now),
            accepted_at=now,
            dedupe_window=webhook.dedupe_window,
            body_json=received.json,
            raw=received.raw,
            raw_headers=headers.received,
        )
        self._intake.begin(flow, envelope, partial(self._stored, request, flow, answer))
        return True

    def _stored(
        self,
        request: HookRequest,
        flow: CompiledFlow,
        answer: Callable[[HookResponse], None],
        result: Accepted | Duplicate | BaseException,
    ) -> None:
        webhook = flow.trigger.webhook
        if isinstance(result, Accepted | Duplicate) and webhook is not None:
            self._rejections.handled(flow.id)
            answer(accepted_response(flow, webhook, result))
            return
        context = RequestContext()
        context.flow_id = flow.id
        context.client = self._receiver.client(request, read_headers(request.headers).joined)
        error = result if isinstance(result, Exception) else ServiceUnavailable(retry_after=5)
        answer(self._rejections.answer(request, context, error))


def _few(values: int) -> None:
    if values > _FEW:
        raise ValueError("the values have to be counted towards the memory of all requests")
