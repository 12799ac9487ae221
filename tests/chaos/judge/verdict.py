"""The verdict: all rules together, and the table that shows what they looked at."""

from collections import Counter
from collections.abc import Iterator

from tests.chaos.judge import calls, concurrency, deployments, effects, journal, lines, messages, nodes
from tests.chaos.judge.evidence import ACCEPTED, CONCURRENCY, WITHOUT_KEY, Evidence, Violation

_RULES = (
    messages.judge,
    effects.judge,
    calls.judge,
    lines.judge,
    concurrency.judge,
    deployments.judge,
    journal.judge,
    nodes.judge,
)
_SHOWN = 20


def violations(evidence: Evidence) -> list[Violation]:
    """Everything that the rules find, in the order of the rules."""
    return [violation for rule in _RULES for violation in rule(evidence)]


def report(evidence: Evidence, found: list[Violation]) -> str:
    """What was looked at, and each violation: which execution, what, and when."""
    lines = [f"{name:<36} {value:>8}" for name, value in _figures(evidence)]
    lines.append(f"{'violations':<36} {len(found):>8}")
    shown: Counter[str] = Counter()
    for one in found:
        shown[one.rule] += 1
        if shown[one.rule] <= _SHOWN:
            when = "" if one.at is None else f" at {one.at - evidence.beginning:.2f} s"
            lines.append(f"  {one.rule}{when}: {one.subject}: {one.what}")
    lines += [f"  {rule}: {count - _SHOWN} more" for rule, count in shown.items() if count > _SHOWN]
    return "\n".join(lines)


def _figures(evidence: Evidence) -> Iterator[tuple[str, int]]:
    accepted = {one.message for one in evidence.requests if one.status in ACCEPTED}
    yield "messages accepted", len(accepted)
    yield "requests answered 200 or 202", sum(one.status in ACCEPTED for one in evidence.requests)
    yield "requests answered otherwise, or not", sum(one.status not in ACCEPTED for one in evidence.requests)
    without_key = [one for one in evidence.requests if one.flow in WITHOUT_KEY]
    yield "messages without a key, sent once", len(without_key)
    unknown = {one.message for one in without_key if one.status not in ACCEPTED and messages.may_be_stored(one)}
    yield "of them with an unknown answer", len(unknown)
    yield "of these stored", len(unknown & set(evidence.message_of.values()))
    yield "deployments answered 200", sum(one.status == 200 for one in evidence.deployments)
    yield "deployments answered otherwise", sum(one.status != 200 for one in evidence.deployments)
    for flow in CONCURRENCY:
        yield f"most executions of {flow} at a time", concurrency.most(evidence, flow)
    yield "callbacks accepted", sum(one.status in ACCEPTED for one in evidence.callbacks)
    yield "executions", len(evidence.executions)
    yield "entries of journals", len(evidence.entries)
    yield "rows of the SQL sink", len(evidence.rows)
    yield "calls of the HTTP sink", len(evidence.calls)
    repeated = sum(len(calls.repeated_calls(own)) for own in evidence.calls_by_key.values())
    yield "of them repeated", repeated
    kinds = Counter(f"{one.kind} ({one.target})" for one in evidence.disturbances)
    for kind, count in sorted(kinds.items()):
        yield f"fault: {kind}", count
