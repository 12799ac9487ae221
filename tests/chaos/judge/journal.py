"""The journal: the entries of an execution are numbered without gaps, and no step succeeds twice."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from tests.chaos.history import Entry
from tests.chaos.judge.evidence import Evidence, Violation


def judge(evidence: Evidence) -> Iterator[Violation]:
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in evidence.entries:
        entries[entry.execution].append(entry)
    for execution_id, own in entries.items():
        yield from _numbers(execution_id, own)
        yield from _successes(execution_id, own)
    for execution in evidence.by_id.values():
        if execution.state == "succeeded" and execution.id not in entries:
            yield Violation("promise 2: a journal is empty", execution.id, "it has succeeded without an entry")


def _numbers(execution_id: str, entries: Sequence[Entry]) -> Iterator[Violation]:
    numbers = sorted(entry.seq for entry in entries)
    if numbers != list(range(1, len(numbers) + 1)):
        yield Violation("promise 2: a journal has a gap", execution_id, f"its entries are {numbers}")


def _successes(execution_id: str, entries: Sequence[Entry]) -> Iterator[Violation]:
    done: set[str] = set()
    for entry in sorted(entries, key=lambda entry: entry.seq):
        if entry.path in done:
            what = f"step {entry.path} is {entry.state} by entry {entry.seq}, after it had succeeded"
            yield Violation("promise 2: a step ran again", execution_id, what)
        if entry.state == "succeeded":
            done.add(entry.path)
