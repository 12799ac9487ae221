"""Where in a flow its waiting steps stand: their URLs are known before they are reached."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hookline.flows.blocks import block_of
from hookline.flows.blocks.webhook_wait import USE


@dataclass(frozen=True, slots=True)
class WaitPlace:
    """A waiting step's place."""

    id: str
    item_of: str | None
    """Pointer of the innermost foreach around it; None where it stands in none."""
    tail: str
    """Its path from there: what comes after the item's prefix."""


def wait_places(steps: Any, pointer: str, ids: Mapping[str, str], prefix: str = "") -> tuple[WaitPlace, ...]:
    """The places of all waiting steps in a list of steps, of which nothing is taken for granted."""
    return tuple(_places(steps, pointer, ids, None, prefix))


def _places(steps: Any, pointer: str, ids: Mapping[str, str], item_of: str | None, prefix: str) -> Iterator[WaitPlace]:
    for index, step in enumerate(steps if isinstance(steps, list) else ()):
        if not isinstance(step, dict):
            continue
        at = f"{pointer}/{index}"
        step_id = ids[at]
        if step.get("use") == USE:
            yield WaitPlace(step_id, item_of, prefix + step_id)
        block = block_of(step)
        within, inner_prefix = (at, "") if block.item is not None else (item_of, f"{prefix}{step_id}/")
        for below, inner in block.lists(step):
            yield from _places(inner, at + below, ids, within, inner_prefix)
