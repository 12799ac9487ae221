"""The check that a time of sending is near enough to the time of receipt, and its settings."""

import re
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from hookline.api import Duration, NotVerified

#: Longer than any moment that `datetime` knows, and short enough for `int`.
_SECONDS: Final = re.compile(r"[0-9]{1,12}")
_TOLERANCE = "The largest difference between the times of sending and receipt."


class Within5Minutes(BaseModel):
    """The tolerance for providers that ask for it, and sign anew at each retry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(default=timedelta(minutes=5), description=_TOLERANCE)


class Within15Minutes(BaseModel):
    """The tolerance for providers that retry for a few minutes, and may not sign anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(default=timedelta(minutes=15), description=_TOLERANCE)


class WithinADay(BaseModel):
    """The tolerance for providers that retry for hours, and may not sign anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(default=timedelta(days=1), description=_TOLERANCE)


def check_fresh(seconds: str, received_at: datetime, tolerance: timedelta) -> None:
    """Raise NotVerified unless a time, in whole seconds since 1970, is near enough to when the request came.

    The time of receipt counts, so that a later check has the same result.
    """
    if not _SECONDS.fullmatch(seconds):
        raise NotVerified("the time of sending isn't whole seconds since 1970")
    check_near(timedelta(seconds=received_at.timestamp() - int(seconds)), tolerance)


def check_near(passed: timedelta, tolerance: timedelta) -> None:
    """Raise NotVerified if the time of sending is further from that of receipt than `tolerance`, before or after it.

    `passed`: the time of receipt minus that of sending.
    """
    if abs(passed) > tolerance:
        off, side = abs(passed).total_seconds(), "before" if passed > timedelta() else "after"
        raise NotVerified(
            f"the time of sending is {off:.0f} s {side} that of receipt, and {tolerance.total_seconds():.0f} s are "
            "allowed: it was delayed or repeated, or a clock is wrong"
        )
