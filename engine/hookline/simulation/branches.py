"""The steps of a flow, and the branches that it may take, as cases and reports name them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.flows.blocks.block import Node
from hookline.flows.blocks.foreach import ForeachNode
from hookline.flows.blocks.parallel import ParallelNode
from hookline.flows.blocks.switch import SwitchNode
from hookline.flows.blocks.try_block import TryNode
from hookline.flows.compiler.compile import ON_ERROR
from hookline.flows.compiler.compiled import CompiledFlow

_INDEX: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Branch:
    """Steps of which it depends on the message, or on a failure, whether they run."""

    name: str
    """`switch case 2`, `otherwise`, `catch`."""
    pointer: str
    of: str
    """The path of the block."""
    steps: tuple[str, ...]
    """Paths of the steps directly in it."""
    case: int | None = None
    """Of a switch: its number, from 0."""


@dataclass(frozen=True, slots=True)
class Places:
    """What there is to come to in a flow; paths are without the numbers of items."""

    steps: dict[str, Node]
    branches: tuple[Branch, ...]


def places_of(flow: CompiledFlow) -> Places:
    """The steps and branches of a flow, in the order of the text."""
    steps: dict[str, Node] = {}
    branches: list[Branch] = []
    _collect(flow.steps, "", steps, branches)
    _collect(flow.on_error_steps, ON_ERROR, steps, branches)
    return Places(steps, tuple(branches))


def without_items(path: str) -> str:
    """The path of a step without the numbers of items: `lines/post` of `lines[3]/post`."""
    return _INDEX.sub("", path)


def lane(path: str, side_by_side: Mapping[str, Node]) -> tuple[str, ...]:
    """What the step at a path runs one after the other with: the branches and items around it that have others beside.

    `side_by_side`: the blocks whose parts run so, by path.
    """
    parts = path.split("/")
    found: list[str] = []
    for length in range(1, len(parts)):
        around = "/".join(parts[:length])
        node = side_by_side.get(without_items(around))
        if isinstance(node, ForeachNode):
            found.append(around)
        elif isinstance(node, ParallelNode):
            inner = without_items(parts[length])
            branch = next(
                (name for name, steps in node.branches.items() if any(one.id == inner for one in steps)), inner
            )
            found.append(f"{around}/{branch}")
    return tuple(found)


def side_by_side(places: Places) -> dict[str, Node]:
    """The blocks whose parts run side by side, by path."""
    return {
        path: node
        for path, node in places.steps.items()
        if isinstance(node, ParallelNode) or (isinstance(node, ForeachNode) and node.concurrency > 1)
    }


def _collect(nodes: Sequence[Node], prefix: str, steps: dict[str, Node], branches: list[Branch]) -> None:
    for node in nodes:
        path = prefix + node.id
        steps[path] = node
        branches += _branches(node, path)
        for inside in lists_of(node):
            _collect(inside, f"{path}/", steps, branches)


def _branches(node: Node, path: str) -> Iterator[Branch]:
    if isinstance(node, SwitchNode):
        for number, case in enumerate(node.cases):
            name = "otherwise" if case.when is None else f"case {number + 1}"
            yield Branch(name, f"{node.pointer}/switch/{number}", path, _paths(case.steps, path), number)
    elif isinstance(node, TryNode) and node.handler is not None:
        yield Branch("catch", f"{node.pointer}/catch", path, _paths(node.handler, path))


def _paths(nodes: Sequence[Node], path: str) -> tuple[str, ...]:
    return tuple(f"{path}/{node.id}" for node in nodes)


def lists_of(node: Node) -> Iterator[Sequence[Node]]:
    """The lists of steps in a block."""
    match node:
        case ForeachNode():
            yield node.steps
        case SwitchNode():
            yield from (case.steps for case in node.cases)
        case ParallelNode():
            yield from node.branches.values()
        case TryNode():
            yield from (node.steps, node.handler or (), node.last)
        case _:
            pass
