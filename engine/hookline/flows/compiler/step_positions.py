"""The order in which a flow's steps run, for a replay: the steps before a chosen step keep their results."""

from collections.abc import Iterator, Sequence
from enum import Enum

from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import WalkedStep, walk_steps, without_items


class RelativePosition(Enum):
    """The position of one step relative to another."""

    BEFORE = "before"
    BESIDE = "beside"
    """In another branch, or for another item."""
    AROUND = "around"
    """A block that contains the other step."""
    AFTER = "after"
    """The other step itself, a step inside it, or a later step."""


class StepPositions:
    """The steps of a flow by their paths."""

    def __init__(self, steps: Sequence[CompiledStep]) -> None:
        self._steps = {step.path: step for step in walk_steps(steps)}

    def find(self, path: str) -> WalkedStep | None:
        """Return the step with a path such as `lines[3]/post`, whatever the numbers of items in it."""
        return self._steps.get(without_items(path))

    def paths_of(self, step_id: str) -> list[str]:
        """The paths, without items, of the steps with an id."""
        return [path for path, step in self._steps.items() if step.compiled.id == step_id]

    def paths(self) -> Iterator[str]:
        """All paths, without items, in the order of the document."""
        return iter(self._steps)

    def position(self, path: str, other: str) -> RelativePosition | None:
        """The position of the step at `path` relative to the one at `other`; None if the flow lacks one of them."""
        first, second = self.find(path), self.find(other)
        if first is None or second is None:
            return None
        names, others = path.split("/"), other.split("/")
        ours, theirs = _from_top(first), _from_top(second)
        for level, (one, two) in enumerate(zip(ours, theirs, strict=False)):
            if one.list_number != two.list_number:
                if one.block is not None and isinstance(one.block.compiled, CompiledParallel):
                    return RelativePosition.BESIDE
                return RelativePosition.BEFORE if one.list_number < two.list_number else RelativePosition.AFTER
            if one.index != two.index:
                return RelativePosition.BEFORE if one.index < two.index else RelativePosition.AFTER
            inside = level + 1 < min(len(names), len(others))
            if inside and names[level] != others[level]:
                return RelativePosition.BESIDE
        return RelativePosition.AROUND if len(ours) < len(theirs) else RelativePosition.AFTER


def _from_top(step: WalkedStep) -> list[WalkedStep]:
    return [*reversed(list(step.blocks())), step]
