"""Problems that a node notices by itself, and that the others show, too."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

NodeProblemKind: TypeAlias = Literal["source_stopped", "plugin_failed", "disk_budget"]


@dataclass(frozen=True, slots=True)
class NodeProblem:
    """A problem of a node."""

    kind: NodeProblemKind
    subject: str
    """The id of a flow, or the name of a plugin; empty if it concerns all flows."""
    detail: str
    since: datetime
    """The time at which the node noticed it."""
