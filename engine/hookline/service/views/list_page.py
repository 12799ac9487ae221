"""A page of a list, in all JSON of the API."""

from typing import Generic, TypeVar

import msgspec

_T = TypeVar("_T")


class PageView(msgspec.Struct, Generic[_T], frozen=True):
    """One page of a list."""

    items: list[_T]
    next: str | None
    """The cursor of the next page; null at the end."""
