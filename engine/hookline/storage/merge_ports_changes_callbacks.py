"""What steps wait for, and what comes for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

EARLY_KEPT: Final = 1000
"""Callbacks that are kept of a step before anybody asks for their keys."""


@dataclass(frozen=True, slots=True)
class Await:
    """A step of a running execution waits for a callback; one that was kept for its key is its own from now on."""

    execution_id: str
    path: str
    flow_id: str
    step_id: str
    key: str | None
    """Callbacks with this key find it, besides those that name it."""
    at: datetime


@dataclass(frozen=True, slots=True)
class CallBack:
    """Something has come for a step that waits, or will. Gives a `CallbackOutcome`.

    The execution becomes ready where the step waits. With neither execution nor path it goes to the step that has asked
    for its key longest, or is kept until `until` for one that will.
    """

    id: str
    execution_id: str | None
    path: str | None
    flow_id: str
    """The flow that waits."""
    step_id: str
    key: str | None
    digest: bytes
    """Of what it says: an identical one is a repetition."""
    at: datetime
    until: datetime | None
    payload: bytes
    """As `pack_callback` gives it."""
    blob_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeOut:
    """A step has waited long enough. Gives `TimedOut`, and then nothing may come any more; or `Called`."""

    id: str
    execution_id: str
    path: str
    flow_id: str
    step_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Settle:
    """A step waits no more."""

    execution_id: str
    path: str


@dataclass(frozen=True, slots=True)
class ForgetCallbacks:
    """What came for the executions is given up. One that has not ended, or was reopened, keeps it."""

    execution_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForgetEarly:
    """What came before anybody asked for its key, and was kept until now, is given up, and its files with it."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Called:
    """The callback is durable, and is this execution's; None where it waits for one that asks for its key."""

    execution_id: str | None


@dataclass(frozen=True, slots=True)
class CalledBefore:
    """Another came first; nothing was changed."""

    execution_id: str | None
    identical: bool
    """It said the same."""


@dataclass(frozen=True, slots=True)
class NotAwaited:
    """There is no such execution, it has ended, or the step waits no more."""


@dataclass(frozen=True, slots=True)
class TooManyEarly:
    """As many as may wait for somebody who asks for their keys do."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nothing had come."""


CallbackOutcome: TypeAlias = Called | CalledBefore | NotAwaited | TooManyEarly
