"""Everything that needs somebody's attention, found in the store."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, urlencode

from hookline.credentials.stored_credentials import CredentialInfo, Credentials
from hookline.kernel.clocks import Clock, rfc3339
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.access import Token, TokenScope
from hookline.model.dead_letter_causes import full_cause
from hookline.model.execution import BLOCKED
from hookline.operations.node_problems import REPORTED_WITHIN
from hookline.storage.change_declarations import MAX_REJECTED_KEPT
from hookline.storage.cluster import Membership, Node
from hookline.storage.node_problems import NodeProblem
from hookline.storage.store import DeadLetters, Held, Rejections, Store

AttentionKind: TypeAlias = Literal[
    "plugin_failed",
    "disk_budget",
    "source_stopped",
    "dead_letters",
    "waiting_too_long",
    "rejected",
    "credential_expiring",
    "credential_hosts",
    "token_expiring",
    "node_gone",
]
Severity: TypeAlias = Literal["error", "warning"]

QUEUED_TOO_LONG: Final = timedelta(minutes=10)
"""The age from which the oldest queued execution of a flow has waited too long."""
REJECTED_WITHIN: Final = timedelta(hours=24)
"""The time for which rejected requests are shown."""
EXPIRES_WITHIN: Final = timedelta(days=7)
"""The time before an expiry from which it is shown."""
_LIFETIME_LEFT: Final = 4
"""A token expires soon only if less than this part of its lifetime is left."""
_CACHED: Final = 2.0
"""The least seconds for which a result is used again."""
_MOST_CACHED: Final = 10.0
_SHARE: Final = 0.01
"""The part of the time for which a result is found at most, however many consoles ask, if it doesn't take too long."""
_CAUSES: Final = 1000
"""The most causes of dead letters, those with the newest executions."""
_COUNTED: Final = 100
"""Held executions of a flow are counted up to this number."""


@dataclass(frozen=True, slots=True)
class AttentionItem:
    """One thing that needs somebody's attention."""

    kind: AttentionKind
    severity: Severity
    title: str
    detail: str
    link: str
    """A path of the console."""
    flow_id: str | None = None
    """The flow that it concerns; None if it concerns the server. `-` stands for flows that don't exist."""
    count: int | None = None
    since: datetime | None = None
    scope: TokenScope = TokenScope.READ
    """The scope that a token needs to see it."""


@dataclass(frozen=True, slots=True)
class AttentionReport:
    """All items: errors first, and those of one kind together."""

    items: tuple[AttentionItem, ...]
    checked_at: datetime


class Attention:
    """Finds what needs attention. All who ask get the same result for two seconds, or longer if finding takes long."""

    def __init__(self, store: Store, clock: Clock, credentials: Credentials, membership: Membership) -> None:
        self._store = store
        self._clock = clock
        self._credentials = credentials
        self._membership = membership
        self._lock = asyncio.Lock()
        self._last: AttentionReport | None = None
        self._until = 0.0
        """The time of the steady clock until which the last result is used."""

    async def report(self) -> AttentionReport:
        """Return all that needs attention. Raises StoreError."""
        async with self._lock:
            began = self._clock.monotonic()
            if self._last is None or began >= self._until:
                self._last = await self._report()
                ended = self._clock.monotonic()
                self._until = ended + min(max(_CACHED, (ended - began) / _SHARE), _MOST_CACHED)
            return self._last

    async def _report(self) -> AttentionReport:
        store, now = self._store, self._clock.now()
        items = [
            *map(_node_problem, await store.node_problems(now - REPORTED_WITHIN)),
            *map(_dead_letters, (await store.dead_letters(limit=_CAUSES)).items),
            *_blocked(await store.blocked(_COUNTED)),
            *_queued(await store.oldest_queued(), now),
            *_late(await store.late_waits(now, _COUNTED)),
            *_rejected(await store.rejected_since(now - REJECTED_WITHIN)),
            *(item for one in self._credentials.list() if (item := _credential(one, now)) is not None),
            *(item for token in await store.tokens() if (item := _token(token, now)) is not None),
            *_nodes(await self._membership.nodes()),
        ]
        # Sorting keeps the order of the kinds.
        return AttentionReport(tuple(sorted(items, key=lambda item: item.severity)), now)


def _executions(flow_id: str, state: str) -> str:
    return f"/executions?{urlencode({'flow_id': flow_id, 'state': state})}"


def _at_least(count: int, most: int) -> str:
    return f"at least {count}" if count >= most else str(count)


def _node_problem(problem: NodeProblem) -> AttentionItem:
    subject, detail, since = problem.subject, problem.detail, problem.since
    match problem.kind:
        case "source_stopped":
            title, link = f"The source of flow {subject!r} doesn't work", f"/flows/{subject}"
            return AttentionItem("source_stopped", "error", title, detail, link, subject, since=since)
        case "plugin_failed":
            title = f"Plugin {subject!r} can't be loaded"
            return AttentionItem("plugin_failed", "error", title, detail, "/plugins", since=since)
        case "disk_budget":
            title = f"Flow {subject!r} accepts no messages" if subject else "No messages are accepted"
            return AttentionItem("disk_budget", "error", title, detail, "/storage", subject or None, since=since)


def _dead_letters(group: DeadLetters) -> AttentionItem:
    step = "" if group.error.step is None else f"step {group.error.step}: "
    return AttentionItem(
        "dead_letters",
        "error",
        f"{counted(group.count, 'execution')} of flow {group.flow_id!r} failed",
        f"{step}{group.error.message} ({group.error.code})",
        f"/dead-letters/{quote(full_cause(group.flow_id, group.cause), safe='')}",
        group.flow_id,
        group.count,
        group.first_at,
    )


def _blocked(found: Mapping[str, Held]) -> Iterator[AttentionItem]:
    for flow_id, held in sorted(found.items()):
        yield AttentionItem(
            "waiting_too_long",
            "error",
            f"Executions of flow {flow_id!r} are blocked: {_at_least(held.count, _COUNTED)}",
            (held.reason or "").removeprefix(BLOCKED),
            _executions(flow_id, "waiting"),
            flow_id,
            held.count,
            held.since,
        )


def _queued(found: Mapping[str, datetime], now: datetime) -> Iterator[AttentionItem]:
    for flow_id, since in sorted(found.items()):
        if now - since >= QUEUED_TOO_LONG:
            yield AttentionItem(
                "waiting_too_long",
                "warning",
                f"The queue of flow {flow_id!r} doesn't move on",
                "The flow is paused, its concurrency or an order key holds its executions, or no node runs them.",
                _executions(flow_id, "queued"),
                flow_id,
                since=since,
            )


def _late(found: Mapping[str, Held]) -> Iterator[AttentionItem]:
    for flow_id, held in sorted(found.items()):
        yield AttentionItem(
            "waiting_too_long",
            "warning",
            f"Callbacks that flow {flow_id!r} waits for are late: {_at_least(held.count, _COUNTED)}",
            "More than half of the time until they time out has passed.",
            _executions(flow_id, "waiting"),
            flow_id,
            held.count,
            held.since,
        )


def _rejected(found: Mapping[str, Rejections]) -> Iterator[AttentionItem]:
    for flow_id, one in sorted(found.items()):
        of = "flows that don't exist" if flow_id == "-" else f"flow {flow_id!r}"
        newest = one.newest
        yield AttentionItem(
            "rejected",
            "warning",
            f"Rejected requests to {of} in the last 24 hours: {_at_least(one.count, MAX_REJECTED_KEPT)}",
            f"The last one: {newest.status} {newest.code}: {newest.detail}",
            f"/rejected?{urlencode({'flow_id': flow_id})}",
            flow_id,
            one.count,
            one.first_at,
        )


def _credential(one: CredentialInfo, now: datetime) -> AttentionItem | None:
    tokens, link = one.tokens, f"/credentials/{quote(one.name, safe='')}"
    problem = one.problem or (None if tokens is None else tokens.problem)
    if problem is not None:
        title = f"Credential {one.name!r} can't be used"
        return AttentionItem("credential_expiring", "error", title, problem, link)
    if one.warnings:
        title = f"Credential {one.name!r} may be sent to any host"
        return AttentionItem("credential_hosts", "warning", title, "; ".join(one.warnings), link)
    if tokens is None or tokens.renewable or tokens.expires_at is None or tokens.expires_at - now > EXPIRES_WITHIN:
        return None
    return AttentionItem(
        "credential_expiring",
        "warning",
        f"Credential {one.name!r} expires soon",
        f"Its access token expires at {rfc3339(tokens.expires_at)}, and isn't renewed without a user.",
        link,
    )


def _token(token: Token, now: datetime) -> AttentionItem | None:
    if not token.is_valid(now) or token.expires_at is None:
        return None
    lifetime = token.expires_at - token.created_at
    if token.expires_at - now > min(EXPIRES_WITHIN, lifetime / _LIFETIME_LEFT):
        return None
    return AttentionItem(
        "token_expiring",
        "warning",
        f"Token {token.name!r} expires soon",
        f"It is valid until {rfc3339(token.expires_at)}.",
        "/tokens",
        scope=TokenScope.ADMIN,
    )


def _nodes(nodes: Iterable[Node]) -> Iterator[AttentionItem]:
    listed = tuple(nodes)
    living = {node.name for node in listed if node.gone_at is None}
    for node in listed:
        # One that has stopped by itself was gone before its lease ran out.
        if node.gone_at is not None and node.gone_at > node.until and node.name not in living:
            yield AttentionItem(
                "node_gone",
                "warning",
                f"Node {node.name!r} is gone",
                "It didn't stop by itself; other nodes have taken over what it ran.",
                "/nodes",
                since=node.until,
            )
