"""Triggers that look for themselves: `@acme.poll(every="1m")` on an async function.

The function is given a `PollContext`, the cursor (how far it got last time, None at first) and the settings. It
returns a `PollResult`: the new items, and the cursor for the next poll. The engine commits both together, so that no
item is lost or duplicated, even if the process dies.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from hookline.kernel.json import canonical
from hookline.kernel.logs import Log
from hookline.kernel.safe_validation import validate_safely
from hookline.model.message import Attachment
from hookline.model.sources import PollSettings
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.setting_versions import Upgrade
from hookline.sdk.triggers import FunctionTrigger

if TYPE_CHECKING:
    from hookline.sdk.context import Resources
    from hookline.sdk.http import HttpClient
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class PollContext(TokenUser, Generic[C]):
    """What a poll is given besides its cursor and its settings."""

    credential: C
    """The trigger's credential, an instance of the connector's credential type; None where the flow names none."""
    http: "HttpClient"
    blobs: "Blobs"
    """Where attachments' bytes are."""
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    flow_id: str
    now: datetime
    """When this poll began, in UTC."""
    credential_type: str | None = None
    files_root: Path | None = None
    """The folder under which files may be read; None where the server allows none."""
    exact: bool = False
    """The flow's numbers are exact: fractions in bodies should be Decimals."""
    tokens: Tokens | None = None
    """What `access_token` asks."""


@dataclass(frozen=True, slots=True)
class PollItem:
    """Something new: each becomes a message of its own."""

    id: str
    """One that comes with the same id again within the flow's `dedupe_window` starts nothing."""
    body: Any
    """What an action may return."""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class PollResult:
    """What a poll gives."""

    items: Sequence[PollItem] = ()
    """At most 1000, in the order in which they are to be accepted."""
    cursor: Any = None
    """A JSON value, of at most 4 MB: where the next poll goes on."""
    more: bool = False
    """There are more already: the next poll follows at once."""


class ResetsCursor:
    """Marks a setting of a poll that says what is looked at: where a flow changes it, the cursor begins anew.

    As in `folder: Annotated[str, ResetsCursor()]`.
    """


@dataclass(frozen=True, slots=True)
class PollTrigger(FunctionTrigger):
    """Started by what is found when the engine looks, again and again."""

    settings: type[PollSettings] = PollSettings
    run: Callable[..., Awaitable[PollResult]] | None = None
    leading: tuple[str, ...] = ()
    """Which of `ctx` and `cursor` it takes."""
    resets_cursor: frozenset[str] = frozenset()
    """Parameters marked `ResetsCursor`."""
    version: int | None = None
    """Of its settings; None where there never was another."""
    upgrade: Upgrade | None = None
    """From these settings to the newest, where these are older: then `parameters` are those of the newest."""
    newest_settings: type[PollSettings] | None = None
    """The model of the newest settings, where these are older."""

    def validated(self, settings: Any) -> BaseModel:
        """A flow's settings, as `arguments` takes them. Raises ValidationError, and StepError."""
        if self.upgrade is None or self.newest_settings is None:
            return validate_safely(self.settings, settings)
        validate_safely(self.settings, settings)
        every_poll = {key: value for key, value in settings.items() if key in PollSettings.model_fields}
        own = {key: value for key, value in settings.items() if key not in every_poll}
        return validate_safely(self.newest_settings, {**every_poll, **self.upgrade.apply(own)})


T = TypeVar("T")

_HASH = 16


def changed_items(listed: Iterable[PollItem], cursor: Any, *, existing: bool = True, limit: int = 1000) -> PollResult:
    """The items that weren't there at the last poll, or are different now, where each poll lists all there are.

    The cursor holds a hash of each item's body, so that it grows with what is listed. An item that is different now
    comes with another id, and one that was listed no more and then is again is new. At most `limit` are given at once;
    the rest follows. `existing`: whether those that are there at the first poll count as new.
    """
    known: Mapping[str, str] = {} if cursor is None else cursor["seen"]
    # Counted, so that an item that changes back to what it was is told from what it was then.
    count: int = 0 if cursor is None else cursor["count"]
    first = cursor is None and not existing
    seen: dict[str, str] = {}
    found: list[PollItem] = []
    more = False
    for item in listed:
        mark = hashlib.sha256(canonical(item.body)).hexdigest()[:_HASH]
        if known.get(item.id) == mark or first:
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


def items_above(
    listed: Iterable[T], cursor: Any, mark: Callable[[T], Any], item: Callable[[T], PollItem], *, limit: int = 1000
) -> PollResult:
    """The items whose mark is above all that came before: an id that counts up, or a time of change.

    `listed`: what has a mark that isn't below the cursor's `mark` (`cursor["mark"]`), in the order of their marks.
    Several with one mark are told apart by their ids, so that none is lost that comes later with the mark of the last
    one. `mark` gives a JSON value; `item` makes the message.
    """
    last = None if cursor is None else cursor["mark"]
    at_last: set[str] = set() if cursor is None else set(cursor["ids"])
    found: list[PollItem] = []
    more = False
    for each in listed:
        value, made = mark(each), item(each)
        if value == last and made.id in at_last:
            continue
        if len(found) == limit:
            more = True
            break
        if value != last:
            last, at_last = value, set()
        at_last.add(made.id)
        found.append(made)
    if not found:
        return PollResult((), cursor)
    return PollResult(found, {"mark": last, "ids": sorted(at_last)}, more)
