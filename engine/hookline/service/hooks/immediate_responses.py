"""Responses that don't wait for the flow: to accepted messages, to callbacks, and those of schemes to handshakes.

The parts that all responses of the hook share are here, too.
"""

from collections.abc import Sequence
from typing import Any, Final

from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.json import encode
from hookline.model.webhook import AcceptedAnswer, RequestSettings, WebhookSettings, is_server_header
from hookline.sdk.schemes import Scheme, WebhookResponse
from hookline.service.hook_request_and_response import HookResponse
from hookline.storage.change_declarations import Accepted, CallbackRepeated, CallbackStored, Duplicate

EXECUTION_ID: Final = b"hookline-execution-id"
BODYLESS: Final = frozenset({204, 205, 304})
"""Statuses whose responses have no body."""
_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"


def accepted_response(flow: CompiledFlow, webhook: WebhookSettings, outcome: Accepted | Duplicate) -> HookResponse:
    """The response to an accepted message: that of the trigger's settings, or else of its scheme, or else the usual
    202."""
    chosen = _chosen(webhook, flow.trigger.scheme, outcome.execution_id)
    if chosen is not None:
        return chosen
    execution_id = outcome.execution_id.encode()
    if isinstance(outcome, Accepted):
        status, word = 202, b"queued"
    else:
        status, word = 200, b"duplicate"
    # Ids contain nothing that JSON would have to escape.
    body = b'{"execution_id":"%b","flow_id":"%b","status":"%b"}' % (execution_id, flow.id.encode(), word)
    return HookResponse(status, ((b"content-type", _JSON), (EXECUTION_ID, execution_id)), body)


def several_accepted_response(
    flow: CompiledFlow, webhook: WebhookSettings, outcomes: Sequence[Accepted | Duplicate]
) -> HookResponse:
    """The response to a request with none or several messages, in their order."""
    chosen = _chosen(webhook, flow.trigger.scheme, None)
    if chosen is not None:
        return chosen
    executions = [
        {"execution_id": one.execution_id, "status": "queued" if isinstance(one, Accepted) else "duplicate"}
        for one in outcomes
    ]
    new = any(isinstance(one, Accepted) for one in outcomes)
    word = "queued" if new else "duplicate" if outcomes else "ignored"
    body = encode({"flow_id": flow.id, "status": word, "executions": executions})
    return HookResponse(202 if new else 200, ((b"content-type", _JSON),), body)


def callback_response(
    flow: CompiledFlow, step: CompiledWait, outcome: CallbackStored | CallbackRepeated
) -> HookResponse:
    """The response to a callback: that of the step's settings, or else of its scheme, or else the usual 202."""
    chosen = _chosen(step.settings, step.scheme, outcome.execution_id)
    if chosen is not None:
        return chosen
    status, word = (202, "accepted") if isinstance(outcome, CallbackStored) else (200, "duplicate")
    body = {"execution_id": outcome.execution_id, "flow_id": flow.id, "step": step.id, "status": word}
    return HookResponse(status, ((b"content-type", _JSON), *_execution(outcome.execution_id)), encode(body))


def _chosen(
    settings: RequestSettings, scheme: Scheme[Any, Any] | None, execution_id: str | None
) -> HookResponse | None:
    if settings.accepted is not None:
        return _own(settings.accepted, execution_id)
    if scheme is None or scheme.accepted is None:
        return None
    reply = scheme_response(scheme.accepted)
    return HookResponse(reply.status, (*reply.headers, *_execution(execution_id)), reply.body)


def _execution(execution_id: str | None) -> tuple[tuple[bytes, bytes], ...]:
    return () if execution_id is None else ((EXECUTION_ID, execution_id.encode()),)


def scheme_response(answer: WebhookResponse) -> HookResponse:
    """The response that a scheme has prepared."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.media_type is not None:
        headers.append((b"content-type", answer.media_type.encode("latin-1")))
    return HookResponse(answer.status, guarded(headers), answer.body)


def guarded(headers: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a flow's or a scheme's response, without those that only the server sets."""
    return tuple(one for one in headers if not is_server_header(one[0].decode("latin-1")))


def drop_body(reply: HookResponse) -> HookResponse:
    """The response to a rejected request without its body."""
    return HookResponse(reply.status, tuple(one for one in reply.headers if one[0] != b"content-type"))


def _own(answer: AcceptedAnswer, execution_id: str | None) -> HookResponse:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    body = b""
    if answer.body is not None and answer.status not in BODYLESS:
        kind, body = encode_body(answer.body)
        add_default(headers, b"content-type", kind)
    return HookResponse(answer.status, (*guarded(headers), *_execution(execution_id)), body)


def encode_body(body: Any) -> tuple[bytes, bytes]:
    """The media type and the bytes of a body: a text as it is, anything else as JSON."""
    return (_TEXT, body.encode()) if isinstance(body, str) else (_JSON, encode(body))


def add_default(headers: list[tuple[bytes, bytes]], name: bytes, value: bytes) -> None:
    """Add a header unless it is there."""
    if not any(given == name for given, _ in headers):
        headers.append((name, value))
