"""What the annotation of an action's result may say besides its type, so that flows can be checked by it.

As in `-> Annotated[JsonValue, GivesSetting("body")]`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GivesSetting:
    """The result is the value of one of the action's settings."""

    name: str


@dataclass(frozen=True, slots=True)
class PassesWhere:
    """The message passes where a setting is true, and the branch ends where it is false."""

    name: str


@dataclass(frozen=True, slots=True)
class NeverPasses:
    """No step after the action runs: it ends the execution."""
