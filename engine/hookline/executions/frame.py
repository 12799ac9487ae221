"""Where a list of steps has got to, and how it came to its end."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from hookline.executions.interruption import Interruption
from hookline.model.execution import ErrorInfo
from hookline.model.message import Message


class Ending(Enum):
    """How a list of steps came to its end."""

    DONE = "done"
    FILTERED = "filtered"
    STOPPED = "stopped"
    JOINED = "joined"
    """The execution is part of another's batch, which goes on for it: nothing more runs here but each `finally`."""
    WAITING = "waiting"


class StepFailed(Exception):
    """A step failed and nothing in the flow took the error."""

    def __init__(self, error: ErrorInfo, at: datetime | None = None) -> None:
        """`at`: when that was journalled; None where it is recomputed."""
        self.error = error
        self.at = at
        super().__init__(error.message)


class Blocked(Exception):
    """The execution can't go on for a cause outside it: a credential or a plugin is missing."""


@dataclass(slots=True)
class Frame:
    """Where a list of steps has got to: the flow's own, or one item's of a foreach."""

    message: Message
    steps: dict[str, Any]
    """Results by step id, as expressions see them."""
    now: datetime
    """The time of the last commit on the way here, so that recomputing gives the same."""
    prefix: str = ""
    """What comes before a step's id in its path: `lines[3]/`."""
    names: Mapping[str, Any] = field(default_factory=dict)
    """`item`, `index` and their like."""
    lenient: bool = False
    """A block around this takes failures: one that is journalled stands, and is no reason to try again."""
    interruption: Interruption = field(default_factory=Interruption)
    """What may tell it to end."""
    items: Mapping[str, str] = field(default_factory=dict)
    """From the pointer of each foreach around this to the prefix of the item's steps."""
    room: int = 1000
    """How many items a foreach here may have whose entries stay in the journal one by one."""

    def branch(self, part: str, **changes: Any) -> "Frame":
        """A list of steps inside this one, under a longer path; `changes` are to the other fields."""
        return replace(self, prefix=f"{self.prefix}{part}/", **changes)

    def adopt(self, other: "Frame") -> None:
        """Go on from where a branch ended."""
        self.message = other.message
        self.now = max(self.now, other.now)
