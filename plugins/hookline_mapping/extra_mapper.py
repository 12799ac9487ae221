"""Languages whose library is an extra: the hint if it isn't installed, and the beginnings of their paths."""

from collections.abc import Iterable
from importlib.util import find_spec

from hookline.api import Mapper, Reference

_BY_NAME = frozenset({"steps", "vars", "execution", "trigger"})
"""Parts of the scope whose keys are named by the flow or by the engine."""


class ExtraMapper(Mapper):
    """A mapper that needs an optional library."""

    library: str
    """The module without which it is unavailable."""

    @property
    def unavailable(self) -> str | None:
        """Return the pip command that installs its library."""
        return None if find_spec(self.library) else f"pip install 'hookline[{self.name}]'"


def beginnings(paths: Iterable[tuple[str | int, ...]], *, optional: bool) -> tuple[Reference, ...]:
    """Return the beginnings of paths for the checker, in a language that visits the items of lists by itself.

    `optional`: a missing value is skipped, instead of being an error.
    """
    cut = (path[: 2 if path[0] in _BY_NAME else 1] for path in paths)
    return tuple(Reference(path, optional) for path in dict.fromkeys(cut))
