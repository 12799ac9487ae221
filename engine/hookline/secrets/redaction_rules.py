"""Redaction rules: the paths that a flow redacts, applied to messages and results."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hookline.secrets.masking import PathPart, Wildcard, mask_path

#: The parts of a message that can be redacted.
MESSAGE: Final = ("body", "headers", "query", "path")


class RedactionRule(NamedTuple):
    source: str
    places: tuple[tuple[PathPart, ...], ...]
    """Paths in the scope of expressions; those of the message are relative to `trigger`."""


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """All redaction rules of a flow."""

    rules: tuple[RedactionRule, ...]

    def in_message(self, message: Mapping[str, Any], found: list[Any]) -> Any:
        """Mask the redacted values of a message, an object with the keys of `MESSAGE`, and add them to `found`."""
        shown: Any = message
        for place in self._places():
            if place[0] != "steps":
                shown = mask_path(shown, place, found)
        return shown

    def in_result(self, step_id: str, result: Any, found: list[Any]) -> Any:
        """Mask the redacted values of a step's result, and add them to `found`."""
        for place in self._places():
            if place[0] is Wildcard.DEEP:
                result = mask_path(result, place, found)
            elif place[0] == "steps" and place[1] in (step_id, Wildcard.EACH):
                result = mask_path(result, place[2:], found)
        return result

    def concerns(self, step_id: str) -> bool:
        """Return true if a rule names a part of the step's result."""
        return any(
            place[0] is Wildcard.DEEP or (place[0] == "steps" and place[1] in (step_id, Wildcard.EACH))
            for place in self._places()
        )

    @property
    def of_steps(self) -> bool:
        """True if a rule names a part of the results of steps."""
        return any(place[0] in ("steps", Wildcard.DEEP) for place in self._places())

    def in_item(self, item: Any, found: list[Any]) -> None:
        """Add the redacted values of a stream's item to `found`, for any step."""
        for place in self._places():
            if place[0] is Wildcard.DEEP:
                mask_path(item, place, found)
            elif place[0] == "steps":
                mask_path({"body": [item]}, place[2:], found)

    def in_same_places(self, value: Any) -> Any:
        """Mask a step's input or result at the paths that are redacted in the message's body.

        This hides true, false and null if a mapping leaves them in their places; they are too common to be recognized.
        """
        for place in self._places():
            if place[0] == "body":
                value = mask_path(value, place, [])
        return value

    def _places(self) -> Iterator[tuple[PathPart, ...]]:
        for rule in self.rules:
            yield from rule.places

    def read_by(self, paths: Iterable[Sequence[Any]]) -> tuple[str, bool] | None:
        """Return the first rule that covers a value that an expression reads, and true if the expression reads only
        such values."""
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
    """Return true if `inner` is `outer`, or lies below it."""
    return len(outer) <= len(inner) and all(
        here == there or here is Wildcard.EACH for here, there in zip(outer, inner, strict=False)
    )
