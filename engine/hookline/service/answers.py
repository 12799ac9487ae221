"""What a sender is told at once: that its message was accepted, or what its scheme answers itself."""

from typing import Any, Final

from hookline.flows.compiled import CompiledFlow
from hookline.jsontypes import encode
from hookline.model.webhook import AcceptedAnswer, WebhookSettings
from hookline.ports import Accepted, Duplicate
from hookline.scheme import Answer
from hookline.service.exchange import HookReply

EXECUTION_ID: Final = b"hookline-execution-id"
BODYLESS: Final = frozenset({204, 205, 304})
"""Statuses whose answers have no body."""
_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"


def accepted(flow: CompiledFlow, webhook: WebhookSettings, outcome: Accepted | Duplicate) -> HookReply:
    """The answer where nobody waits for the flow: the trigger's own, or else the scheme's, or else ours."""
    if webhook.accepted is not None:
        return _own(webhook.accepted, outcome.execution_id)
    execution_id = outcome.execution_id.encode()
    scheme = flow.trigger.scheme
    if scheme is not None and scheme.accepted is not None:
        reply = answered(scheme.accepted)
        return HookReply(reply.status, (*reply.headers, (EXECUTION_ID, execution_id)), reply.body)
    if isinstance(outcome, Accepted):
        status, word = 202, b"queued"
    else:
        status, word = 200, b"duplicate"
    # Ids hold nothing that JSON would have to escape.
    body = b'{"execution_id":"%b","flow_id":"%b","status":"%b"}' % (execution_id, flow.id.encode(), word)
    return HookReply(status, ((b"content-type", _JSON), (EXECUTION_ID, execution_id)), body)


def answered(answer: Answer) -> HookReply:
    """What a scheme answers itself."""
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers]
    if answer.media_type is not None:
        headers.append((b"content-type", answer.media_type.encode("latin-1")))
    # Much of an answer is what the sender chose: no browser may take it for anything but what we say that it is.
    headers = [one for one in headers if one[0] != b"x-content-type-options"]
    return HookReply(answer.status, (*headers, (b"x-content-type-options", b"nosniff")), answer.body)


def bare(reply: HookReply) -> HookReply:
    """The answer to what is refused, without its body."""
    return HookReply(reply.status, tuple(one for one in reply.headers if one[0] != b"content-type"))


def _own(answer: AcceptedAnswer, execution_id: str) -> HookReply:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((EXECUTION_ID, execution_id.encode()))
    if answer.body is None or answer.status in BODYLESS:
        return HookReply(answer.status, tuple(headers))
    kind, body = encoded(answer.body)
    add_default(headers, b"content-type", kind)
    return HookReply(answer.status, tuple(headers), body)


def encoded(body: Any) -> tuple[bytes, bytes]:
    """The media type and the bytes of a body: a text is itself, anything else is JSON."""
    return (_TEXT, body.encode()) if isinstance(body, str) else (_JSON, encode(body))


def add_default(headers: list[tuple[bytes, bytes]], name: bytes, value: bytes) -> None:
    """Add a header that is not there."""
    if not any(given == name for given, _ in headers):
        headers.append((name, value))
