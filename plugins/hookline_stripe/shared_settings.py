"""Settings that several actions have."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from hookline.api import JsonValue

Amount = Annotated[int, Field(ge=0, description="The amount in the currency's smallest unit: 1099 is 10.99 €.")]
Currency = Annotated[
    str, Field(pattern=r"^[A-Za-z]{3}$", description="The currency in three letters, such as `eur`.", examples=["eur"])
]
Metadata = Annotated[dict[str, JsonValue] | None, Field(description="Your own keys and texts; null removes a key.")]
More = Annotated[
    dict[str, JsonValue] | None,
    Field(description="Any other parameters of Stripe's API, by Stripe's names; nested as in JSON."),
]
Since = Annotated[datetime | None, Field(description="Only those that were created at this time or later.")]
Limit = Annotated[int | None, Field(ge=1, description="The greatest number of results; by default all.")]


def given(more: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The fields that a step gives, without those that are None; those in `more` replace others."""
    said = {name: value for name, value in fields.items() if value is not None}
    return {**said, **(more or {})}


def made_since(since: datetime | None) -> dict[str, Any] | None:
    """The filter of a list by the time of creation."""
    return None if since is None else {"gte": int(since.timestamp())}
