"""What every trigger that polls can be told, whatever it polls."""

from datetime import timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from hookline.model.durations import Duration, Interval
from hookline.model.webhook import Numbers

ITEMS: Final = 1000
"""Items that one poll may give; where there are more, it says so and is asked again."""
CURSOR_BYTES: Final = 4 * 1024 * 1024
"""The largest cursor, as JSON."""


class PollSettings(BaseModel):
    """The part of a poll's settings that the engine goes by; a trigger's own stand beside it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    every: Interval = Field(default=timedelta(minutes=1), description="How often it looks.")
    timeout: Interval = Field(
        default=timedelta(minutes=5), description="The longest time for one look; then it failed, and is tried again."
    )
    dedupe_window: Duration = Field(
        default=timedelta(days=7), description="For how long an item that comes with the same id again starts nothing."
    )
    numbers: Numbers = Field(
        default="binary",
        description="What fractions are in messages and in the flow: `binary` has some 16 digits, `exact` keeps every "
        "digit.",
    )
