"""The nodes: none ends by itself once it was ready, whatever happens around it."""

from collections.abc import Iterator

from tests.chaos.history import EXIT
from tests.chaos.judge.evidence import Evidence, Violation


def judge(evidence: Evidence) -> Iterator[Violation]:
    for one in evidence.disturbances:
        if one.kind == EXIT and "after it was ready" in one.detail:
            yield Violation("a node ended by itself", one.target, one.detail, one.started)
