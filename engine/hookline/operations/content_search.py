"""Content search: executions whose messages have a text, or values that a JSONPath finds.

It reads messages as they are stored, so redacted values are masked in them. What is masked never matches.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import msgspec

from hookline.flows.elements.expressions import Expressions, Template
from hookline.flows.elements.message_scope import message_view, trigger_view
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ExpressionError, Malformed
from hookline.kernel.json import encode
from hookline.model.message import Envelope, has_body, unpack
from hookline.plugin_host.large_value_work import Offloader
from hookline.sdk.mappers import Mapper
from hookline.secrets.masking import MASK
from hookline.storage.store import ExecutionPage, ExecutionSummary, Store, readable_envelope

MAX_SCANNED: Final = 50_000
"""The most executions that one page of results covers."""
MAX_SECONDS: Final = 5.0
"""Seconds after which a page of results ends."""
_TOGETHER: Final = 100

ExecutionPages = Callable[[str | None, int], Awaitable[ExecutionPage]]
"""Returns a page of executions after a cursor, with at most so many of them."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of results, newest first."""

    items: tuple[ExecutionSummary, ...]
    next: str | None
    """The cursor of the next page; None if all executions were searched."""
    scanned: int
    """The number of executions that were searched for this page."""


class ContentSearch:
    """Searches the messages of executions, in a thread beside the event loop."""

    def __init__(self, store: Store, clock: Clock, mappers: Mapping[str, Mapper]) -> None:
        self._store = store
        self._clock = clock
        self._expressions = Expressions(mappers)
        self._offloader = Offloader()

    async def find(
        self, pages: ExecutionPages, *, text: str | None, jsonpath: str | None, cursor: str | None, limit: int
    ) -> SearchResult:
        """Return a page of results. With both, the text must be in a value that the JSONPath finds.

        Raises Malformed if the JSONPath has a syntax error, StoreError, and ValueError for an invalid cursor.
        """
        query = _Query(None if text is None else text.casefold(), await self._compiled(jsonpath))
        until = self._clock.monotonic() + MAX_SECONDS
        found: list[ExecutionSummary] = []
        scanned = 0
        while True:
            page = await pages(cursor, min(_TOGETHER, MAX_SCANNED - scanned))
            for group in _groups(page.items):
                work = partial(self._search, query, group, await self._whole(group), until, limit - len(found))
                seen, matching = await self._offloader.run(work, large=True)
                found += matching
                scanned += seen
                last = group[seen - 1].execution.id
                over = len(found) == limit or scanned >= MAX_SCANNED or self._clock.monotonic() >= until
                if over and (page.next is not None or last != page.items[-1].execution.id):
                    return SearchResult(tuple(found), last, scanned)
            cursor = page.next
            if cursor is None:
                return SearchResult(tuple(found), None, scanned)

    async def _compiled(self, jsonpath: str | None) -> Template | None:
        if jsonpath is None:
            return None
        compiling = partial(self._expressions.template, {"jsonpath": jsonpath})
        template, problems = await self._offloader.run(compiling, large=True)
        if problems:
            raise Malformed(f"jsonpath: {problems[0].message}")
        return template

    async def _whole(self, group: Sequence[ExecutionSummary]) -> Envelope | None:
        """The message of a group of one whose list leaves out the body."""
        return None if has_body(group[0].payload) else await readable_envelope(self._store, group[0].execution.id)

    def _search(
        self, query: "_Query", group: Sequence[ExecutionSummary], whole: Envelope | None, until: float, limit: int
    ) -> tuple[int, list[ExecutionSummary]]:
        """Search at least one execution; return the number of those that were searched, and those that match."""
        found: list[ExecutionSummary] = []
        for number, summary in enumerate(group):
            if number and (len(found) == limit or self._clock.monotonic() >= until):
                return number, found
            envelope = whole or _decoded(summary)
            if envelope is not None and query.matches(envelope):
                found.append(summary)
        return len(group), found


def _groups(items: Sequence[ExecutionSummary]) -> Iterator[Sequence[ExecutionSummary]]:
    """Yield the items in order: those with small messages together, each with a large one alone."""
    group: list[ExecutionSummary] = []
    for item in items:
        if has_body(item.payload):
            group.append(item)
            continue
        if group:
            yield group
        yield [item]
        group = []
    if group:
        yield group


def _decoded(summary: ExecutionSummary) -> Envelope | None:
    execution = summary.execution
    try:
        return unpack(
            summary.payload, execution_id=execution.id, flow_id=execution.flow_id, accepted_at=execution.created_at
        )
    except (msgspec.DecodeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class _Query:
    text: str | None
    """In lower case."""
    jsonpath: Template | None

    def matches(self, envelope: Envelope) -> bool:
        """Return true if a message has what is sought. One for which that takes too much work doesn't match."""
        message = envelope.message
        view = {
            **message_view(message),
            "trigger": trigger_view(message, envelope.arrival),
            "tags": envelope.tags,
        }
        if self.jsonpath is None:
            del view["trigger"]
            return self._holds(_without_masked(view))
        try:
            value = self.jsonpath.evaluate(_without_masked(view))
        except ExpressionError:
            return False
        return self._holds(value) if self.text is not None else value != []

    def _holds(self, value: Any) -> bool:
        """Return true if a value, or a value in it, has the text."""
        if isinstance(value, Mapping):
            return any(map(self._holds, value.values()))
        if isinstance(value, list):
            return any(map(self._holds, value))
        if value is None or self.text is None:
            return False
        return self.text in (value if isinstance(value, str) else encode(value).decode()).casefold()


def _without_masked(value: Any) -> Any:
    """The value without what is masked in it."""
    if isinstance(value, str):
        return value.replace(MASK, "") if MASK in value else value
    if isinstance(value, Mapping):
        return {key: _without_masked(item) for key, item in value.items() if item != MASK and MASK not in key}
    if isinstance(value, list):
        return [_without_masked(item) for item in value if item != MASK]
    return value
