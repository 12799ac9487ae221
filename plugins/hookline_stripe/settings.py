"""Settings that several actions have."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from hookline.api import JsonValue

Amount = Annotated[int, Field(ge=0, description="In the currency's smallest unit: 1099 is 10.99 €.")]
Currency = Annotated[
    str, Field(pattern=r"^[A-Za-z]{3}$", description="Three letters, such as `eur`.", examples=["eur"])
]
Metadata = Annotated[dict[str, JsonValue] | None, Field(description="Keys and texts of your own; null removes a key.")]
More = Annotated[
    dict[str, JsonValue] | None,
    Field(description="Whatever else Stripe takes here, by its own names; nested as in JSON."),
]
Since = Annotated[datetime | None, Field(description="Those that were made at this time or later.")]
Limit = Annotated[int | None, Field(ge=1, description="How many at most; all by default.")]


def given(more: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The fields that a step says. Those by Stripe's own names come last, and so win."""
    said = {name: value for name, value in fields.items() if value is not None}
    return {**said, **(more or {})}


def made_since(since: datetime | None) -> dict[str, Any] | None:
    """The filter of a list by when something was made."""
    return None if since is None else {"gte": int(since.timestamp())}
