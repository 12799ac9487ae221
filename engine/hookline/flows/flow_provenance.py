"""The provenance of a value: the expression that made it, the values that it read, and so on, back to the message.

It is found in the flow's version and the execution's journal; nothing is run. It ends at values from outside: the
message, and results of steps that expressions don't compute.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.step_positions import StepPositions
from hookline.flows.elements.expressions import Template
from hookline.kernel.errors import ProvenanceUnknown
from hookline.kernel.json import decode
from hookline.kernel.pointers_and_patches import escape, value_at
from hookline.model.execution import INTERRUPTED, REPLAY, StepRecord, StepState
from hookline.sdk.mappers import Expression

Keys: TypeAlias = tuple[str | int, ...]

MAX_VALUES: Final = 500
"""The most values in an explanation. The origins of further values are left out."""

_MAP: Final = "map"
_PART: Final = re.compile(r"""\.?([^.\[\]'"]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_PATH: Final = re.compile(
    r"""\$(?:\.[^.\[\]*?:,()\s]+|\[\d+\]|\['[^']*'\]|\["[^"]*"\])*|\{\{\s*[\w.]+(?:\[\d+\])*\s*\}\}"""
)
"""Expressions that only follow a path."""
_MISSING: Final = object()
_UNRECORDED: Final = object()
#: The keys of `execution` and of `error`, which every execution and every error has.
_PROPERTIES: Final = frozenset({"id", "attempt", "started_at", "now", "hooks"})
_OF_ERRORS: Final = frozenset({"code", "message", "step", "retryable"})


@dataclass(frozen=True, slots=True)
class Origin:
    """A value and its origin."""

    field: str
    """Its name: `trigger.body.id`, `steps.invoice.body.amount`, or `body.amount` of the execution's last message."""
    value: Any = None
    known: bool = True
    """False if it doesn't exist or was not recorded."""
    step: str | None = None
    """The path of the step that gave it."""
    use: str | None = None
    expressions: tuple[tuple[str, str], ...] = ()
    """The expressions that made it: their JSON pointers in the flow, and their texts."""
    note: str = ""
    """A description of the origin, if there is no expression."""
    reads: tuple["Origin", ...] = ()


@dataclass(frozen=True, slots=True)
class _Position:
    """A position in a list of steps: before one of them, or at the end."""

    steps: Sequence[CompiledStep]
    index: int
    prefix: str = ""
    block: CompiledStep | None = None
    part: int = 0
    outer: "_Position | None" = None
    item: int | None = None


@dataclass(slots=True)
class Provenance:
    """Explains the values of one execution."""

    flow: CompiledFlow
    trigger: Mapping[str, Any]
    """The first message, as `message_scope.trigger_view` gives it."""
    vars: Mapping[str, Any]
    records: Mapping[str, StepRecord]
    """The last journal entry of each path."""
    _left: int = MAX_VALUES
    _order: StepPositions = field(init=False)
    _document: Any = field(init=False)

    def __post_init__(self) -> None:
        self._order = StepPositions(self.flow.steps)
        self._document = self.flow.numbers.decode(self.flow.source)

    def explain(self, text: str) -> Origin:
        """The origin of a field: `steps.<id>.body.…`, `trigger.…`, or `body.…` of the last message.

        A step in a foreach is named by its path: `lines[3]/post.body.id`. Raises ProvenanceUnknown.
        """
        path, keys = self._asked(text)
        if path is not None:
            found = self._step(path, keys)
        else:
            end = _Position(self.flow.steps, len(self.flow.steps))
            root = keys[0]
            if root not in {"body", "headers", "attachments", "steps", "trigger", "vars"}:
                raise ProvenanceUnknown(f"{text}: a field must begin with steps.<id>, trigger, vars, body or headers")
            found = self._read(end, keys)
        if not found.known:
            raise ProvenanceUnknown(f"{text}: {found.note or 'the execution has no such value'}")
        return replace(found, field=text)

    def read_at(self, step: str, path: Keys) -> Origin:
        """The origin of a path that an expression of a step reads. `step`: its path, with the numbers of items."""
        self._left = MAX_VALUES
        return self._read(self._place(step), path)

    def _asked(self, text: str) -> tuple[str | None, Keys]:
        parts = text.rsplit("/", 1)
        if len(parts) == 2:
            last, dot, rest = parts[1].partition(".")
            path = f"{parts[0]}/{last}"
            if dot and self._order.find(path) is not None:
                return path, _keys(rest)
            raise ProvenanceUnknown(f"there is no step {path!r}; the steps are {', '.join(self._order.paths())}")
        return None, _keys(text)

    def _step(self, path: str, keys: Keys) -> Origin:
        """The origin of a part of a step's result."""
        place = self._place(path)
        step = place.steps[place.index]
        record = self.records.get(path)
        label = f"steps.{step.id}{_text(keys)}"
        if record is None and not step.lists:
            return Origin(label, known=False, step=path, note=f"step {path!r} didn't run, or was not recorded")
        if keys and not self._replaces(place):
            # The step passed the message on, so its result is the message before it.
            return replace(self._message(place, keys), field=label)
        return self._given(place, keys)

    def _read(self, place: _Position, keys: Keys) -> Origin:
        """The origin of a path that an expression reads at a position."""
        self._left -= 1
        if self._left < 0:
            return Origin(_text(keys)[1:], known=False, note="further origins are left out")
        root, rest = keys[0], keys[1:]
        if root in ("body", "headers", "attachments"):
            return self._message(place, keys)
        if root == "trigger":
            return self._from_trigger(rest)
        if root == "vars":
            return _leaf(_text(keys)[1:], _dig(self.vars, rest), "a var of the flow")
        if root == "steps" and rest and isinstance(rest[0], str):
            static = self._order.paths_of(rest[0])
            if not static:
                return Origin(_text(keys)[1:], known=False, note=f"the flow has no step {rest[0]!r}")
            return self._step(_dynamic(static[0], place.prefix), rest[1:])
        if root == "execution":
            known = not rest or rest[0] in _PROPERTIES
            return Origin(_text(keys)[1:], known=known, note="a property of the execution")
        return self._named(place, keys)

    def _named(self, place: _Position, keys: Keys) -> Origin:
        """The origin of the item of a foreach, its index, or an error."""
        inner: _Position | None = place
        while inner is not None:
            block, outer = inner.block, inner.outer
            if isinstance(block, CompiledForeach) and outer is not None:
                if keys[0] == block.as_name:
                    return self._item(block, outer, inner.item or 0, keys)
                if keys == ("index",):
                    return Origin("index", inner.item, note=f"the index of the item in {block.id!r}")
            inner = outer
        known = keys[0] == "error" and (len(keys) == 1 or (len(keys) == 2 and keys[1] in _OF_ERRORS))
        return Origin(_text(keys)[1:], known=known, note="the error that is handled at this step" if known else "")

    def _item(self, block: CompiledForeach, outer: _Position, item: int, keys: Keys) -> Origin:
        made = self._made(block.items, (item, *keys[1:]), outer, _UNRECORDED)
        return replace(made, field=_text(keys)[1:], note=f"item {item} of {outer.prefix}{block.id}")

    def _from_trigger(self, keys: Keys) -> Origin:
        return _leaf(f"trigger{_text(keys)}", _dig(self.trigger, keys), "the first message")

    def _message(self, place: _Position, keys: Keys) -> Origin:
        """The origin of a part of the message at a position."""
        for index in range(place.index, -1, -1):
            here = replace(place, index=index)
            if index < len(place.steps):
                edited = self.records.get(f"{place.prefix}{place.steps[index].id}#input")
                if edited is not None and edited.use == REPLAY:
                    value = _dig(self.flow.numbers.decode(edited.output or b"{}"), keys)
                    if value is not _MISSING:
                        return _leaf(
                            _text(keys)[1:], value, "given for the replay, in place of the message before the step"
                        )
            if index and self._replaces(before := replace(here, index=index - 1)):
                return self._given(before, keys)
        return self._outside(place, keys)

    def _outside(self, place: _Position, keys: Keys) -> Origin:
        """The origin of a part of the message with which a list of steps begins."""
        block, outer = place.block, place.outer
        if block is None or outer is None:
            return self._from_trigger(keys)
        if isinstance(block, CompiledForeach) and keys[0] == "body":
            return self._item(block, outer, place.item or 0, keys)
        if isinstance(block, CompiledTry) and place.part == 2:
            return self._end(block, outer, keys)
        return self._message(outer, keys)

    def _replaces(self, place: _Position) -> bool:
        """Return whether a step's result replaced the message."""
        step = place.steps[place.index]
        record = self.records.get(place.prefix + step.id)
        if isinstance(step, CompiledSwitch):
            return step.match == "first" and record is not None and bool(self._cases(record))
        if record is None or record.state is not StepState.SUCCEEDED:
            return False
        return record.output is not None and record.signal in (None, "stream", INTERRUPTED)

    def _given(self, place: _Position, keys: Keys) -> Origin:
        """The origin of a part of a step's own result."""
        step = place.steps[place.index]
        path = place.prefix + step.id
        record = self.records.get(path)
        value = _UNRECORDED
        if record is not None and record.output is not None:
            value = _dig(self.flow.numbers.decode(record.output), keys)
        label = f"steps.{step.id}{_text(keys)}"
        match step:
            case CompiledAction() if step.action.name == _MAP and keys and keys[0] == "body" and step.settings.fields:
                body = step.settings.fields.get("body")
                if body is not None:
                    return replace(self._made(body, keys[1:], place, value), field=label, step=path, use=_MAP)
            case CompiledSwitch() if record is not None:
                chosen = self._cases(record)
                if not chosen or step.match == "all":
                    # The message passed the block.
                    return replace(self._message(place, keys or ("body",)), field=label)
                number = chosen[0]
                steps = step.cases[number].steps
                return self._message(_Position(steps, len(steps), f"{path}/", step, number, place), keys)
            case CompiledTry():
                return self._end(step, place, keys)
            case CompiledParallel() if len(keys) > 1 and keys[0] == "body" and keys[1] in step.branches:
                branch = step.branches[str(keys[1])]
                inner = _Position(branch, len(branch), f"{path}/", step, 0, place)
                return self._message(inner, ("body", *keys[2:]))
            case CompiledForeach() if len(keys) > 1 and keys[0] == "body" and isinstance(keys[1], int):
                item = self._item_of(path, keys[1])
                if item is not None:
                    inner = _Position(step.steps, len(step.steps), f"{path}[{item}]/", step, 0, place, item)
                    return self._message(inner, ("body", *keys[2:]))
        use = record.use if record is not None else None
        return _leaf(label, value, f"the result of {use or step.id}", step=path, use=use)

    def _end(self, step: CompiledTry, place: _Position, keys: Keys) -> Origin:
        """The origin of a part of the message after `try`, or after `catch` if it ran."""
        path = place.prefix + step.id
        record = self.records.get(path)
        view = decode(record.output) if record is not None and record.output is not None else {}
        part = 1 if "error" in view and step.catch_steps is not None else 0
        steps = step.lists[part]
        return self._message(_Position(steps, len(steps), f"{path}/", step, part, place), keys)

    def _item_of(self, path: str, result: int) -> int | None:
        """The index of the item that gave a result, without filtered and failed items; None if no entries are kept."""
        left_out: set[int] = set()
        seen: set[int] = set()
        for found, record in self.records.items():
            if not found.startswith(f"{path}["):
                continue
            number = int(found[len(path) + 1 : found.index("]", len(path))])
            seen.add(number)
            if record.signal == "filtered" or record.state is StepState.FAILED:
                left_out.add(number)
        given = [number for number in sorted(seen) if number not in left_out]
        return given[result] if result < len(given) else None

    def _made(self, template: Template, keys: Keys, place: _Position, value: Any) -> Origin:
        """The origin of a part of a value that a template of the flow gives.

        `value`: the part as it was recorded, `_MISSING` if the recorded value has no such part, or `_UNRECORDED`.
        """
        inner, rest = template, keys
        while rest and (parts := _parts(inner)) is not None:
            if rest[0] not in parts:
                return Origin("", known=False, note="the flow gives no such value there")
            inner, rest = parts[rest[0]], rest[1:]
        if inner.constant:
            found = _dig(inner.value, rest)
            if found is _MISSING:
                return Origin("", known=False, note="a constant in the flow, which has no such value")
            pointer = inner.pointer
            if rest and _has(value_at(self._document, pointer), rest[0]):
                pointer += "".join(f"/{escape(key)}" for key in rest)
            return Origin("", found, expressions=((pointer, ""),), note="a constant in the flow")
        here = tuple(inner.parts())
        reads = tuple(self._read(place, keys_) for keys_ in _read_by(here, rest))
        recorded = value is not _MISSING and value is not _UNRECORDED
        known = recorded or (value is _UNRECORDED and any(read.known for read in reads))
        shown = tuple((at, one.source) for at, one in here)
        note = "" if known else "these expressions give no such value"
        return Origin("", value if recorded else None, known, expressions=shown, note=note, reads=reads)

    def _cases(self, record: StepRecord) -> list[int]:
        chosen: list[int] = decode(record.input or b"{}").get("cases", [])
        return chosen

    def _place(self, path: str) -> _Position:
        """The position of a step."""
        names = path.split("/")
        place = _Position(self.flow.steps, 0)
        for level, name in enumerate(names):
            bare = without_items(name)
            found = next(index for index, step in enumerate(place.steps) if step.id == bare)
            place = replace(place, index=found)
            if level + 1 == len(names):
                break
            step = place.steps[found]
            item = int(name[len(bare) + 1 : -1]) if name != bare else None
            inner = without_items(names[level + 1])
            part, steps = next(
                (number, steps) for number, steps in enumerate(step.lists) if any(one.id == inner for one in steps)
            )
            place = _Position(steps, 0, f"{place.prefix}{name}/", step, part, place, item)
        return place


def _read_by(parts: Sequence[tuple[str, Expression]], rest: Keys) -> Iterator[Keys]:
    """Yield the paths that expressions read. `rest` is added to the path of an expression that only follows one."""
    for _, expression in parts:
        plain = len(expression.references) == 1 and _PATH.fullmatch(expression.source) is not None
        for reference in expression.references:
            if reference.path:
                yield (*reference.path, *rest) if plain else reference.path


def _leaf(label: str, value: Any, note: str, step: str | None = None, use: str | None = None) -> Origin:
    if value is _MISSING:
        return Origin(label, known=False, step=step, use=use, note=f"{note}, which has no such value")
    if value is _UNRECORDED:
        return Origin(label, known=False, step=step, use=use, note=f"{note}, which was not recorded")
    return Origin(label, value, step=step, use=use, note=note)


def _dynamic(static: str, prefix: str) -> str:
    """The path of a step with the numbers of the items around the reader."""
    around = prefix.rstrip("/").split("/") if prefix else []
    names = static.split("/")
    for level, name in enumerate(names[:-1]):
        if level >= len(around) or without_items(around[level]) != name:
            break
        names[level] = around[level]
    return "/".join(names)


def _keys(text: str) -> Keys:
    keys: list[str | int] = []
    at = 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        at = part.end()
        plain, index, single, double = part.groups()
        names = (one for one in (plain, single, double) if one is not None)
        keys.append(int(index) if index is not None else next(names))
    if not keys or at < len(text):
        raise ProvenanceUnknown(f"{text!r} is not a field: write, for example, steps.<id>.body.lines[0].sku")
    return tuple(keys)


def _text(keys: Keys) -> str:
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


def _parts(template: Template) -> Mapping[str | int, Template] | None:
    """The templates of the parts of an object or a list in the flow; None for a constant or an expression."""
    if template.fields is not None:
        return dict(template.fields.items())
    return None if template.items is None else dict(enumerate(template.items))


def _has(value: Any, key: str | int) -> bool:
    if isinstance(value, dict):
        return key in value
    return isinstance(value, list) and isinstance(key, int) and key < len(value)


def _dig(value: Any, keys: Keys) -> Any:
    for key in keys:
        if not _has(value, key):
            return _MISSING
        value = value[key]
    return value
