"""The differences between two documents of a flow, by meaning instead of by line.

Steps are identified by their ids, wherever they are. Whatever doesn't change the version (`$schema`, `title`, layout,
the order of keys) is not a difference.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET

from hookline.flows.blocks import step_type_of
from hookline.flows.blocks.step_walkers import walk_documents
from hookline.flows.compiler.step_ids import assign_step_ids
from hookline.flows.documents.version import SILENT, version_of
from hookline.kernel.json import canonical, encode
from hookline.kernel.pointers_and_patches import parts_of
from hookline.model.flow import BLOCKS

DifferenceKind: TypeAlias = Literal[
    "step_added", "step_removed", "step_moved", "step_renamed", "setting", "mapping", "trigger", "vars", "flow"
]
_MARKS: Final[Mapping[str, str]] = {"step_added": "+", "step_removed": "-", "step_moved": ">", "step_renamed": "="}
#: The keys of the steps that are in no block.
_ROOTS: Final = ("steps", "on_error")
_SHOWN: Final = 300


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One difference."""

    kind: DifferenceKind
    at: str
    """Its place, such as `steps.book.with.table`, `trigger.with.dedupe_key` or `vars.ledger`."""
    old: Any = UNSET
    """The old value: a value, the JSON of a removed step, or the place of a moved step. Unset if there was none."""
    new: Any = UNSET
    place: str | None = None
    """The place of an added or removed step, such as `after book` or `first in each`."""

    def __str__(self) -> str:
        match self.kind:
            case "step_added":
                what = f"{_use(self.new)}, {self.place}"
            case "step_removed":
                what = f"{_use(self.old)}, was {self.place}"
            case "step_moved":
                what = f"was {self.old}, is {self.new}"
            case "step_renamed":
                what = f"is now steps.{self.new}"
            case _:
                what = f"{_shown(self.old)} → {_shown(self.new)}"
        return f"{_MARKS.get(self.kind, '~')} {self.at}: {what}"


def flow_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """The differences of the newer document; none if both are the same version."""
    found = [*_around_steps(old, new), *_Comparison(old, new).differences()]
    if not found and version_of(old) != version_of(new):
        # The documents are not valid flows, for example because two steps have the same id.
        found.append(Difference("flow", "", dict(old), dict(new)))
    return found


def _around_steps(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key in dict.fromkeys((*old, *new)):
        if key in SILENT:
            continue
        before, after = old.get(key, UNSET), new.get(key, UNSET)
        if key in _ROOTS:
            # Steps are compared one by one.
            before, after = ([] if isinstance(each, list) and each else each for each in (before, after))
            if isinstance(before, list) and isinstance(after, list):
                continue
        kind: DifferenceKind = "trigger" if key == "trigger" else "vars" if key == "vars" else "flow"
        yield from _values(kind, key, before, after)


def _values(kind: DifferenceKind, at: str, old: Any, new: Any) -> Iterator[Difference]:
    """Yield the differences between two values, as deep as both have the same form."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            name = f".{key}" if key.replace("-", "_").isidentifier() else f"[{encode(key).decode()}]"
            yield from _values(kind, at + name, old.get(key, UNSET), new.get(key, UNSET))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _values(kind, f"{at}[{index}]", before, after)
    elif not _same(old, new):
        yield Difference(kind, at, old, new)


def _same(old: Any, new: Any) -> bool:
    if old is UNSET or new is UNSET:
        return old is new
    # Like versions: 1, 1.0 and true are three values.
    return canonical(old) == canonical(new)


class _Step(msgspec.Struct, frozen=True):
    id: str
    raw: Mapping[str, Any]
    parent: str
    """The id of the block around it; for steps in no block, the key of the document."""
    slot: str
    """The list of the block that it is in, as the end of a pointer."""
    before: str | None
    """The id of the step before it in that list."""

    @property
    def place(self) -> str:
        inside = "" if self.parent == "steps" else f" in {self.parent}"
        head, _, rest = self.slot.partition("/")
        # The list, if the block has several: a branch, a case, `catch`.
        which = {"": "", "steps": "", "parallel": rest, "switch": f"case {rest.partition('/')[0]}"}.get(head, head)
        where = f"{inside} ({which})" if which else inside
        return f"first{where}" if self.before is None else f"after {self.before}{where}"


def _steps_of(flow: Mapping[str, Any]) -> dict[str, _Step]:
    """The steps of a flow by id, in the order of the text."""
    ids = assign_step_ids(flow)[0].of
    steps: dict[str, _Step] = {}
    last: dict[str, str] = {}
    for root in _ROOTS:
        for pointer, step in walk_documents(flow.get(root), f"/{root}"):
            step_id, above = ids[pointer], pointer.rpartition("/")[0]
            around = above
            while around and around not in ids:
                around = around.rpartition("/")[0]
            parent, slot = (ids[around], above[len(around) + 1 :]) if around else (above[1:], "")
            if step_id not in steps:
                steps[step_id] = _Step(step_id, step, parent, slot, last.get(above))
            last[above] = step_id
    return steps


def _kind(raw: Mapping[str, Any]) -> str | None:
    return next((kind for kind in BLOCKS if kind in raw), None)


def _alone(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A step's JSON without its id and without the steps in it."""
    lists = {parts_of(pointer)[0] for pointer, _ in step_type_of(raw).lists(raw)}
    # An empty list is kept: it has no steps by which it would be compared.
    return {
        key: value for key, value in raw.items() if key != "id" and not (key in lists and value) and key != "switch"
    }


def _cases(raw: Mapping[str, Any]) -> list[Any]:
    given = raw.get("switch")
    return [_settings_of_case(case) for case in given] if isinstance(given, list) else []


def _settings_of_case(case: Any) -> Any:
    return {key: value for key, value in case.items() if key != "steps"} if isinstance(case, dict) else case


class _Comparison:
    """The comparison of the steps of two documents."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._old = _steps_of(old)
        self._new = _steps_of(new)
        self._renamed = dict(self._renames())
        self._pairs = {
            step_id: self._renamed.get(step_id, step_id)
            for step_id in self._old
            if step_id in self._new or step_id in self._renamed
        }
        self._cases = {
            step_id: _paired(_cases(self._old[step_id].raw), _cases(self._new[other].raw))
            for step_id, other in self._pairs.items()
        }

    def differences(self) -> Iterator[Difference]:
        moved = self._moved()
        known = set(self._pairs.values())
        for step_id, step in self._old.items():
            if step_id not in self._pairs:
                yield Difference("step_removed", f"steps.{step_id}", _alone(step.raw), place=step.place)
        for step_id, step in self._new.items():
            if step_id not in known:
                yield Difference("step_added", f"steps.{step_id}", new=_alone(step.raw), place=step.place)
        for step_id, other in self._pairs.items():
            before, after = self._old[step_id], self._new[other]
            if step_id != other:
                yield Difference("step_renamed", f"steps.{step_id}", step_id, other)
            if step_id in moved:
                yield Difference("step_moved", f"steps.{other}", before.place, after.place)
            yield from self._within(before, after)

    def _renames(self) -> Iterator[tuple[str, str]]:
        """Yield the ids of removed steps, each with that of an added step with the same content."""
        added: dict[bytes, list[str]] = {}
        for step_id, step in self._new.items():
            if step_id not in self._old:
                added.setdefault(_content(step.raw), []).append(step_id)
        for step_id, step in self._old.items():
            if step_id not in self._new and (same := added.get(_content(step.raw))):
                yield step_id, same.pop(0)

    def _list_of(self, step: _Step) -> tuple[str, str]:
        """The list that contains a step of the old document, by its name in the new one."""
        parent = self._pairs.get(step.parent, step.parent)
        head, _, rest = step.slot.partition("/")
        if head == "switch" and step.parent in self._cases:
            number, _, tail = rest.partition("/")
            return parent, f"switch/{self._cases[step.parent].get(int(number), f'-{number}')}/{tail}"
        return parent, step.slot

    def _moved(self) -> frozenset[str]:
        """The steps that are in another list than before, or in another order within their list."""
        moved: set[str] = set()
        stayed: dict[tuple[str, str], list[str]] = {}
        for step_id, other in self._pairs.items():
            there = self._list_of(self._old[step_id])
            if there != (self._new[other].parent, self._new[other].slot):
                moved.add(step_id)
            else:
                stayed.setdefault(there, []).append(step_id)
        places = {step_id: place for place, step_id in enumerate(self._new)}
        for listed in stayed.values():
            kept = _longest_rising([places[self._pairs[step_id]] for step_id in listed])
            moved.update(step_id for index, step_id in enumerate(listed) if index not in kept)
        return frozenset(moved)

    def _within(self, before: _Step, after: _Step) -> Iterator[Difference]:
        """Yield the differences within a step."""
        at, old, new = f"steps.{after.id}", _alone(before.raw), _alone(after.raw)
        if ("id" in before.raw) != ("id" in after.raw):
            # The derived id is now written in the flow, or the other way round.
            yield Difference("setting", f"{at}.id", before.raw.get("id", UNSET), after.raw.get("id", UNSET))
        maps = old.get("use") == new.get("use") == "map"
        for key in dict.fromkeys((*old, *new)):
            kind: DifferenceKind = "mapping" if maps and key == "with" else "setting"
            yield from _values(kind, f"{at}.{key}", old.get(key, UNSET), new.get(key, UNSET))
        if _kind(before.raw) == _kind(after.raw) == "parallel":
            yield from _values("setting", f"{at}.parallel", *map(_branches, (before.raw, after.raw)))
        yield from self._cases_within(at, before, after)

    def _cases_within(self, at: str, before: _Step, after: _Step) -> Iterator[Difference]:
        old, new, pairs = _cases(before.raw), _cases(after.raw), self._cases[before.id]
        for number, case in enumerate(old):
            if number not in pairs:
                yield Difference("setting", f"{at}.switch[{number}]", case)
        for number, case in enumerate(new):
            if number not in pairs.values():
                yield Difference("setting", f"{at}.switch[{number}]", new=case)
        for number, other in pairs.items():
            yield from _values("setting", f"{at}.switch[{other}]", old[number], new[other])
        if list(pairs.values()) != sorted(pairs.values()):
            yield Difference("setting", f"{at}.switch", old, new)


def _content(raw: Mapping[str, Any]) -> bytes:
    return canonical({key: value for key, value in raw.items() if key != "id"})


def _branches(raw: Mapping[str, Any]) -> Any:
    """The branches of a parallel without their steps."""
    given = raw.get("parallel")
    return {name: [] for name in given} if isinstance(given, dict) else given


def _paired(old: Sequence[Any], new: Sequence[Any]) -> dict[int, int]:
    """The number of each old case of a switch and that of the new case with the same condition; the rest in order."""
    pairs: dict[int, int] = {}
    left = dict(enumerate(new))
    for number, case in enumerate(old):
        same = next((other for other, candidate in left.items() if _same(case, candidate)), None)
        if same is not None:
            pairs[number] = same
            del left[same]
    rest = [number for number in range(len(old)) if number not in pairs]
    pairs.update(zip(rest, list(left), strict=False))
    return dict(sorted(pairs.items()))


def _longest_rising(numbers: Sequence[int]) -> frozenset[int]:
    """The indexes of a longest increasing subsequence of different numbers."""
    ends: list[int] = []
    by_length: list[int] = []
    before: list[int | None] = []
    for index, number in enumerate(numbers):
        length = bisect_left(ends, number)
        ends[length:] = [number, *ends[length + 1 :]]
        before.append(by_length[length - 1] if length else None)
        by_length[length:] = [index, *by_length[length + 1 :]]
    found: list[int] = []
    last = by_length[-1] if by_length else None
    while last is not None:
        found.append(last)
        last = before[last]
    return frozenset(found)


def _use(step: Any) -> str:
    return str(step.get("use") or _kind(step) or "switch")


def _shown(value: Any) -> str:
    if value is UNSET:
        return "nothing"
    text = encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
