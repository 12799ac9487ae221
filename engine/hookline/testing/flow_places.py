"""The steps of a flow, and the branches that it may take, as cases and reports name them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.flows.blocks.attempt import TryNode
from hookline.flows.blocks.block import Node
from hookline.flows.blocks.foreach import ForeachNode
from hookline.flows.blocks.parallel import ParallelNode
from hookline.flows.blocks.switch import SwitchNode
from hookline.flows.compile import ON_ERROR
from hookline.flows.compiled import CompiledFlow

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


def _collect(nodes: Sequence[Node], prefix: str, steps: dict[str, Node], branches: list[Branch]) -> None:
    for node in nodes:
        path = prefix + node.id
        steps[path] = node
        branches += _branches(node, path)
        for inside in _lists(node):
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


def _lists(node: Node) -> Iterator[Sequence[Node]]:
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
