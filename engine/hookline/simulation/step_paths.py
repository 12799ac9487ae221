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
        steps[step.path] = step.compiled
        branches += _branches(step.compiled, step.path)
    return StepPaths(steps, tuple(branches))


def lane(path: str, side_by_side: Mapping[str, CompiledStep]) -> tuple[str, ...]:
    """Return the branches and items around a step that run beside others; steps that share all of them run in order.

    `side_by_side`: the blocks whose parts run so, by path.
    """
    parts = path.split("/")
    found: list[str] = []
    for length in range(1, len(parts)):
        around = "/".join(parts[:length])
        step = side_by_side.get(without_items(around))
        if isinstance(step, CompiledForeach):
            found.append(around)
        elif isinstance(step, CompiledParallel):
            inner = without_items(parts[length])
            branch = next(
                (name for name, steps in step.branches.items() if any(one.id == inner for one in steps)), inner
            )
            found.append(f"{around}/{branch}")
    return tuple(found)


def side_by_side(places: StepPaths) -> dict[str, CompiledStep]:
    """Return the blocks whose parts run side by side, by path."""
    return {
        path: step
        for path, step in places.steps.items()
        if isinstance(step, CompiledParallel) or (isinstance(step, CompiledForeach) and step.concurrency > 1)
    }


def _branches(step: CompiledStep, path: str) -> Iterator[Branch]:
    if isinstance(step, CompiledSwitch):
        for number, case in enumerate(step.cases):
            name = "otherwise" if case.when is None else f"case {number + 1}"
            yield Branch(name, f"{step.pointer}/switch/{number}", path, _paths(case.steps, path), number)
    elif isinstance(step, CompiledTry) and step.catch_steps is not None:
        yield Branch("catch", f"{step.pointer}/catch", path, _paths(step.catch_steps, path))


def _paths(steps: Sequence[CompiledStep], path: str) -> tuple[str, ...]:
    return tuple(f"{path}/{step.id}" for step in steps)
