"""The things whose growth is measured, one module for each registry that lists them."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Final

from tests.growth.families import CORE
from tests.growth.measure import Thing
from tests.growth.things import actions, bodies, jinja, languages, patterns, schemas

#: The modules with tables, each of whose entries has to be in its registry, and the other way round.
REGISTRIES: Final[tuple[ModuleType, ...]] = (jinja, languages, bodies, schemas, actions)
#: The first size that they are tried at: a square takes long there.
_FIRST: Final = 2**15


def all_things(*, wide: bool) -> Iterator[Thing]:
    """Each thing; `wide`: each call of an entry of the languages, and all families of input."""
    yield from patterns.things(wide=wide)
    for module in REGISTRIES:
        if wide or module not in (jinja, languages, schemas):
            yield from module.things()
        else:
            yield from _first_calls(module)


def _first_calls(module: ModuleType) -> Iterator[Thing]:
    """The first call of each entry, with few families: there are too many of them for each run of the tests."""
    seen: set[tuple[str, str]] = set()
    for thing in module.things():
        entry = (thing.kind, thing.name.split(": " if module is jinja else "(")[0])
        if entry not in seen:
            seen.add(entry)
            core = tuple(one for one in thing.families if one.name in CORE)
            yield replace(thing, families=core, smallest=_FIRST)
