"""Order (C6): the executions of a line run one at a time, in the order in which their messages were accepted.

The rows `begin` and `end` of the SQL sink tell it: they take effect once, and a sequence numbers them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.history import Request, Row
from tests.chaos.judge.evidence import ACCEPTED, Evidence, Violation, grouped


def judge(evidence: Evidence) -> Iterator[Violation]:
    requests = grouped(evidence.requests)
    lines: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(evidence.rows, key=lambda row: row.number):
        if row.line is not None:
            lines[row.line].append(row)
    for line, rows in lines.items():
        yield from _overlaps(line, rows)
        yield from _order(line, rows, requests)


def _overlaps(line: str, rows: Sequence[Row]) -> Iterator[Violation]:
    """Each execution of a line has ended before the next one begins."""
    open_ones: dict[str, Row] = {}
    for row in rows:
        if row.mark == "begin":
            for other in open_ones.values():
                what = f"message {row.message} began while {other.message} (execution {other.execution}) ran, in {line}"
                yield Violation("C6: two of a line overlap", row.execution, what, row.at)
            open_ones[row.execution] = row
        elif row.mark == "end":
            open_ones.pop(row.execution, None)


def _order(line: str, rows: Sequence[Row], requests: dict[str, list[Request]]) -> Iterator[Violation]:
    """A message that was accepted before another one was sent begins before it."""
    begun: list[Row] = []
    for row in rows:
        if row.mark != "begin":
            continue
        accepted = min((one.ended for one in requests.get(row.message, ()) if one.status in ACCEPTED), default=None)
        if accepted is not None:
            for other in begun:
                sent = min((one.started for one in requests.get(other.message, ())), default=None)
                if sent is not None and accepted <= sent and other.message != row.message:
                    what = (
                        f"message {row.message} was accepted before {other.message} was sent, "
                        f"and began after it, in {line}"
                    )
                    yield Violation("C6: a line is out of order", row.execution, what, row.at)
        begun.append(row)
