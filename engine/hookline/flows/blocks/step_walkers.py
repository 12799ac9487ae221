"""The walkers of the step tree: one over compiled steps, one over the JSON of a flow's document.

Code in which each kind of block decides what happens to its lists of steps doesn't use them: the engine, the flow
analysis, the check of replies and the chart.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hookline.flows.blocks import step_type_of
from hookline.flows.blocks.step_type import CompiledStep
from hookline.kernel.pointers_and_patches import parts_of

_ITEM: Final = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class WalkedStep:
    """A compiled step and its position in the tree."""

    compiled: CompiledStep
    path: str
    """The ids of the blocks around it and its own, such as `lines/post`."""
    index: int
    """Its index in its list of steps."""
    list_number: int
    """The number of that list among the lists of the block around it."""
    block: "WalkedStep | None"
    """The block around it; None at the top."""

    def blocks(self) -> "Iterator[WalkedStep]":
        """The blocks around it, the innermost first."""
        block = self.block
        while block is not None:
            yield block
            block = block.block


def walk_steps(steps: Sequence[CompiledStep], prefix: str = "") -> Iterator[WalkedStep]:
    """Yield each step of a list and each step inside its blocks, in the order of the text.

    All paths begin with `prefix`.
    """
    return _walk(steps, prefix, 0, None)


def _walk(
    steps: Sequence[CompiledStep], prefix: str, list_number: int, block: WalkedStep | None
) -> Iterator[WalkedStep]:
    for index, compiled in enumerate(steps):
        step = WalkedStep(compiled, prefix + compiled.id, index, list_number, block)
        yield step
        for number, inner in enumerate(compiled.lists):
            yield from _walk(inner, f"{step.path}/", number, step)


def find_step(steps: Sequence[CompiledStep], path: str) -> CompiledStep | None:
    """Return the step with a path, whatever the numbers of items in it; None if there is none."""
    name, _, rest = without_items(path).partition("/")
    compiled = next((compiled for compiled in steps if compiled.id == name), None)
    return (
        compiled
        if compiled is None or not rest
        else find_step([step for inner in compiled.lists for step in inner], rest)
    )


def without_items(path: str) -> str:
    """Return the path of a step without the numbers of items: `lines/post` for `lines[3]/post`."""
    return _ITEM.sub("", path)


def walk_documents(steps: Any, pointer: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the pointer and the JSON of each step in a list and inside its blocks, in the order of the text.

    `steps` may be any JSON; only objects in lists count as steps.
    """
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            at = f"{pointer}/{index}"
            yield at, step
            for below, inner in step_type_of(step).lists(step):
                yield from walk_documents(inner, at + below)


def map_documents(steps: Any, pointer: str, change: Callable[[dict[str, Any], str], Any]) -> Any:
    """Return a list of steps in which `change(step, pointer)` stands for each step, the inner steps changed first."""
    if not isinstance(steps, list):
        return steps
    return [
        change(_with_inner(step, f"{pointer}/{index}", change), f"{pointer}/{index}")
        if isinstance(step, dict)
        else step
        for index, step in enumerate(steps)
    ]


def _with_inner(step: dict[str, Any], pointer: str, change: Callable[[dict[str, Any], str], Any]) -> dict[str, Any]:
    made = step
    for below, inner in step_type_of(step).lists(step):
        made = _replaced(made, parts_of(below), map_documents(inner, pointer + below, change))
    return made


def _replaced(value: Any, parts: Sequence[str], new: Any) -> Any:
    """Return a copy of a JSON value with another one at a path that exists or is a key of an object."""
    if not parts:
        return new
    key, rest = parts[0], parts[1:]
    if isinstance(value, list):
        index = int(key)
        return [*value[:index], _replaced(value[index], rest, new), *value[index + 1 :]]
    return value if key not in value else {**value, key: _replaced(value[key], rest, new)}
