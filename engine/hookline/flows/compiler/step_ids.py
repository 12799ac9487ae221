"""The ids of a flow's steps, derived ones included."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hookline.flows.blocks import BLOCKS, step_type_of
from hookline.flows.blocks.step_walkers import walk_documents
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import replacing
from hookline.model.flow import STEP_ID
from hookline.sdk.settings.setting_upgrades import plain_name

_ID: Final = re.compile(STEP_ID)


@dataclass(frozen=True, slots=True)
class StepIds:
    """The ids of a flow's steps and the names of items, found before the steps are compiled."""

    of: dict[str, str] = field(default_factory=dict)
    """From each step's pointer to its id."""
    pointers: dict[str, str] = field(default_factory=dict)
    """From each id to its step's pointer; for a repeated id, that of the first."""
    items: set[str] = field(default_factory=set)
    """The names that blocks give to their items."""


def assign_step_ids(flow: Mapping[str, Any]) -> tuple[StepIds, list[Problem]]:
    """The ids of all steps of a flow, and problems for ids that are used twice.

    A step without an id gets one from the name that it uses: `stop`, then `stop_2`.
    """
    found, repeated = StepIds(), list[Problem]()
    walked = [*walk_documents(flow.get("steps"), "/steps"), *walk_documents(flow.get("on_error"), "/on_error")]
    for pointer, step in walked:
        name_item = step_type_of(step).item
        if name_item is not None:
            found.items.add(name_item(step))
        given = step.get("id")
        if not isinstance(given, str) or not _ID.match(given):
            continue
        found.of[pointer] = given
        first = found.pointers.setdefault(given, pointer)
        if first != pointer:
            message = f"the id {given!r} is already used by the step at {first}"
            remedy = "give each step of a flow its own id, also inside blocks"
            repeated.append(Problem(message, f"{pointer}/id", "duplicate_id", remedy))
    numbers: dict[str, int] = {}
    for pointer, step in walked:
        if pointer not in found.of:
            derived = _free(_stem(step), found.pointers, numbers)
            found.of[pointer] = derived
            found.pointers[derived] = pointer
    return found, list(_with_free_ids(repeated, found, numbers))


def _with_free_ids(repeated: Iterable[Problem], found: StepIds, numbers: dict[str, int]) -> Iterator[Problem]:
    """Yield the problems of ids that are used twice, each with a fix. Expressions go on naming the first step."""
    taken = set(found.pointers)
    for problem in repeated:
        given = found.of[problem.pointer.removesuffix("/id")]
        free = _free(re.sub(r"_\d+$", "", given), taken, numbers)
        taken.add(free)
        yield replace(problem, fix=replacing(problem.pointer, free))


def _stem(step: Mapping[str, Any]) -> str:
    kind = next((kind for kind in BLOCKS if kind in step), None)
    text = (
        re.sub(r"[^a-z0-9]+", "_", plain_name(str(step.get("use", "step"))).lower()).strip("_")
        if kind is None
        else kind
    )
    return text if _ID.match(text) else f"step_{text}".rstrip("_")


def _free(stem: str, taken: Collection[str], numbers: dict[str, int]) -> str:
    """A name that isn't taken. `numbers`: the last number of each stem, below which all names are taken."""
    number = numbers.get(stem, 1)
    name = stem if number == 1 else f"{stem}_{number}"
    while name in taken:
        number += 1
        name = f"{stem}_{number}"
    numbers[stem] = number
    return name
