"""Messages: each accepted one has one execution, which has ended; and nothing runs that nobody has sent."""

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.judge.evidence import ACCEPTED, Evidence, Violation, grouped

_TRY_AGAIN = (0, 429, 502, 503, 504)
"""Statuses after which a sender tries again: none of them says that something is wrong with the request."""
_OPEN_STATES = ("queued", "running", "waiting")


def judge(evidence: Evidence) -> Iterator[Violation]:
    yield from _accepted(evidence)
    yield from _executions(evidence)
    yield from _answers(evidence)
    yield from _callbacks(evidence)


def _accepted(evidence: Evidence) -> Iterator[Violation]:
    for message, requests in grouped(evidence.requests).items():
        accepted = [request for request in requests if request.status in ACCEPTED]
        ids = {evidence.named_by(request.execution) for request in accepted}
        if len(ids) > 1:
            yield Violation(
                "promise 4: a duplicate got another execution", message, f"was answered with {sorted(map(str, ids))}"
            )
        for request in accepted:
            if evidence.named_by(request.execution) not in evidence.by_id:
                what = f"{request.node} answered {request.status} with execution {request.execution}, which isn't there"
                yield Violation("promise 1: an accepted message is lost", message, what, request.ended)
                break


def _executions(evidence: Evidence) -> Iterator[Violation]:
    known = {request.message for request in evidence.requests}
    of_message: defaultdict[str, list[str]] = defaultdict(list)
    for execution in evidence.executions:
        message = evidence.message_of.get(execution.id)
        if execution.parent is None:
            if message is not None:
                of_message[message].append(execution.id)
            if message not in known:
                yield Violation("an execution without a request", execution.id, f"its message is {message!r}")
        if execution.state in _OPEN_STATES:
            yield Violation(
                "promise 1: an execution has not ended", execution.id, f"it is {execution.state}; message {message}"
            )
        elif execution.state != "succeeded":
            yield Violation(
                "promise 1: an execution has failed", execution.id, f"it is {execution.state}: {execution.error}"
            )
    for message, ids in of_message.items():
        if len(ids) > 1:
            yield Violation("promise 4: a message has several executions", message, f"they are {ids}")


def _answers(evidence: Evidence) -> Iterator[Violation]:
    for request in evidence.requests:
        if request.status not in (*ACCEPTED, *_TRY_AGAIN):
            what = f"{request.node} answered {request.status}: {request.detail}"
            yield Violation("a message is rejected", request.message, what, request.ended)
    for callback in evidence.callbacks:
        if callback.status not in (*ACCEPTED, *_TRY_AGAIN):
            what = f"{callback.node} answered {callback.status}: {callback.detail}"
            yield Violation("a callback is rejected", callback.execution, what, callback.ended)


def _callbacks(evidence: Evidence) -> Iterator[Violation]:
    sent = {one.execution: one.value for one in evidence.callbacks}
    for call in evidence.calls:
        if call.step == "done" and call.value != sent.get(call.execution):
            what = f"the flow got {call.value!r}, and the caller sent {sent.get(call.execution)!r}"
            yield Violation("rule 29: a step has another callback", call.execution, what, call.started)
