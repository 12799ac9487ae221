"""The steps of a flow, and the branches that it may take, as cases and reports name them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import walk_steps, without_items
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.compiler.compile import ON_ERROR_PREFIX
from hookline.flows.compiler.compiled_flow import CompiledFlow


@dataclass(frozen=True, slots=True)
class Branch:
    """Steps that only run for some messages, or after a failure."""

    name: str
    """`switch case 2`, `otherwise`, `catch`."""
    pointer: str
    of: str
    """The path of the block."""
    steps: tuple[str, ...]
    """Paths of the steps directly in it."""
    case: int | None = None
    """The number of the case of a switch, from 0; None for other branches."""


@dataclass(frozen=True, slots=True)
class StepPaths:
    """The steps and branches of a flow that cases can reach; paths have no numbers of items."""

    steps: dict[str, CompiledStep]
    branches: tuple[Branch, ...]


def step_paths(flow: CompiledFlow) -> StepPaths:
    """Return the steps and branches of a flow, in the order of the text."""
    steps: dict[str, CompiledStep] = {}
    branches: list[Branch] = []
    for step in (*walk_steps(flow.steps), *walk_steps(flow.on_error_steps, ON_ERROR_PREFIX)):
        steps[step.path] = step.node
        branches += _branches(step.node, step.path)
    return StepPaths(steps, tuple(branches))


def lane(path: str, side_by_side: Mapping[str, CompiledStep]) -> tuple[str, ...]:
    """Return the branches and items around a step that run beside others; steps that share all of them run in order.

    `side_by_side`: the blocks whose parts run so, by path.
    """
    parts = path.split("/")
    found: list[str] = []
    for length in range(1, len(parts)):
        around = "/".join(parts[:length])
        node = side_by_side.get(without_items(around))
        if isinstance(node, CompiledForeach):
            found.append(around)
        elif isinstance(node, CompiledParallel):
            inner = without_items(parts[length])
            branch = next(
                (name for name, steps in node.branches.items() if any(one.id == inner for one in steps)), inner
            )
            found.append(f"{around}/{branch}")
    return tuple(found)


def side_by_side(places: StepPaths) -> dict[str, CompiledStep]:
    """Return the blocks whose parts run side by side, by path."""
    return {
        path: node
        for path, node in places.steps.items()
        if isinstance(node, CompiledParallel) or (isinstance(node, CompiledForeach) and node.concurrency > 1)
    }


def _branches(node: CompiledStep, path: str) -> Iterator[Branch]:
    if isinstance(node, CompiledSwitch):
        for number, case in enumerate(node.cases):
            name = "otherwise" if case.when is None else f"case {number + 1}"
            yield Branch(name, f"{node.pointer}/switch/{number}", path, _paths(case.steps, path), number)
    elif isinstance(node, CompiledTry) and node.handler is not None:
        yield Branch("catch", f"{node.pointer}/catch", path, _paths(node.handler, path))


def _paths(nodes: Sequence[CompiledStep], path: str) -> tuple[str, ...]:
    return tuple(f"{path}/{node.id}" for node in nodes)
