"""Languages whose library is an extra: what to say where it isn't installed, and the beginnings of their paths."""

from collections.abc import Iterable
from importlib.util import find_spec

from hookline.api import Mapper, Reference

_BY_NAME = frozenset({"steps", "vars", "execution", "trigger"})
"""Parts of the scope whose own keys have names of the flow's, or of the engine's."""


class ExtraMapper(Mapper):
    """A mapper that needs a library which not everybody has."""

    library: str
    """The module whose absence makes it unavailable."""

    @property
    def unavailable(self) -> str | None:
        """The pip command that brings its library."""
        return None if find_spec(self.library) else f"pip install 'hookline[{self.name}]'"


def beginnings(paths: Iterable[tuple[str | int, ...]], *, optional: bool) -> tuple[Reference, ...]:
    """Return the beginnings of paths for the checker, in a language that goes through lists by itself.

    `optional`: what is missing is skipped, and no error.
    """
    cut = (path[: 2 if path[0] in _BY_NAME else 1] for path in paths)
    return tuple(Reference(path, optional) for path in dict.fromkeys(cut))
