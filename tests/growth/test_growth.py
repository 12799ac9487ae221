"""Everything that a message can make run grows at most as n log n, or rejects the input."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import pytest

from hookline.bodies import json, urlencoded
from hookline.kernel.json import encode
from tests.growth.measure import AT_ONCE, MOST, MOST_WIDE, SMALLEST, Family, Thing, measure, seconds_of
from tests.growth.things import REGISTRIES, all_things, bodies, jinja, languages, patterns, schemas

_SHOWN = 3
#: By default, each thing is given one family of so many, and not the same ones as the other things.
_ONE_OF = 3


def _each(things: Iterable[Thing]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("thing", [pytest.param(thing, id=f"{thing.kind} {thing.name}") for thing in things])


def _by_family() -> Iterator[Any]:
    """Each family with the things of one kind: it takes longer to make a large input than to run most things on it."""
    groups: dict[Family, dict[str, list[Thing]]] = defaultdict(lambda: defaultdict(list))
    for thing in all_things(wide=True):
        for family in thing.families:
            groups[family][thing.kind].append(thing)
    for family, kinds in groups.items():
        for kind, things in kinds.items():
            yield pytest.param(family, things, id=f"{kind}: {family.name}")


def _some_families(thing: Thing) -> Iterator[Family]:
    # A thing with fewer families than that is given one of them, too.
    begins = crc32(thing.name.encode()) % min(_ONE_OF, len(thing.families) or 1)
    return islice(thing.all_families(), begins, None, _ONE_OF)


def _judge(pairs: Iterable[tuple[Thing, Family]], most: int) -> None:
    grown: list[str] = []
    for thing, family in pairs:
        growth = measure(thing, family, most)
        # What other processes do to the caches has changed when it is measured anew, and fast growth has not.
        if growth.is_too_fast and (again := measure(thing, family, most)).is_too_fast:
            grown.append(f"{thing.kind} {thing.name} takes too long over {growth}, and again {again}")
        if len(grown) == _SHOWN:
            break
    assert grown == [], "\n".join(grown)


@pytest.mark.timeout(300)  # the processor time counts; on a busy machine that takes longer
@pytest.mark.rule(16)
@_each(all_things(wide=False))
def test_work_on_what_a_message_says_grows_at_most_as_n_log_n(thing: Thing) -> None:
    most = thing.smallest if thing.smallest > SMALLEST else MOST
    _judge(((thing, family) for family in _some_families(thing)), most)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.rule(16)
@pytest.mark.parametrize(("family", "things"), list(_by_family()))
def test_work_on_the_largest_message_grows_at_most_as_n_log_n(family: Family, things: list[Thing]) -> None:
    _judge(((thing, family) for thing in things), MOST_WIDE)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.rule(16)
@_each(thing for thing in all_things(wide=True) if thing.more_families is not tuple)
def test_work_on_inputs_made_for_it_grows_at_most_as_n_log_n(thing: Thing) -> None:
    _judge(((thing, family) for family in thing.more_families()), MOST_WIDE)


@pytest.mark.rule(16)
def test_there_are_as_many_things_and_inputs_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "discussion" / "bounded-work.md").read_text(encoding="utf-8")
    said = re.search(r"covers ([\d,]+) things, which are given ([\d,]+) inputs by default and ([\d,]+) in", page)
    assert said is not None
    things, few, many = (int(number.replace(",", "")) for number in said.groups())
    default, wide = list(all_things(wide=False)), list(all_things(wide=True))
    assert len(wide) >= things
    assert sum(1 for thing in default for _ in _some_families(thing)) >= few
    assert sum(1 for thing in wide for _ in thing.all_families()) >= many


#: Inputs over which things once grew too fast. They are measured each time, whichever families a thing is given.
_ONCE_TOO_FAST: Final = (
    ("function hookline.secrets.masking.mask_log_fields", "an URL nearly"),
    ("function hookline_email.read_mail.read_mail", "a header of encoded words"),
    ("action csv.parse 1", "columns"),
    ("function dict: {{ dict(body.v) | length }}", "pairs with equal hashes"),
    ("filter unique: {{ body.v | unique }}", "equal hashes"),
    *(
        (f"method {name}: {{{{ body.v.{name}(body.w) }}}}", "a letter between its like")
        for name in ("rsplit", "rfind", "rindex", "rpartition")
    ),
    ("jsonata body.v ~> |$|{'a': 1}|", "one list of many"),
    ("jsonata body.v # $i.{'a': $i}", "one list of many"),
)


@pytest.mark.rule(16)
@pytest.mark.parametrize(("name", "family"), _ONCE_TOO_FAST)
def test_work_that_once_grew_too_fast_is_measured_each_time(name: str, family: str) -> None:
    [thing] = [one for one in all_things(wide=True) if f"{one.kind} {one.name}" == name]
    [hostile] = [one for one in thing.families if one.name == family]

    _judge([(thing, hostile)], MOST)


#: What a bound, or the C of a library, makes short for the largest body. By growth alone it could take seconds.
_AT_ONCE: Final[dict[str, tuple[Callable[[Any], object], Callable[[int], Any]]]] = {
    **{
        f"{name}{call} of a text": (
            languages.expression("jinja", f"{{{{ body.v | {name}{call} }}}}"),
            lambda size: "a" * size,
        )
        for name, calls in jinja.FILTER_CALLS.items()
        for call in calls
        if "body.w" not in call
    },
    "a long text for JSONata to replace": (
        languages.expression("jsonata", "$replace(body.v, body.w, 'ab')"),
        lambda size: "a" * (size // 4),
    ),
    "the check of a list by a schema": (bodies.check_by_schema, lambda size: list(range(size // 24))),
    **{f"the schema's {name}": (schemas.check(schema), make) for name, schema, make in schemas.SLOW},
    "a form of escapes": (lambda given: urlencoded.read_form(given, None), lambda size: b"a=" + b"%41" * (size // 3)),
    "long integers": (
        lambda given: encode(json.read_json(given)),
        lambda size: b"[" + b",".join([b"9" * 4290] * (size // 4291)) + b"]",
    ),
}


@pytest.mark.rule(16)
@pytest.mark.parametrize("name", _AT_ONCE)
def test_what_is_bounded_is_done_at_once_for_the_largest_message(name: str) -> None:
    run, make = _AT_ONCE[name]
    thing = Thing("work", name, run, ())

    assert seconds_of(thing, make(1), make(MOST_WIDE - 100)) < AT_ONCE


def _registries() -> Iterator[tuple[str, set[str], set[str]]]:
    for module in REGISTRIES:
        for table, names, entries in module.registries():
            yield f"{module.__name__}.{table}", set(names), set(entries)


@pytest.mark.rule(16)
def test_patterns_that_are_made_while_the_program_runs_are_known() -> None:
    assert set() == patterns.UNKNOWN, (
        "add them to MADE in tests/growth/things/patterns.py, with what tests their growth"
    )


@pytest.mark.rule(16)
def test_patterns_are_made_by_the_name_that_is_looked_for() -> None:
    other = re.compile(r"^\s*(?:from re import|import re as)\b", re.MULTILINE)
    assert [name for name, file in patterns.sources() if other.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.rule(16)
@pytest.mark.parametrize(("table", "names", "entries"), [pytest.param(*one, id=one[0]) for one in _registries()])
def test_each_entry_of_a_registry_has_things_here(table: str, names: set[str], entries: set[str]) -> None:
    assert names - entries == set(), f"add them to {table} (tests/growth/__init__.py says how)"
    assert entries - names == set(), f"these are gone: remove them from {table}"
