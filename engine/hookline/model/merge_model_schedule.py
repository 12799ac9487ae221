"""What every schedule says besides its times: what becomes of runs that were missed, and of those that overlap."""

from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

Missed = Literal["skip", "once", "all"]

MISSED_KEPT: Final = 1000
"""Missed runs that `"missed": "all"` makes up for at most: the newest."""
PUNCTUAL: Final = 60.0
"""Seconds after its time within which a run isn't missed yet."""
ONE_AT_A_TIME: Final = "schedule"
"""The order key of the executions of a flow whose schedule doesn't let them overlap."""


class ScheduleSettings(BaseModel):
    """The part of a schedule's settings that the engine goes by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missed: Missed = Field(
        default="once",
        description="What becomes of runs whose time passed while the server was down or the flow didn't run: `skip` "
        "leaves them out, `once` makes up for all of them with one, `all` for each, and at most for the newest 1000.",
    )
    overlap: bool = Field(
        default=False,
        description="Whether a run begins while another of the flow is under way. Where it doesn't, it is missed: "
        "`skip` leaves it out, `once` keeps one for afterwards, `all` keeps each.",
    )


class Schedule(Protocol):
    """Times that go on. All are aware; `after` and `until` are each other's inverse."""

    def after(self, at: datetime) -> datetime | None:
        """The first time after `at`; None where there is none any more."""
        ...

    def until(self, at: datetime) -> datetime | None:
        """The last time that isn't after `at`; None where there was none."""
        ...


class Firing(msgspec.Struct, frozen=True):
    """The body of a message that a schedule makes."""

    scheduled_at: str
    """The time that the schedule says, RFC 3339 in UTC."""
    fired_at: str
    """When the message was made: later than that where the run was missed."""
    previous_at: str | None
    """`scheduled_at` of the run before; null at the first."""
