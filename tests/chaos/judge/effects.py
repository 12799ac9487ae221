"""Effects: each execution leaves each of its marks in the SQL sink once, and has made its calls and no others."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.chaos.history import Call, Ended
from tests.chaos.judge.evidence import MARKS, PART, PAUSE, STEPS, Evidence, Violation

_EARLY = 1.0
"""Seconds by which a wait may end early."""


def judge(evidence: Evidence) -> Iterator[Violation]:
    yield from _rows(evidence)
    yield from _calls(evidence)
    yield from _messages(evidence)
    yield from _waits(evidence)


def _rows(evidence: Evidence) -> Iterator[Violation]:
    counts = Counter((row.execution, row.mark) for row in evidence.rows)
    for execution in evidence.by_id.values():
        for mark in MARKS[execution.flow]:
            count = counts.pop((execution.id, mark), 0)
            # One that has not ended is a violation itself; what it has done so far may be there.
            if count > 1 or (count == 0 and execution.state == "succeeded"):
                message = evidence.message_of.get(execution.id)
                what = f"{count} rows with the mark {mark!r}; message {message}"
                yield Violation(f"rule 22: a row is {'doubled' if count else 'missing'}", execution.id, what)
    for (execution_id, mark), count in counts.items():
        yield Violation("rule 22: a row of no execution", execution_id, f"{count} rows with the mark {mark!r}")


def _calls(evidence: Evidence) -> Iterator[Violation]:
    made: defaultdict[str, set[str]] = defaultdict(set)
    tried: defaultdict[str, set[str]] = defaultdict(set)
    for call in evidence.calls:
        tried[call.execution].add(_name(call))
        if call.status == 200:
            made[call.execution].add(_name(call))
    for execution in evidence.by_id.values():
        wanted = _wanted(evidence, execution)
        missing = wanted - made[execution.id]
        if missing and execution.state == "succeeded":
            yield Violation("promise 3: a call was never made", execution.id, f"steps {', '.join(sorted(missing))}")
        if others := tried.pop(execution.id, set()) - wanted:
            yield Violation("a call that the flow doesn't have", execution.id, f"steps {', '.join(sorted(others))}")
    for execution_id, names in tried.items():
        yield Violation("a call of no execution", execution_id, f"steps {', '.join(sorted(names))}")


def _name(call: Call) -> str:
    """The step, and for an item of a list its place in the list."""
    return str(call.place[1]) if call.step == PART else call.step


def _wanted(evidence: Evidence, execution: Ended) -> set[str]:
    """The names of the calls that an execution makes."""
    parts = evidence.parts_of.get(evidence.message_of.get(execution.id, ""), 0) if execution.flow == "orders" else 0
    return {*STEPS[execution.flow], *(f"{PART} {number}" for number in range(parts))}


def _messages(evidence: Evidence) -> Iterator[Violation]:
    """Whatever an execution does is about its message."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for one in evidence.sent_on:
        found[one.execution].add(one.message)
    for execution in evidence.by_id.values():
        others = found[execution.id] - {evidence.message_of.get(execution.id, "")}
        if others and execution.id in evidence.message_of:
            what = f"its message is {evidence.message_of[execution.id]}, and it has sent on {sorted(others)}"
            yield Violation("an execution sends on another message", execution.id, what)


def _waits(evidence: Evidence) -> Iterator[Violation]:
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for call in sorted(evidence.calls, key=lambda call: call.started):
        if call.step == "before_pause" and call.status == 200:
            before.setdefault(call.execution, call.ended)
        if call.step == "after_pause":
            after.setdefault(call.execution, call.started)
    for execution_id, ended in after.items():
        # The pause begins after the first call has ended.
        waited = ended - before.get(execution_id, ended)
        if waited < PAUSE - _EARLY:
            what = f"it waited {waited:.2f} s in place of {PAUSE:g} s"
            yield Violation("C8: a wait ended early", execution_id, what, ended)
