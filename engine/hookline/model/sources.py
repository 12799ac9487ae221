"""What every trigger that polls can be told, whatever it polls."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from hookline.kernel.json import encode
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


PREFETCH: Final = 1000
"""Messages that one trigger may hold at once, at most."""


class ConsumeSettings(BaseModel):
    """The part of such a trigger's settings that the engine goes by; a trigger's own stand beside it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    prefetch: int = Field(
        default=100,
        ge=1,
        le=PREFETCH,
        description="How many messages it may hold at once that aren't acknowledged yet, and how many share a commit.",
    )
    connect_timeout: Interval = Field(
        default=timedelta(seconds=60),
        description="The longest time until it listens; then it failed, and is tried again.",
    )
    body: Literal["auto", "json", "text", "raw"] = Field(
        default="auto",
        description="How bytes are read: as their type says, and where they say none as JSON or text if they are that; "
        "as `json` or `text` whatever they say; `raw` keeps them as one attachment.",
    )
    dedupe_key: str | Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="An expression, or several that are one key together: a message whose key was seen within the "
        "window starts nothing. By default the id that the message has.",
    )
    dedupe_window: Duration = Field(default=timedelta(days=7), description="How long keys are remembered.")
    max_body: int = Field(
        default=10_000_000,
        gt=0,
        description="Bytes in a body that is no attachment; a message with a larger one is rejected.",
    )
    keep_rejected_bodies: bool = Field(
        default=False, description="Keep the beginning of the body of each rejected message, to find a sender's error."
    )
    numbers: Numbers = Field(
        default="binary",
        description="What fractions are in messages and in the flow: `binary` has some 16 digits, `exact` keeps every "
        "digit.",
    )


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


ID_BYTES: Final = 64 * 1024
"""The largest JSON that may identify a subscription."""
_MOST: Final = 10
"""Secrets that schemes take side by side."""


class Asked(msgspec.Struct, frozen=True):
    """By what a subscription is made: of which trigger, with which credential and settings."""

    trigger: str
    credential: str | None
    given: msgspec.Raw
    """JSON of the trigger's own settings, in canonical form."""
    url: str
    """Where the provider is to send."""

    @property
    def same_as(self) -> bytes:
        """Equal where two ask for the same."""
        return encode([self.trigger, self.credential, self.url]) + bytes(self.given)


class Begun(msgspec.Struct, frozen=True):
    """One that was about to be made: whether the provider has it isn't known before it was asked again."""

    asked: Asked
    secret: str
    """Empty where the provider makes it."""
    at: datetime


class Subscribed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One that the provider has."""

    asked: Asked
    id: msgspec.Raw
    """JSON of what identifies it there, in canonical form."""
    secret: str
    at: datetime
    """When it was made, or last renewed."""
    expires_at: datetime | None = None
    leaving_at: datetime | None = None
    """Since when it is to be removed."""

    @property
    def key(self) -> tuple[str, bytes]:
        """Equal where two are the same one at the provider."""
        return self.asked.trigger, bytes(self.id)


class Retired(msgspec.Struct, frozen=True):
    """A secret by which nothing is signed any more, though what was signed before may still come."""

    secret: str
    until: datetime


class KeptSubscription(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is kept for a flow."""

    current: Subscribed | None = None
    begun: Begun | None = None
    leaving: tuple[Subscribed, ...] = ()
    retired: tuple[Retired, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the provider has something, or may have."""
        return self.current is not None or self.begun is not None or bool(self.leaving)

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """Those by which a request may be signed, the newest first."""
        held = [
            self.begun.secret if self.begun is not None else "",
            "" if self.current is None else self.current.secret,
        ]
        held += [one.secret for one in self.leaving]
        held += [one.secret for one in self.retired if one.until > now]
        return tuple(dict.fromkeys(filter(None, held)))[:_MOST]
