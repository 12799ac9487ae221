"""What all that is shown has in common: pages, and times, which are RFC 3339 in UTC."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec

from hookline.kernel.time import rfc3339

_T = TypeVar("_T")
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]


class PageView(msgspec.Struct, Generic[_T], frozen=True):
    """One page of a list."""

    items: list[_T]
    next: str | None
    """The cursor of the next page; null at the end."""


def time_view(at: datetime | None) -> str | None:
    """A time; None where there is none."""
    return None if at is None else rfc3339(at)
