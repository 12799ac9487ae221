"""Deployments: an execution keeps its edition (promise 6), and a message starts with one that serves (C12)."""

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.judge.evidence import Evidence, Violation

_TRY_AGAIN = (0, 409, 412, 429, 502, 503, 504)
"""Statuses after which the next edition is deployed: none of them says that something is wrong with the documents."""
_BEFORE = (409, 412, 422, 429)
"""Statuses that say that nothing has changed."""


def judge(evidence: Evidence) -> Iterator[Violation]:
    yield from _answers(evidence)
    yield from _editions(evidence)
    yield from _served(evidence)


def _answers(evidence: Evidence) -> Iterator[Violation]:
    for one in evidence.deployments:
        if one.status != 200 and one.status not in _TRY_AGAIN:
            what = f"{one.node} answered {one.status}: {one.detail}"
            yield Violation("a deployment is rejected", f"edition {one.edition}", what, one.ended)


def _editions(evidence: Evidence) -> Iterator[Violation]:
    found: defaultdict[str, set[int]] = defaultdict(set)
    for one in evidence.sent_on:
        if one.edition is not None:
            found[one.execution].add(one.edition)
    rejected = {one.edition for one in evidence.deployments if one.status in _BEFORE}
    sent: dict[str, float] = {}
    for request in evidence.requests:
        sent.setdefault(request.message, request.started)
    for execution_id, editions in found.items():
        if len(editions) > 1:
            what = f"it has run editions {sorted(editions)}"
            yield Violation("promise 6: an execution changed its version", execution_id, what)
            continue
        edition = min(editions)
        if edition in rejected:
            what = f"it has run edition {edition}, whose deployment was rejected"
            yield Violation("a deployment that was rejected serves", execution_id, what)
        started = sent.get(evidence.message_of.get(execution_id, ""))
        if started is None:
            continue
        # All nodes that run have adopted these.
        adopted = [
            one.edition for one in evidence.deployments if one.status == 200 and not one.pending and one.ended < started
        ]
        if adopted and edition < max(adopted):
            what = f"its message was sent after edition {max(adopted)} was deployed, and it has run edition {edition}"
            yield Violation("C12: an execution began with an earlier version", execution_id, what, started)


def _served(evidence: Evidence) -> Iterator[Violation]:
    """After the run, all nodes serve the same versions."""
    versions: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for one in evidence.served:
        versions[one.flow][one.node] = one.version
    for flow, of_nodes in versions.items():
        if len(set(of_nodes.values())) > 1:
            yield Violation("C12: nodes serve different versions", flow, f"they are {of_nodes}")
