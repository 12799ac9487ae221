"""Types of the fields in all JSON of the API; times are RFC 3339 in UTC."""

from datetime import datetime
from typing import Annotated

import msgspec

from hookline.kernel.clocks import rfc3339

Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
Count = Annotated[int, msgspec.Meta(ge=0)]
Pending = Annotated[
    list[str],
    msgspec.Meta(description="The names of the nodes that may not have adopted the change yet; empty if all have."),
]
"""The nodes that have not adopted a change, in the response to it."""


def one_of(*words: str) -> msgspec.Meta:
    """The texts that a field can have, for its annotation."""
    return msgspec.Meta(extra_json_schema={"enum": list(words)})


def time_view(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
