"""Which steps of a flow run before which: what has to be done again when one of them is."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from hookline.flows.blocks.action import ActionNode
from hookline.flows.blocks.block import Node
from hookline.flows.blocks.foreach import ForeachNode
from hookline.flows.blocks.parallel import ParallelNode
from hookline.flows.blocks.switch import SwitchNode
from hookline.flows.blocks.try_block import TryNode

_ITEM: Final = re.compile(r"\[(\d+)\]$")


class RelativePosition(Enum):
    """Where a step stands, seen from another."""

    BEFORE = "before"
    BESIDE = "beside"
    """In another branch, or of another item."""
    AROUND = "around"
    """A block that holds the other."""
    AFTER = "after"
    """It, in it, or behind it."""


class _Level(NamedTuple):
    """One level of the way to a step."""

    part: int
    """Which of its block's lists of steps it is in."""
    place: int
    beside: bool
    """The lists of that block run side by side."""


@dataclass(frozen=True, slots=True)
class OrderedStep:
    """A step, and the way to it from the top."""

    node: Node
    way: tuple[_Level, ...]
    taken: bool
    """Its failure is taken by itself or by something around it."""


class StepOrder:
    """The steps of a flow by their paths."""

    def __init__(self, steps: Sequence[Node]) -> None:
        self._placed = dict(_placed(steps, "", (), part=0, beside=False, taken=False))

    def find(self, path: str) -> OrderedStep | None:
        """The step with a path, such as `lines[3]/post`; whichever its items are."""
        return self._placed.get(without_items(path))

    def paths_of(self, step_id: str) -> list[str]:
        """The paths of steps with an id, without items."""
        return [path for path, placed in self._placed.items() if placed.node.id == step_id]

    def paths(self) -> Iterator[str]:
        """All of them, in the order of the document."""
        return iter(self._placed)

    def standing(self, path: str, other: str) -> RelativePosition | None:
        """Where the step at `path` stands, seen from that at `other`; None where the flow hasn't both."""
        first, second = self.find(path), self.find(other)
        if first is None or second is None:
            return None
        names, others = path.split("/"), other.split("/")
        for level, (turn, there) in enumerate(zip(first.way, second.way, strict=False)):
            if turn.part != there.part:
                if turn.beside:
                    return RelativePosition.BESIDE
                return RelativePosition.BEFORE if turn.part < there.part else RelativePosition.AFTER
            if turn.place != there.place:
                return RelativePosition.BEFORE if turn.place < there.place else RelativePosition.AFTER
            inside = level + 1 < min(len(names), len(others))
            if inside and names[level] != others[level]:
                return RelativePosition.BESIDE
        return RelativePosition.AROUND if len(first.way) < len(second.way) else RelativePosition.AFTER


def without_items(path: str) -> str:
    """A step's path without the places of items: `lines/post`."""
    return "/".join(_ITEM.sub("", part) for part in path.split("/"))


def lists_in(node: Node) -> tuple[tuple[Node, ...], ...]:
    """The lists of steps inside a block, in the order in which they run; none for an action."""
    match node:
        case SwitchNode():
            return tuple(case.steps for case in node.cases)
        case ForeachNode():
            return (node.steps,)
        case ParallelNode():
            return tuple(node.branches.values())
        case TryNode():
            return (node.steps, node.handler or (), node.last)
    return ()


def _placed(
    steps: Sequence[Node], prefix: str, way: tuple[_Level, ...], *, part: int, beside: bool, taken: bool
) -> Iterator[tuple[str, OrderedStep]]:
    for index, node in enumerate(steps):
        here = (*way, _Level(part, index, beside))
        path = prefix + node.id
        lenient = getattr(node, "on_error", "fail") == "continue"
        yield path, OrderedStep(node, here, taken or (lenient and isinstance(node, ActionNode)))
        for number, inner in enumerate(lists_in(node)):
            caught = isinstance(node, TryNode) and node.handler is not None and number == 0
            yield from _placed(
                inner,
                f"{path}/",
                here,
                part=number,
                beside=isinstance(node, ParallelNode),
                taken=taken or lenient or caught,
            )
