"""The things whose growth is measured, one module for each registry that lists them."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Final

from tests.growth.families import CORE
from tests.growth.measure import Thing
from tests.growth.things import actions, bodies, jinja, languages, patterns

#: The modules with tables, each of whose entries has to be in its registry, and the other way round.
REGISTRIES: Final[tuple[ModuleType, ...]] = (jinja, languages, bodies, actions)
_FIRST: Final = 2**15


def all_things(*, wide: bool) -> Iterator[Thing]:
    """Each thing; `wide`: with all families of input."""
    yield from patterns.things(wide=wide)
    for module in REGISTRIES:
        for thing in module.things():
            few = not wide and module in (jinja, languages)
            # There are so many of them that each is first tried at a size at which a square takes long.
            core = tuple(one for one in thing.families if one.name in CORE)
            yield replace(thing, families=core, smallest=_FIRST) if few else thing
