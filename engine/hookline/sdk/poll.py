"""Polls, which are triggers that look for new items: `@acme.poll(every="1m")` on an async function.

The function is given a `PollContext`, the cursor (how far it got last time, None at first) and the settings. It
returns a `PollResult`: the new items, and the cursor for the next poll. The engine commits both together, so that no
item is lost or duplicated, even if the process dies. The items that exist when a poll begins count as seen, unless the
flow says `"existing": true`; the engine sees to that.
"""

import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from pydantic import BaseModel

from hookline.kernel.json import canonical
from hookline.kernel.logs import Log
from hookline.kernel.plugin_model_validation import validate_safely
from hookline.model.message import Attachment
from hookline.model.sources import PollSettings
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.settings.setting_upgrades import Upgrade
from hookline.sdk.triggers import FunctionTrigger

if TYPE_CHECKING:
    from hookline.sdk.context_parts import Resources
    from hookline.sdk.http_client import HttpClient
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class PollContext(TokenUser, Generic[C]):
    """The context of a poll (`ctx`)."""

    credential: C
    """The credential of the trigger, an instance of the connector's credential type; None if the flow names none."""
    http: "HttpClient"
    blobs: "Blobs"
    """The store of the bytes of attachments."""
    log: Log
    resources: "Resources"
    """The resources that the plugin keeps open."""
    flow_id: str
    now: datetime
    """The start of this poll, in UTC."""
    credential_type: str | None = None
    files_root: Path | None = None
    """The folder in which files may be read; None if the server allows no files."""
    exact: bool = False
    """True if the flow has exact numbers: fractions in bodies should be Decimals."""
    baseline: bool = False
    """True while the poll finds out what exists already: the engine drops the items, so only the cursor matters."""
    tokens: Tokens | None = None
    """The access tokens of the credential. `access_token` uses it."""


@dataclass(frozen=True, slots=True)
class PollItem:
    """A new item, which becomes a message."""

    id: str
    """The id of the item. Another item with the same id within the flow's `dedupe_window` is a duplicate."""
    body: Any
    """Anything that an action may return."""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class PollResult:
    """The result of a poll."""

    items: Sequence[PollItem] = ()
    """At most 1000 items, in the order in which they are to be accepted."""
    cursor: Any = None
    """The cursor for the next poll: a JSON value of at most 4 MB."""
    more: bool = False
    """True if there are more items: the next poll follows at once."""


class ResetsCursor:
    """Marks a setting of a poll that selects what is polled. If a flow changes it, the cursor is reset to None.

    As in `folder: Annotated[str, ResetsCursor()]`.
    """


@dataclass(frozen=True, slots=True)
class PollTrigger(FunctionTrigger):
    """A trigger that starts an execution for each new item of its polls."""

    settings: type[PollSettings] = PollSettings
    run: Callable[..., Awaitable[PollResult]] | None = None
    leading: tuple[str, ...] = ()
    """The parameters among `ctx` and `cursor` that it has."""
    resets_cursor: frozenset[str] = frozenset()
    """The parameters that are marked `ResetsCursor`."""
    version: int | None = None
    """The version of its settings; None if there has only been one."""
    upgrade: Upgrade | None = None
    """The upgrade to the newest settings, if these are older. `parameters` are then those of the newest."""
    newest_settings: type[PollSettings] | None = None
    """The model of the newest settings, if these are older."""

    def validated(self, settings: Any) -> BaseModel:
        """Return the validated settings of a flow, for `arguments`. Raises ValidationError, and StepError."""
        if self.upgrade is None or self.newest_settings is None:
            return validate_safely(self.settings, settings)
        validate_safely(self.settings, settings)
        every_poll = {key: value for key, value in settings.items() if key in PollSettings.model_fields}
        own = {key: value for key, value in settings.items() if key not in every_poll}
        return validate_safely(self.newest_settings, {**every_poll, **self.upgrade.apply(own)})


T = TypeVar("T")

_HASH = 16


def changed_items(listed: Iterable[PollItem], cursor: Any, *, baseline: bool = False, limit: int = 1000) -> PollResult:
    """Return the items that are new or changed since the last poll, for services of which each poll lists all items.

    The cursor has a hash of each item's body, so it grows with the list. A changed item gets another id. An item that
    disappears and comes back is new. At most `limit` items are returned at once, and the others at the next poll.
    `baseline` is `ctx.baseline`: if it is true, all items count as seen, in one call.
    """
    known: Mapping[str, str] = {} if cursor is None else cursor["seen"]
    # The count distinguishes an item that changes back to an earlier body from that earlier item.
    count: int = 0 if cursor is None else cursor["count"]
    seen: dict[str, str] = {}
    found: list[PollItem] = []
    more = False
    for item in listed:
        mark = hashlib.sha256(canonical(item.body)).hexdigest()[:_HASH]
        if known.get(item.id) == mark or baseline:
            seen[item.id] = mark
        elif len(found) < limit:
            seen[item.id] = mark
            found.append(replace(item, id=f"{item.id}@{mark}#{count + 1}"))
        else:
            more = True
            if item.id in known:
                seen[item.id] = known[item.id]
    if not found and cursor is not None and seen == known:
        return PollResult((), cursor)
    return PollResult(found, {"seen": seen, "count": count + bool(found)}, more)


@overload
def items_above(
    listed: Iterable[T], cursor: Any, mark: Callable[[T], Any], item: Callable[[T], PollItem], *, limit: int = 1000
) -> PollResult: ...
@overload
def items_above(
    listed: AsyncIterable[T], cursor: Any, mark: Callable[[T], Any], item: Callable[[T], PollItem], *, limit: int = 1000
) -> Awaitable[PollResult]: ...


def items_above(
    listed: Iterable[T] | AsyncIterable[T],
    cursor: Any,
    mark: Callable[[T], Any],
    item: Callable[[T], PollItem],
    *,
    limit: int = 1000,
) -> PollResult | Awaitable[PollResult]:
    """Return the items whose mark is above those of earlier polls. A mark is an increasing id or a time of change.

    `listed`: everything with a mark that isn't below `cursor["mark"]`, in the order of the marks. Items with the same
    mark are distinguished by their ids, so an item that gets the mark of the last item later isn't lost. `mark` returns
    a JSON value; `item` returns the item. An async iterable, such as `linked_items`, is read as far as the limit, and
    the result is awaited: `await items_above(linked_items(…), …)`.
    """
    above = _Above(cursor, mark, item, limit)
    if isinstance(listed, AsyncIterable):
        return _above_async(listed, above)
    for each in listed:
        if not above.take(each):
            break
    return above.result()


async def _above_async(listed: AsyncIterable[T], above: "_Above[T]") -> PollResult:
    try:
        async for each in listed:
            if not above.take(each):
                break
    finally:
        close = getattr(listed, "aclose", None)
        if close is not None:
            await close()
    return above.result()


class _Above(Generic[T]):
    """The items above a mark, as they are read."""

    def __init__(self, cursor: Any, mark: Callable[[T], Any], item: Callable[[T], PollItem], limit: int) -> None:
        self._cursor = cursor
        self._mark = mark
        self._item = item
        self._limit = limit
        self._last = None if cursor is None else cursor["mark"]
        self._at_last: set[str] = set() if cursor is None else set(cursor["ids"])
        self._found: list[PollItem] = []
        self._more = False

    def take(self, each: T) -> bool:
        """Take the next item in the order of the marks; return False if no more are wanted."""
        value, made = self._mark(each), self._item(each)
        if value == self._last and made.id in self._at_last:
            return True
        if len(self._found) == self._limit:
            self._more = True
            return False
        if value != self._last:
            self._last, self._at_last = value, set()
        self._at_last.add(made.id)
        self._found.append(made)
        return True

    def result(self) -> PollResult:
        """Return the items, and the cursor of the next poll."""
        if not self._found:
            return PollResult((), self._cursor)
        return PollResult(self._found, {"mark": self._last, "ids": sorted(self._at_last)}, self._more)
