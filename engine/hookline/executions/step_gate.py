"""The gate before the steps of a run: it decides whether the run goes on. A dry run has another one."""

from collections.abc import Sequence
from typing import Final

from hookline.flows.blocks.block import Node


class StepGate:
    """Lets a run go on: each method returns True to go on, False to end the run there. The gate of a real run is always
    open; see `DryRun` for the other one."""

    __slots__ = ()

    def may_reach(self, path: str, node: Node) -> bool:
        """Return whether the run may go on to a step."""
        return True

    def may_enter_foreach(self, path: str, total: int, *, many: bool) -> bool:
        """Return whether the run may go on to the items of a foreach; `many`: their entries aren't kept."""
        return True

    def may_act(self, path: str) -> bool:
        """Return whether the run may take effect, or wait, at a step."""
        return True

    def mark_reached_later(self, prefix: str, nodes: Sequence[Node]) -> None:
        """Note that these steps will be reached later, although the run waits before them now."""


OPEN: Final = StepGate()
