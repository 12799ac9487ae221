"""Concurrency (C7): of some flows, only a number of executions run at a time, over all nodes.

A call that the HTTP sink has received and not answered yet shows that its execution runs. A node that is disturbed may
have left the execution to another one, so its calls show nothing from then on, until it has found that out.
"""

from collections.abc import Iterator, Sequence

from tests.chaos.history import CUT, EXIT, KILL, PAUSE, POSTGRES, RESTART, Call, Disturbance
from tests.chaos.judge.calls import LATE, SLACK
from tests.chaos.judge.evidence import CONCURRENCY, HOLDS, Evidence, Violation

_CAUSES = (KILL, PAUSE, CUT, RESTART, EXIT)


def judge(evidence: Evidence) -> Iterator[Violation]:
    for flow, limit in CONCURRENCY.items():
        for running in _moments(evidence, flow):
            if len(running) > limit:
                shown = ", ".join(f"{one.execution} on {one.node} {one.started:.2f}-{one.ended:.2f}" for one in running)
                what = f"{len(running)} of {flow} in place of {limit}: {shown}"
                yield Violation("C7: too many executions at a time", running[-1].execution, what, running[-1].started)


def most(evidence: Evidence, flow: str) -> int:
    """The largest number of executions of a flow that ran at a time, as far as the sink knows."""
    return max(map(len, _moments(evidence, flow)), default=0)


def _moments(evidence: Evidence, flow: str) -> Iterator[Sequence[Call]]:
    """The calls in progress, one for each execution, when each of them begins."""
    troubles = [one for one in evidence.disturbances if one.kind in _CAUSES]
    running: list[Call] = []
    for call in sorted(evidence.calls, key=lambda call: call.started):
        execution = evidence.by_id.get(call.execution)
        if call.step != HOLDS or execution is None or execution.flow != flow or _is_disturbed(call, troubles):
            continue
        running = [one for one in running if one.ended > call.started and one.execution != call.execution]
        running.append(call)
        yield running


def _is_disturbed(call: Call, troubles: Sequence[Disturbance]) -> bool:
    return call.node is None or any(
        one.target in (POSTGRES, call.node) and one.started - SLACK <= call.ended and call.started <= one.ended + LATE
        for one in troubles
    )
