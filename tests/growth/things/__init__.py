"""The things whose growth is measured, one module for each registry that lists them."""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

from tests.growth.measure import Thing
from tests.growth.things import jinja, patterns

#: The modules with tables, each of whose entries has to be in its registry, and the other way round.
REGISTRIES: Final[tuple[ModuleType, ...]] = (jinja,)


def all_things(*, wide: bool) -> Iterator[Thing]:
    """Each thing; `wide`: with all families of input."""
    yield from patterns.things(wide=wide)
    for module in REGISTRIES:
        yield from module.things()
