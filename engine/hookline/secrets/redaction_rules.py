"""The paths that a flow redacts, and the values of messages and results that they name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hookline.secrets.masking import PathPart, Wildcard, mask_path

#: What a message has that can be redacted.
MESSAGE: Final = ("body", "headers", "query", "path")


class RedactionRule(NamedTuple):
    source: str
    places: tuple[tuple[PathPart, ...], ...]
    """Ways from the scope of expressions, in which `trigger` stands for the message."""


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """The paths that a flow redacts."""

    rules: tuple[RedactionRule, ...]

    def in_message(self, message: Mapping[str, Any], found: list[Any]) -> Any:
        """A message, which is an object of `MESSAGE`, without what is redacted of it; that is added to `found`."""
        shown: Any = message
        for place in self._places():
            if place[0] != "steps":
                shown = mask_path(shown, place, found)
        return shown

    def in_result(self, step_id: str, result: Any, found: list[Any]) -> Any:
        """A step's result without what is redacted of it; that is added to `found`."""
        for place in self._places():
            if place[0] is Wildcard.DEEP:
                result = mask_path(result, place, found)
            elif place[0] == "steps" and place[1] in (step_id, Wildcard.EACH):
                result = mask_path(result, place[2:], found)
        return result

    def concerns(self, step_id: str) -> bool:
        """Whether anything in a step's result may be redacted by its place."""
        return any(
            place[0] is Wildcard.DEEP or (place[0] == "steps" and place[1] in (step_id, Wildcard.EACH))
            for place in self._places()
        )

    @property
    def of_steps(self) -> bool:
        """Whether anything is redacted of what steps give."""
        return any(place[0] in ("steps", Wildcard.DEEP) for place in self._places())

    def in_item(self, item: Any, found: list[Any]) -> None:
        """Add to `found` what is redacted of an item of a stream, whichever step gave it."""
        for place in self._places():
            if place[0] is Wildcard.DEEP:
                mask_path(item, place, found)
            elif place[0] == "steps":
                mask_path({"body": [item]}, place[2:], found)

    def in_same_places(self, value: Any) -> Any:
        """A step's input or result without what stands at the places where the message's body has it redacted.

        So true, false and null are hidden where a mapping leaves them in their place: they can't be known again.
        """
        for place in self._places():
            if place[0] == "body":
                value = mask_path(value, place, [])
        return value

    def _places(self) -> Iterator[tuple[PathPart, ...]]:
        for rule in self.rules:
            yield from rule.places

    def read_by(self, paths: Iterable[Sequence[Any]]) -> tuple[str, bool] | None:
        """The first rule that covers something of an expression's paths; and whether they read nothing else."""
        for read in paths:
            path = read[1:] if tuple(read[:1]) == ("trigger",) else read
            for rule in self.rules:
                for place in rule.places:
                    known = place[: place.index(Wildcard.DEEP)] if Wildcard.DEEP in place else place
                    if place[0] is Wildcard.DEEP and place[1] in path:
                        return rule.source, True
                    if known and _holds(known, path):
                        return rule.source, known == place
                    if known and _holds(path, known):
                        return rule.source, False
        return None


def _holds(outer: Sequence[PathPart], inner: Sequence[PathPart]) -> bool:
    """Whether what is under one path holds what is under the other: the same place is held, too."""
    return len(outer) <= len(inner) and all(
        here == there or here is Wildcard.EACH for here, there in zip(outer, inner, strict=False)
    )
