"""Messages: each accepted one has one execution, which has ended; and nothing runs that nobody has sent."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.history import NOT_SENT, Ended, Request
from tests.chaos.judge.evidence import ACCEPTED, BROUGHT, CALLED, WITHOUT_KEY, Evidence, Violation, grouped

_TRY_AGAIN = (0, 429, 502, 503, 504)
"""Statuses after which a sender tries again: none of them says that something is wrong with the request."""
_UNKNOWN = (0, 502, 504)
"""Statuses that don't tell whether the message is stored."""
_POSSIBLY_STORED = "request.possibly_stored"
"""The code of a 503 that doesn't tell it either."""
_OPEN_STATES = ("queued", "running", "waiting")


def judge(evidence: Evidence) -> Iterator[Violation]:
    yield from _accepted(evidence)
    yield from _stored(evidence)
    yield from _executions(evidence)
    yield from _called(evidence)
    yield from _answers(evidence)
    yield from _callbacks(evidence)


def _accepted(evidence: Evidence) -> Iterator[Violation]:
    for message, requests in grouped(evidence.requests).items():
        accepted = [request for request in requests if request.status in ACCEPTED]
        ids = {evidence.named_by(request.execution) for request in accepted}
        if requests[0].flow in WITHOUT_KEY:
            if len(ids) < len(accepted):
                what = f"{len(accepted)} requests were accepted as {sorted(map(str, ids))}"
                yield Violation("promise 1: two requests without a key got one execution", message, what)
        elif len(ids) > 1:
            yield Violation(
                "promise 4: a duplicate got another execution", message, f"was answered with {sorted(map(str, ids))}"
            )
        for request in accepted:
            execution = evidence.by_id.get(evidence.named_by(request.execution) or "")
            if execution is not None and len(ids) == 1 and execution.message not in (None, message):
                what = f"{request.node} answered with execution {execution.id}, whose message is {execution.message}"
                yield Violation("promise 1: an answer names another message", message, what, request.ended)
                break
            if execution is None:
                what = f"{request.node} answered {request.status} with execution {request.execution}, which isn't there"
                yield Violation("promise 1: an accepted message is lost", message, what, request.ended)
                break


def _stored(evidence: Evidence) -> Iterator[Violation]:
    """Each execution is one row of the database, and one item of the list of the admin API."""
    tables: defaultdict[str, list[str]] = defaultdict(list)
    for row in evidence.stored:
        tables[row.execution].append(row.table)
    listed = Counter(execution.id for execution in evidence.executions)
    for execution_id in sorted({*tables, *listed}):
        rows, items = tables[execution_id], listed[execution_id]
        if len(rows) > 1:
            yield Violation("an execution is stored twice", execution_id, f"it is in {', '.join(rows)}")
        elif len(rows) != items:
            what = f"{len(rows)} rows in the database, and {items} items of the list of the admin API"
            yield Violation("an execution isn't listed as it is stored", execution_id, what)


def _executions(evidence: Evidence) -> Iterator[Violation]:
    known = {request.message for request in evidence.requests}
    of_message: defaultdict[str, list[str]] = defaultdict(list)
    for execution in evidence.by_id.values():
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
    requests = grouped(evidence.requests)
    for message, ids in of_message.items():
        if message in requests:
            yield from _number(message, ids, requests[message])


def _number(message: str, ids: Sequence[str], requests: Sequence[Request]) -> Iterator[Violation]:
    """A message has at most one execution, or one for each request that may be stored if it has no dedupe key."""
    stored = sum(map(may_be_stored, requests))
    if not stored:
        what = f"its executions are {ids}, and the responses {[(one.status, one.code) for one in requests]}"
        yield Violation("rule 38: a message is stored that was rejected", message, what)
    elif requests[0].flow not in WITHOUT_KEY:
        if len(ids) > 1:
            yield Violation("promise 4: a message has several executions", message, f"they are {ids}")
    elif len(ids) > stored:
        what = f"its executions are {ids}, and {stored} requests may be stored"
        yield Violation("promise 1: a message has more executions than requests", message, what)


def may_be_stored(request: Request) -> bool:
    """Whether its response doesn't say that it is not stored."""
    if request.status in ACCEPTED or request.code == _POSSIBLY_STORED:
        return True
    return request.status in _UNKNOWN and request.code != NOT_SENT


def _called(evidence: Evidence) -> Iterator[Violation]:
    """Each execution has called each flow that it calls once, with its own message."""
    called: defaultdict[str, list[Ended]] = defaultdict(list)
    for execution in evidence.by_id.values():
        if execution.parent is not None:
            called[execution.parent].append(execution)
    for caller in evidence.by_id.values():
        own = called.pop(caller.id, [])
        found, wanted = Counter(one.flow for one in own), Counter(CALLED.get(caller.flow, ()))
        if more := found - wanted:
            what = f"{dict(found)} in place of {dict(wanted)}: {', '.join(one.id for one in own)}"
            yield Violation(
                "promise 2: a flow was called again", caller.id, f"it called {what}; too many: {dict(more)}"
            )
        if caller.state == "succeeded" and (missing := wanted - found):
            yield Violation("promise 3: a flow was never called", caller.id, f"it never called {dict(missing)}")
        for one in own:
            message = evidence.message_of.get(caller.id)
            if one.message not in (None, message):
                what = f"its message is {one.message!r}, and that of its caller {caller.id} is {message!r}"
                yield Violation("a called flow got another message", one.id, what)
    for caller_id, own in called.items():
        for one in own:
            yield Violation("a called flow without a caller", one.id, f"execution {caller_id} isn't there")


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
    sent = {(one.execution, one.step): one.value for one in evidence.callbacks}
    for call in evidence.calls:
        value = sent.get((call.execution, BROUGHT.get(call.step, "")))
        if call.step in BROUGHT and call.value != value:
            what = f"step {call.step} got {call.value!r}, and the caller sent {value!r}"
            yield Violation("rule 29: a step has another callback", call.execution, what, call.started)
