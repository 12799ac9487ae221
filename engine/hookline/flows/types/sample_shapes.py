"""Likely shapes of bodies and results, from the samples in a flow's cases. Other messages may have other keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hookline.flows.types.shape import UNKNOWN, Field, ListOf, Record, Shape, Unknown, alternatives, likely, of_value


@dataclass(frozen=True, slots=True)
class Samples:
    """The shapes that samples show."""

    body: Shape = UNKNOWN
    results: Mapping[str, Shape] = field(default_factory=dict)
    """The bodies of steps' results, by the steps' ids."""


NO_SAMPLES: Final = Samples()


def read_samples(cases: Any) -> Samples:
    """The shapes that a file of cases shows. `cases` may be any JSON."""
    given = cases.get("cases") if isinstance(cases, Mapping) else None
    bodies: list[Any] = []
    results: dict[str, list[Any]] = {}
    for case in given if isinstance(given, list) else ():
        if not isinstance(case, Mapping):
            continue
        if isinstance(message := case.get("input"), Mapping) and "body" in message:
            bodies.append(message["body"])
        for step, body in _results(case):
            results.setdefault(step, []).append(body)
    return Samples(shape_of_samples(bodies), {name: shape_of_samples(values) for name, values in results.items()})


def _results(case: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the id of each step with a prepared result, and the body of that result."""
    for key, body in (("stubs", "result"), ("answers", "body")):
        given = case.get(key)
        for path, one in given.items() if isinstance(given, Mapping) else ():
            for each in one if isinstance(one, list) else [one]:
                if isinstance(each, Mapping) and "error" not in each and body in each:
                    yield str(path).rpartition("/")[2], each[body]


def shape_of_samples(values: Iterable[Any]) -> Shape:
    """The likely shape of values such as these: each key of one of them is an optional key."""
    return likely(_merged([_loosened(of_value(value)) for value in values]))


def _loosened(shape: Shape) -> Shape:
    if isinstance(shape, ListOf):
        return ListOf(_merged([_loosened(one) for one in alternatives(shape.item)]))
    if isinstance(shape, Record):
        return Record({name: Field(_loosened(one.shape)) for name, one in shape.fields.items()})
    return shape


def _merged(shapes: list[Shape]) -> Shape:
    records = [shape for shape in shapes if isinstance(shape, Record)]
    lists = [shape for shape in shapes if isinstance(shape, ListOf)]
    rest = [shape for shape in shapes if not isinstance(shape, Record | ListOf | Unknown)]
    # Scalars may have other types in other messages. Only the keys of objects and items of lists are used.
    if rest or not (records or lists) or (records and lists):
        return UNKNOWN
    if lists:
        return ListOf(_merged([inner for one in lists for inner in alternatives(one.item)]))
    names = dict.fromkeys(name for record in records for name in record.fields)
    return Record(
        {
            name: Field(_merged([record.fields[name].shape for record in records if name in record.fields]), False)
            for name in names
        }
    )
