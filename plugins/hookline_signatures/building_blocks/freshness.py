"""Settings that say how far a time of sending may lie from the time of receipt."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field

from hookline.api import Duration

_TOLERANCE = "How far the time of sending may be from the time of receipt."


class Within5Minutes(BaseModel):
    """For providers that ask for it, and sign anew each time that they try again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(default=timedelta(minutes=5), description=_TOLERANCE)


class Within15Minutes(BaseModel):
    """For providers that try for a few minutes, and don't say whether they sign anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(default=timedelta(minutes=15), description=_TOLERANCE)


class WithinADay(BaseModel):
    """For providers that try for hours, and don't say whether they sign anew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tolerance: Duration = Field(default=timedelta(days=1), description=_TOLERANCE)
