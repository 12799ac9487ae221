"""The settings and the stored state of sources: polls, brokers, schedules and subscriptions."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from hookline.kernel.json import encode
from hookline.model.durations import Duration, Interval
from hookline.model.reach import Reach
from hookline.model.webhook import NumbersMode

ITEMS: Final = 1000
"""Items that one poll may return; if there are more, it says so and is called again."""
CURSOR_BYTES: Final = 4 * 1024 * 1024
"""The largest cursor, as JSON."""


class PollSettings(BaseModel):
    """The engine's part of a poll's settings, beside the trigger's own."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )

    every: Interval = Field(
        default=timedelta(minutes=1),
        description="The time from the beginning of one poll to the beginning of the next.",
    )
    timeout: Interval = Field(
        default=timedelta(minutes=5),
        description="The longest time for one poll; after it, the poll fails and is tried again.",
    )
    dedupe_window: Duration = Field(
        default=timedelta(days=7), description="The time for which another item with the same id starts nothing."
    )
    existing: bool = Field(
        default=False,
        description="Start executions also for the items that exist when the poll begins. Otherwise only later ones "
        "start them.",
    )
    numbers: NumbersMode = Field(
        default="binary",
        description="The form of fractions in messages and in the flow: `binary` has about 16 digits, `exact` keeps "
        "every digit.",
    )


PREFETCH: Final = 1000
"""The largest number of messages that one trigger may hold at once."""


class ConsumeSettings(BaseModel):
    """The engine's part of a broker trigger's settings, beside the trigger's own."""

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
        description="The largest number of unacknowledged messages, and of messages that share a commit.",
    )
    connect_timeout: Interval = Field(
        default=timedelta(seconds=60),
        description="The longest time until the trigger listens; after it, the attempt fails and is repeated.",
    )
    body: Literal["auto", "json", "text", "raw"] = Field(
        default="auto",
        description="The decoding of bytes: `auto` goes by their media type, and without one tries JSON and then "
        "text; `json` and `text` ignore the type; `raw` keeps them as one attachment.",
    )
    dedupe_key: Annotated[str | Annotated[tuple[str, ...], Field(min_length=1)] | None, Reach("expression")] = Field(
        default=None,
        description="An expression, or several that form one key: a message whose key was seen within the window "
        "starts nothing. By default the id of the message.",
    )
    dedupe_window: Duration = Field(default=timedelta(days=7), description="The time for which keys are remembered.")
    max_body: int = Field(
        default=10_000_000,
        gt=0,
        description="The largest body that is not an attachment, in bytes; a message with a larger one is rejected.",
    )
    keep_rejected_bodies: bool = Field(
        default=False,
        description="Keep the beginning of the body of each rejected message, to find the sender's error.",
    )
    numbers: NumbersMode = Field(
        default="binary",
        description="The form of fractions in messages and in the flow: `binary` has about 16 digits, `exact` keeps "
        "every digit.",
    )


Missed = Literal["skip", "once", "all"]

MISSED_KEPT: Final = 1000
"""The largest number of missed runs that `"missed": "all"` makes up for: the newest."""
PUNCTUAL: Final = 60.0
"""Seconds after its time within which a run does not count as missed."""
ONE_AT_A_TIME: Final = "schedule"
"""The order key of all executions of a flow whose schedule doesn't let them overlap."""


class ScheduleSettings(BaseModel):
    """The engine's part of a schedule's settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missed: Missed = Field(
        default="once",
        description="The treatment of runs whose time passed while the server was down or the flow was not active: "
        "`skip` leaves them out, `once` runs once for all of them, `all` runs for each, up to the newest 1000.",
    )
    overlap: bool = Field(
        default=False,
        description="Let a run begin while another of the flow is running. Otherwise it counts as missed: `skip` "
        "leaves it out, `once` keeps one for later, `all` keeps each.",
    )


class Schedule(Protocol):
    """The times of a schedule. All have a time zone; `after` and `until` are inverse to each other."""

    def after(self, at: datetime) -> datetime | None:
        """Return the first time after `at`; None if there are no more."""
        ...

    def until(self, at: datetime) -> datetime | None:
        """Return the last time that isn't after `at`; None if there was none."""
        ...


class Firing(msgspec.Struct, frozen=True):
    """The body of a schedule's message."""

    scheduled_at: str
    """The scheduled time, RFC 3339 in UTC."""
    fired_at: str
    """The time at which the message was made: later than `scheduled_at` if the run was missed."""
    previous_at: str | None
    """`scheduled_at` of the run before; null at the first."""


ID_BYTES: Final = 64 * 1024
"""The largest JSON that may identify a subscription."""
_MOST: Final = 10
"""The largest number of secrets that a scheme tries."""


class SubscriptionRequest(msgspec.Struct, frozen=True, rename={"settings": "given"}):
    """The subscription that a flow needs: its trigger, credential, settings and URL."""

    trigger: str
    credential: str | None
    settings: msgspec.Raw
    """JSON of the trigger's own settings, in canonical form."""
    url: str
    """The URL to which the provider is to send."""

    @property
    def identity(self) -> bytes:
        """Equal if two requests are for the same subscription."""
        return encode([self.trigger, self.credential, self.url]) + bytes(self.settings)


class SubscriptionAttempt(msgspec.Struct, frozen=True, rename={"request": "asked"}):
    """A subscription that was about to be made. It isn't known yet if the provider has it."""

    request: SubscriptionRequest
    secret: str
    """Empty if the provider makes it."""
    at: datetime


class ProviderSubscription(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"request": "asked", "remove_since": "leaving_at"}
):
    """A subscription that the provider has."""

    request: SubscriptionRequest
    id: msgspec.Raw
    """JSON of the provider's id for it, in canonical form."""
    secret: str
    at: datetime
    """The time at which it was made, or last renewed."""
    expires_at: datetime | None = None
    remove_since: datetime | None = None
    """The time since which it is to be removed."""

    @property
    def key(self) -> tuple[str, bytes]:
        """Equal if two are the same subscription at the provider."""
        return self.request.trigger, bytes(self.id)


class RetiredSecret(msgspec.Struct, frozen=True):
    """A secret that no longer signs anything. Requests that were signed with it before may still arrive."""

    secret: str
    until: datetime


class SubscriptionState(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"attempt": "begun", "removing": "leaving"}
):
    """The stored state of a flow's subscription. It keeps the field names of earlier versions in the store."""

    current: ProviderSubscription | None = None
    attempt: SubscriptionAttempt | None = None
    removing: tuple[ProviderSubscription, ...] = ()
    retired: tuple[RetiredSecret, ...] = ()

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets with which a request may be signed, the newest first."""
        found = [
            self.attempt.secret if self.attempt is not None else "",
            "" if self.current is None else self.current.secret,
        ]
        found += [one.secret for one in self.removing]
        found += [one.secret for one in self.retired if one.until > now]
        return tuple(dict.fromkeys(filter(None, found)))[:_MOST]
