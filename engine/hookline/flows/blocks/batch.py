"""The `batch` step, which gathers messages of several executions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from pydantic import ValidationError

from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.scope_check import VisibleNames
from hookline.kernel.pointers_and_patches import adding, parts_of, removing, replacing
from hookline.model.batch import MAX_BATCH_SIZE, BatchSettings
from hookline.model.flow import ActionStep

USE: Final = "batch"
_WITHIN: Final = "10s"
_NOT_HERE: Final = ("credential", "retry", "timeout", "rate", "delivery")
_REMEDY: Final = "put it at the top, or in a switch, a `try` or a `catch`"
#: The reason and the remedy for each key under which a batch is not allowed.
_PLACES: Final = {
    "steps": ("in a foreach, because one execution would join the batch once for each item", _REMEDY),
    "parallel": ("in a branch of a parallel, because the other branches would wait for it", _REMEDY),
    "finally": ("in a `finally`, which must finish", _REMEDY),
    "on_error": (
        "in `on_error`, which must finish",
        'let "on_error" name a flow, and use the batch in that flow',
    ),
}


@dataclass(frozen=True, slots=True)
class CompiledBatch(CompiledStep):
    """A step that gathers messages in a batch."""

    size: int
    """The number of messages in a full batch."""
    within: timedelta | None
    key: Template | None
    """None if all messages are in one batch."""
    body: Template | None
    """None if each message adds its body."""
    on_error: Literal["fail", "continue"]


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledBatch | None, VisibleNames]:
    behind = step.place.after(step.id)
    document, raw, pointer = step.typed(ActionStep), step.raw, step.pointer
    given = raw.get("with", {})
    for name in _NOT_HERE:
        if name in raw:
            remedy = 'use "within" in "with"' if name == "timeout" else "remove it"
            at = f"{pointer}/{name}"
            message = f"a batch step doesn't accept {name!r}"
            compiling.problem(message, at, "unknown_key", remedy, fix=removing(at))
    for place in _around(pointer):
        if place in _PLACES:
            why, remedy = _PLACES[place]
            compiling.problem(f"a batch step is not allowed {why}", pointer, "batch_place", remedy)
            break
    if not isinstance(given, dict):
        return None, behind
    at = f"{pointer}/with"
    settings: BatchSettings | None = None
    try:
        settings = BatchSettings.model_validate(given)
    except ValidationError as error:
        compiling.problems += model_problems(BatchSettings, given, at, error)
    if settings is not None:
        _bounds(settings, at, compiling)
    key, body = (
        compiling.template(given[name], f"{at}/{name}", step.place) if name in given else None
        for name in ("key", "body")
    )
    if key is not None and key.constant:
        message = "all messages have this key, so it changes nothing"
        remedy = "write an expression, such as $.body.customer, or remove it"
        compiling.problem(message, f"{at}/key", "constant_key", remedy, "warning", fix=removing(f"{at}/key"))
    if document is None or settings is None:
        return None, behind
    compiled = CompiledBatch(
        id=step.id,
        pointer=pointer,
        when=step.when,
        size=settings.size or MAX_BATCH_SIZE,
        within=settings.within,
        key=key,
        body=body,
        on_error=document.on_error,
    )
    return compiled, behind


def _bounds(settings: BatchSettings, pointer: str, compiling: CompileContext) -> None:
    if settings.size is None and settings.within is None:
        message = "no setting says when a batch is complete"
        remedy = 'add "size", or "within", or both'
        compiling.problem(message, pointer, "missing_key", remedy, fix=adding(f"{pointer}/within", _WITHIN))
    elif settings.within is None:
        message = "the last messages may wait forever, because the batch is only complete when it is full"
        fix = adding(f"{pointer}/within", _WITHIN)
        compiling.problem(message, pointer, "batch_for_ever", f'add "within", such as "{_WITHIN}"', "warning", fix=fix)
    elif settings.within <= timedelta():
        message = "no other message can join a batch that is complete at once"
        at = f"{pointer}/within"
        fix = replacing(at, _WITHIN)
        compiling.problem(message, at, "invalid_value", f"write a longer time, such as {_WITHIN}", fix=fix)


def _around(pointer: str) -> Iterator[str]:
    """Yield the keys of the lists of steps around a step, from the outside: those of blocks, and `on_error`."""
    root, _, *rest = parts_of(pointer)
    if root == "on_error":
        yield root
    while rest:
        key = rest[0]
        yield key
        # `/switch/2/steps/0`, `/parallel/name/0`; for other blocks the key and the index in the list.
        rest = rest[{"switch": 4, "parallel": 3}.get(key, 2) :]


BATCH: Final = StepType(
    _compile,
    summary="Gather messages by count and time without occupying a slot. The first execution goes on with all of them.",
    settings=BatchSettings,
    rejects=_NOT_HERE,
)
