"""The results of the steps that may have run before one position in a flow."""

from collections.abc import Iterator, Mapping
from typing import Final

from hookline.flows.types.shape import Field


class EarlierResults(Mapping[str, Field]):
    """The shapes of results by step id, in the order of the steps; `required` if the step has certainly run.

    Each position in a flow has its own mapping, so copies would cost the square of the number of steps. Instead, a
    mapping with a further step shares the other steps: it consists of layers, each larger than all after it.
    """

    __slots__ = ("_count", "_layers", "_name", "_parent", "depth", "weight")

    def __init__(self) -> None:
        self._layers: tuple[dict[str, Field], ...] = ()
        self._parent: EarlierResults | None = None
        self._name = ""
        self._count = 0
        self.weight = 0
        """That of a `Record` with these fields."""
        self.depth = 0

    def adding(self, name: str, result: Field) -> "EarlierResults":
        """These and another step, or the same with another result."""
        made = EarlierResults()
        layer, layers = {name: result}, list(self._layers)
        while layers and len(layers[-1]) <= len(layer):
            layer = layers.pop() | layer
        made._layers = (*layers, layer)
        made._parent, made._name = self, name
        made._count = self._count + (name not in self)
        # A replaced result still counts: the weight is an upper bound.
        made.weight = self.weight + len(name) + result.shape.weight
        made.depth = max(self.depth, result.shape.depth + 1)
        return made

    def since(self, before: "EarlierResults") -> dict[str, Field]:
        """The steps that were added to `before`, from which this one was made, and aren't in it."""
        names: list[str] = []
        here: EarlierResults | None = self
        while here is not None and here is not before:
            names.append(here._name)
            here = here._parent
        return {name: self[name] for name in reversed(names) if name and name not in before}

    def merged(self) -> dict[str, Field]:
        """These as a dict, in the same order. It is faster to go through."""
        found: dict[str, Field] = {}
        for layer in self._layers:
            found |= layer
        return found

    def __getitem__(self, name: str) -> Field:
        for layer in reversed(self._layers):
            found = layer.get(name)
            if found is not None:
                return found
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(name in layer for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        for number, layer in enumerate(self._layers):
            for name in layer:
                if not any(name in earlier for earlier in self._layers[:number]):
                    yield name

    def __len__(self) -> int:
        return self._count


NO_STEPS: Final = EarlierResults()
