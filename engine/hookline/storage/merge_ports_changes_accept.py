"""A message that is accepted."""

from dataclasses import dataclass

from hookline.model.message import Envelope


@dataclass(frozen=True, slots=True)
class Accept:
    """A message is accepted: a queued execution, unless its key was used and its window is still open.

    It isn't ready while another of the flow with its order key, accepted before, has not ended.
    """

    envelope: Envelope
    begun: bool = False
    """Other changes of the same commit say how far it has got already: it isn't handed out as one that never ran."""
    patient: bool = False
    """Its commit may wait a moment for somebody else's, and share it: its sender is over the flow's rate anyway."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durable."""

    execution_id: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Its key was used before, by this execution; nothing was started."""

    execution_id: str
