"""The chart of a flow: its steps with the texts that a drawing shows, whatever its format."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import ValidationError

from hookline.flows.blocks.batch import USE as BATCH
from hookline.flows.blocks.flow_call import USE as FLOW
from hookline.flows.blocks.webhook_wait import USE as WEBHOOK
from hookline.flows.compiler.step_ids import assign_step_ids
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.documents.read import Document
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.json import encode
from hookline.kernel.pointers_and_patches import escape
from hookline.model.flow import BLOCKS, FlowDocument

StepKind: TypeAlias = Literal["action", "call", "wait", "switch", "foreach", "parallel", "try"]
ListKind: TypeAlias = Literal["case", "item", "branch", "try", "catch", "finally"]

_ENDS: Final = ("stop", "fail")
"""The actions after which no other step runs."""
_LONGEST: Final = 200
_SPACE: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class ChartStep:
    """A step. No text in it has control characters or line breaks."""

    id: str
    kind: StepKind
    text: str
    """Its action, such as `http.request`, or what the block does."""
    notes: tuple[str, ...] = ()
    """The conditions under which it runs, and what follows if it fails."""
    lists: "tuple[ChartList, ...]" = ()
    """The lists of steps in a block."""
    ends: bool = False
    """True if no step runs after it."""
    calls: str | None = None
    """The id of the flow that it calls."""

    @property
    def title(self) -> str:
        """Its first line in a drawing."""
        return f"{self.id}: {self.text}"

    @property
    def has_otherwise(self) -> bool:
        """True if one of the cases of a switch runs in any case."""
        return any(one.label == OTHERWISE for one in self.lists)


@dataclass(frozen=True, slots=True)
class ChartList:
    """A list of steps in a block."""

    kind: ListKind
    label: str
    steps: tuple[ChartStep, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A flow."""

    id: str
    title: str
    trigger: str
    steps: tuple[ChartStep, ...]
    on_error: tuple[ChartStep, ...]
    """The steps that run if an execution fails."""


OTHERWISE: Final = "otherwise"


def chart_of(document: Document) -> Chart:
    """Return the chart of a flow. Raises FlowInvalid if the document hasn't the form of a flow."""
    value = document.value
    if not isinstance(value, dict):
        raise FlowInvalid(document.place([Problem("a flow is an object", "", "wrong_type", "write { … }")]))
    try:
        FlowDocument.model_validate(value)
    except ValidationError as error:
        raise FlowInvalid(document.place(model_problems(FlowDocument, value, "", error))) from None
    ids = assign_step_ids(value)[0].of
    on_error = value.get("on_error")
    after: tuple[ChartStep, ...]
    if isinstance(on_error, str):
        after = (ChartStep("on_error", "call", f"starts flow {plain(on_error)}", calls=plain(on_error)),)
    else:
        after = _steps(on_error, "/on_error", ids)
    trigger = value["trigger"]
    return Chart(
        plain(value["id"]),
        plain(value.get("title", "")),
        plain(str(trigger["use"])),
        _steps(value["steps"], "/steps", ids),
        after,
    )


def plain(text: str) -> str:
    """Return a text in one line, without characters that a terminal would obey or that XML doesn't allow."""
    line = _SPACE.sub(" ", text).strip()
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}…"
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in line)


def _steps(steps: Sequence[Mapping[str, Any]] | None, pointer: str, ids: Mapping[str, str]) -> tuple[ChartStep, ...]:
    return tuple(_step(step, f"{pointer}/{index}", ids) for index, step in enumerate(steps or ()))


def _step(step: Mapping[str, Any], pointer: str, ids: Mapping[str, str]) -> ChartStep:
    name, notes = plain(ids[pointer]), tuple(_notes(step))
    for key in BLOCKS:
        if key in step:
            text, lists = _BLOCKS[key](step, pointer, ids)
            kind: StepKind = key  # type: ignore[assignment]  # the keys of the blocks are kinds
            return ChartStep(name, kind, text, notes, lists)
    use, settings = step["use"], step.get("with", {})
    if use == FLOW:
        called = plain(str(settings.get("id", "")))
        verb = "starts" if settings.get("wait") is False else "calls"
        return ChartStep(name, "call", f"{verb} flow {called}", notes, calls=called)
    if use in (WEBHOOK, BATCH):
        text = "waits for a callback" if use == WEBHOOK else "waits for a batch"
        return ChartStep(name, "wait", text, notes)
    return ChartStep(name, "action", plain(use), notes, ends=use in _ENDS and "when" not in step)


def _notes(step: Mapping[str, Any]) -> Iterator[str]:
    if "when" in step:
        yield f"only if {_shown(step['when'])}"
    if step.get("on_error") == "continue":
        yield "goes on if it fails"


def _switch(step: Mapping[str, Any], pointer: str, ids: Mapping[str, str]) -> tuple[str, tuple[ChartList, ...]]:
    cases = tuple(
        ChartList(
            "case",
            OTHERWISE if case.get("otherwise") else f"if {_shown(case['when'])}",
            _steps(case["steps"], f"{pointer}/switch/{number}/steps", ids),
        )
        for number, case in enumerate(step["switch"])
    )
    return ("every case that holds" if step.get("match") == "all" else "the first case that holds"), cases


def _foreach(step: Mapping[str, Any], pointer: str, ids: Mapping[str, str]) -> tuple[str, tuple[ChartList, ...]]:
    at_once = step.get("concurrency", 1)
    beside = f", {at_once} side by side" if at_once > 1 else ""
    item = plain(step.get("as", "item"))
    text = f"for each {item} of {_shown(step['foreach'])}{beside}"
    return text, (ChartList("item", "each item", _steps(step["steps"], f"{pointer}/steps", ids)),)


def _parallel(step: Mapping[str, Any], pointer: str, ids: Mapping[str, str]) -> tuple[str, tuple[ChartList, ...]]:
    branches = tuple(
        ChartList("branch", plain(name), _steps(steps, f"{pointer}/parallel/{escape(name)}", ids))
        for name, steps in step["parallel"].items()
    )
    return "side by side", branches


def _try(step: Mapping[str, Any], pointer: str, ids: Mapping[str, str]) -> tuple[str, tuple[ChartList, ...]]:
    kinds: tuple[ListKind, ...] = ("try", "catch", "finally")
    lists = tuple(
        ChartList(kind, _TRY[kind], _steps(step[kind], f"{pointer}/{kind}", ids))
        for kind in kinds
        if step.get(kind) is not None
    )
    return "try", lists


_TRY: Final[Mapping[str, str]] = {"try": "try", "catch": "if a step fails", "finally": "in any case"}
_BLOCKS: Final = {"switch": _switch, "foreach": _foreach, "parallel": _parallel, "try": _try}


def _shown(value: Any) -> str:
    return plain(value if isinstance(value, str) else encode(value).decode())
