"""Single run at the HTTP sink (C2): each action has one key; which repeated calls are allowed, and which are not.

A call is repeated if an earlier one with its idempotency key was answered with 200. It is allowed in two cases, and for
each disturbance of a node once for each action:

- The action runs again. A call was in progress on a node, or its result wasn't stored yet, when that node was killed,
  paused or cut off; so another process calls again.
- The call is late. A node was paused or cut off when the action was next to start; another process took the execution
  over and made the call; then the first node makes it too.

In both cases the action was in flight or next to start when the disturbance began: no later step of its execution had
been seen before. If the database server restarts, all nodes are cut off. After an outage, and over a slow link, a
result is stored later.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.history import CUT, EXIT, KILL, PAUSE, POSTGRES, RESTART, SLOW, Call, Disturbance
from tests.chaos.judge.evidence import Evidence, Violation, follows

COMMIT = 5.0
"""Seconds within which the result of a call is stored if nothing is wrong."""
RECOVERY = 10.0
"""Seconds after the end of a disturbance within which a node stores what it has."""
LATE = 5.0
"""Seconds after the end of a disturbance within which a node that was halted makes its next call, on a busy machine."""
_CAUSES = (KILL, PAUSE, CUT, RESTART, EXIT)
_DELAYS = (PAUSE, CUT, RESTART, SLOW)
SLACK = 1.0
"""Seconds between an event and its record."""


def judge(evidence: Evidence) -> Iterator[Violation]:
    yield from _keys(evidence)
    aimed = [one for one in evidence.disturbances if one.target in (POSTGRES, *evidence.nodes)]
    troubles = sorted(aimed, key=lambda one: one.started)
    for calls in evidence.calls_by_key.values():
        repeated = repeated_calls(calls)
        if not repeated:
            continue
        causes = [[one for one in troubles if _allows(evidence, troubles, one, calls, call)] for call in repeated]
        for number in _without_cause(causes):
            yield _violation(calls, repeated[number])


def _keys(evidence: Evidence) -> Iterator[Violation]:
    """Each action has one idempotency key, and no other one has it. Otherwise its calls can't be compared."""
    keys: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    actions: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for call in evidence.calls:
        action = (call.execution, f"{call.step} {call.place}")
        keys[action].add(call.key)
        actions[call.key].add(action)
    for (execution_id, step), own in keys.items():
        if len(own) > 1:
            yield Violation("promise 3: an action has several keys", execution_id, f"step {step} has {sorted(own)}")
    for key, own_actions in actions.items():
        if len(own_actions) > 1:
            what = f"{key} is the key of {', '.join(f'{step} of {one}' for one, step in sorted(own_actions))}"
            yield Violation("promise 3: several actions have one key", min(own_actions)[0], what)


def repeated_calls(calls: Sequence[Call]) -> list[Call]:
    """Those of the calls of one action that come after one that was answered with 200."""
    first = next((number for number, call in enumerate(calls) if call.status == 200), len(calls))
    return list(calls[first + 1 :])


def _allows(
    evidence: Evidence, troubles: Sequence[Disturbance], one: Disturbance, calls: Sequence[Call], call: Call
) -> bool:
    """Whether a disturbance allows a repeated call, as one of the two cases."""
    if one.kind not in _CAUSES or one.started > call.started or _was_passed(evidence, call, one.started):
        return False
    earlier = [other for other in calls if other.started < call.started]
    return any(_runs_again(troubles, one, other) for other in earlier) or (
        _hits(one, call)
        and one.kind != KILL
        and call.started <= one.ended + LATE
        and any(_is_another(other, call) and other.started >= one.started - SLACK for other in earlier)
    )


def _runs_again(troubles: Sequence[Disturbance], one: Disturbance, earlier: Call) -> bool:
    """Whether a node was disturbed before the result of a call was stored."""
    if not _hits(one, earlier) or one.ended < earlier.started - SLACK:
        return False
    return one.started <= _stored_by(troubles, earlier) + SLACK


def _stored_by(troubles: Sequence[Disturbance], call: Call) -> float:
    """The time by which the result of a call is stored at the latest, unless its node was killed before."""
    time = call.ended + COMMIT
    for one in troubles:
        if one.kind in _DELAYS and _hits(one, call) and one.started <= time:
            recovered = one.ended + RECOVERY
            # What was over long before the call doesn't delay it.
            time = max(time, recovered) if recovered >= call.started else time
    return time


def _hits(one: Disturbance, call: Call) -> bool:
    return one.target == POSTGRES or call.node is None or call.node == one.target


def _is_another(first: Call, second: Call) -> bool:
    return first.node is None or second.node is None or (first.node, first.life) != (second.node, second.life)


def _was_passed(evidence: Evidence, call: Call, at: float) -> bool:
    """Whether a later step of the execution had been seen before a time, so that the action was over then."""
    return any(
        when < at - SLACK and follows(place, call.place) for place, when in evidence.effects.get(call.execution, ())
    )


def _without_cause(causes: Sequence[Sequence[Disturbance]]) -> list[int]:
    """Give each call a disturbance of its own, as far as possible; return the numbers of the calls that get none."""
    given: dict[int, int] = {}

    def give(number: int, tried: set[int]) -> bool:
        for cause in causes[number]:
            if id(cause) not in tried:
                tried.add(id(cause))
                if id(cause) not in given or give(given[id(cause)], tried):
                    given[id(cause)] = number
                    return True
        return False

    return [number for number in range(len(causes)) if not give(number, set())]


def _violation(calls: Sequence[Call], call: Call) -> Violation:
    shown = ", ".join(
        f"{one.node or 'unknown'}/{one.life} {one.started:.2f}-{one.ended:.2f} {one.status}" for one in calls
    )
    what = f"step {call.step} {call.place} of message {call.message} was called again without a reason; calls: {shown}"
    return Violation("C2: a repeated call", call.execution, what, call.started)
