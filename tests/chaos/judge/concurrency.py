"""Concurrency (C7): of some flows, only a number of executions run at a time, over all nodes.

A call that the HTTP sink has received and not answered yet shows that its execution runs. A node that is disturbed may
have left the execution to another one, so its calls show nothing from then on, until it has found that out.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.history import CUT, EXIT, KILL, PAUSE, POSTGRES, RESTART, Call, Disturbance
from tests.chaos.judge.calls import LATE, SLACK
from tests.chaos.judge.evidence import CONCURRENCY, HOLDS, Evidence, Violation

_CAUSES = (KILL, PAUSE, CUT, RESTART, EXIT)


def judge(evidence: Evidence) -> Iterator[Violation]:
    flows = {execution.id: execution.flow for execution in evidence.executions}
    troubles = [one for one in evidence.disturbances if one.kind in _CAUSES]
    holds: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(evidence.calls, key=lambda call: call.started):
        if call.step == HOLDS and not _is_disturbed(call, troubles):
            holds[flows.get(call.execution, "")].append(call)
    for flow, limit in CONCURRENCY.items():
        yield from _too_many(flow, limit, holds[flow])


def _is_disturbed(call: Call, troubles: Sequence[Disturbance]) -> bool:
    return call.node is None or any(
        one.target in (POSTGRES, call.node) and one.started - SLACK <= call.ended and call.started <= one.ended + LATE
        for one in troubles
    )


def _too_many(flow: str, limit: int, calls: Sequence[Call]) -> Iterator[Violation]:
    """`calls`: in the order of their beginning."""
    open_ones: list[Call] = []
    for call in calls:
        open_ones = [one for one in open_ones if one.ended > call.started and one.execution != call.execution]
        open_ones.append(call)
        if len(open_ones) > limit:
            shown = ", ".join(f"{one.execution} on {one.node} {one.started:.2f}-{one.ended:.2f}" for one in open_ones)
            what = f"{len(open_ones)} of {flow} in place of {limit}: {shown}"
            yield Violation("C7: too many executions at a time", call.execution, what, call.started)
