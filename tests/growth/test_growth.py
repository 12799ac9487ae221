"""Everything that a message can make run grows at most as n log n, or refuses the input."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.growth.measure import MOST, MOST_WIDE, SMALLEST, Thing, measure
from tests.growth.things import REGISTRIES, all_things, patterns

_SHOWN = 3


def each(*, wide: bool) -> pytest.MarkDecorator:
    things = list(all_things(wide=wide))
    return pytest.mark.parametrize("thing", things, ids=[f"{thing.kind} {thing.name}" for thing in things])


def _judge(thing: Thing, most: int) -> None:
    grown: list[str] = []
    for family in thing.families:
        growth = measure(thing, family, most)
        if growth.is_too_fast:
            grown.append(str(growth))
        if len(grown) == _SHOWN:
            break
    assert grown == [], f"{thing.kind} {thing.name} takes too long over {'; '.join(grown)}"


@pytest.mark.rule(16)
@each(wide=False)
def test_work_on_what_a_message_says_grows_at_most_as_n_log_n(thing: Thing) -> None:
    _judge(thing, thing.smallest if thing.smallest > SMALLEST else MOST)


@pytest.mark.long
@pytest.mark.rule(16)
@each(wide=True)
def test_work_on_the_largest_message_grows_at_most_as_n_log_n(thing: Thing) -> None:
    _judge(thing, MOST_WIDE)


@pytest.mark.rule(16)
def test_there_are_as_many_things_and_inputs_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "discussion" / "bounded-work.md").read_text(encoding="utf-8")
    said = re.search(r"covers ([\d,]+) things, which are given ([\d,]+) inputs by default and ([\d,]+) in", page)
    assert said is not None
    things, few, many = (int(number.replace(",", "")) for number in said.groups())
    default, wide = list(all_things(wide=False)), list(all_things(wide=True))
    assert len(wide) >= things
    assert sum(len(thing.families) for thing in default) >= few
    assert sum(len(thing.families) for thing in wide) >= many


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
@pytest.mark.parametrize(("table", "names", "entries"), [pytest.param(*one, id=one[0]) for one in _registries()])
def test_each_entry_of_a_registry_has_things_here(table: str, names: set[str], entries: set[str]) -> None:
    assert names - entries == set(), f"add them to {table} (tests/growth/__init__.py says how)"
    assert entries - names == set(), f"these are gone: remove them from {table}"
