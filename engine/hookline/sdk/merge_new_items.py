"""What is new among what a service lists: by a hash of each item, or by a value that grows."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hookline.kernel.json import canonical
from hookline.sdk.poll import Item, Polled

T = TypeVar("T")

_HASH = 16


def changed_items(listed: Iterable[Item], cursor: Any, *, existing: bool = True, limit: int = 1000) -> Polled:
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
    found: list[Item] = []
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
        return Polled((), cursor)
    return Polled(found, {"seen": seen, "count": count + bool(found)}, more)


def items_above(
    listed: Iterable[T], cursor: Any, mark: Callable[[T], Any], item: Callable[[T], Item], *, limit: int = 1000
) -> Polled:
    """The items whose mark is above all that came before: an id that counts up, or a time of change.

    `listed`: what has a mark that isn't below the cursor's `mark` (`cursor["mark"]`), in the order of their marks.
    Several with one mark are told apart by their ids, so that none is lost that comes later with the mark of the last
    one. `mark` gives a JSON value; `item` makes the message.
    """
    last = None if cursor is None else cursor["mark"]
    at_last: set[str] = set() if cursor is None else set(cursor["ids"])
    found: list[Item] = []
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
        return Polled((), cursor)
    return Polled(found, {"mark": last, "ids": sorted(at_last)}, more)
