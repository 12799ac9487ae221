"""Keys of messages, evaluated when a message is accepted: dedupe keys, order keys and correlation keys."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hookline.flows.elements.expressions import Expressions, Template
from hookline.flows.elements.paths_masked_by_schemes import MaskedPaths
from hookline.kernel.errors import ExpressionError, Problem, SchemaViolation
from hookline.kernel.json import by_value, canonical
from hookline.model.message import shortened_key


@dataclass(frozen=True, slots=True)
class MessageKey:
    """A compiled key. It has one expression, or several that together are one key."""

    name: str
    """The name of its setting, such as `dedupe_key` or `order_by`."""
    parts: tuple[Template, ...]
    compound: bool = False

    def text(self, scope: Mapping[str, Any]) -> str:
        """The key of a message as text. Different values give different texts.

        Raises SchemaViolation if a part is missing or null.
        """
        values = [self._value(part, scope) for part in self.parts]
        return _joined(values) if self.compound else key_text(values[0])

    def text_of(self, value: Any) -> str | None:
        """The key of a message that gives this value, or this list of values for its parts; None if no message can."""
        if not self.compound:
            return None if value is None else key_text(value)
        whole = isinstance(value, list) and len(value) == len(self.parts) and None not in value
        return _joined(value) if whole else None

    def _value(self, part: Template, scope: Mapping[str, Any]) -> Any:
        try:
            value = part.evaluate(scope)
        except ExpressionError as error:
            raise self._missing(error.message) from None
        if value is None:
            raise self._missing("it is null" if not self.compound else "one of its parts is null")
        return value

    def _missing(self, reason: str) -> SchemaViolation:
        problem = Problem(f"the flow's {self.name} has no value for this message: {reason}", code=self.name)
        return SchemaViolation(f"The message has no {self.name}.", problems=[problem])


def _joined(values: list[Any]) -> str:
    return shortened_key(f"l:{canonical(by_value(values)).decode()}")


def key_text(value: Any) -> str:
    """The text of a key with a value."""
    return shortened_key(f"s:{value}" if isinstance(value, str) else f"j:{canonical(by_value(value)).decode()}")


def compile_key(
    name: str,
    source: Any,
    pointer: str,
    expressions: Expressions,
    check_references: Callable[[Template], Sequence[Problem]],
    *,
    masked: MaskedPaths,
    if_constant: tuple[str, Literal["error", "warning"]],
) -> tuple[MessageKey | None, list[Problem]]:
    """Compile a key from its setting; None if the setting's form is wrong, which its model reports.

    `masked`: the places that hold `***` in every message. `if_constant`: the effect of a part that is the same for
    every message, and the severity of that problem.
    """
    compound = isinstance(source, list)
    given = source if isinstance(source, list) else [source]
    if not given or not all(isinstance(each, str) for each in given):
        return None, []
    problems: list[Problem] = []
    parts: list[Template] = []
    for index, each in enumerate(given):
        at = f"{pointer}/{index}" if compound else pointer
        template, found = expressions.template(each, at)
        if not found and template.constant:
            effect, severity = if_constant
            remedy = f"write an expression, such as $.{each.removeprefix('$').lstrip('.') or 'body.id'}"
            message = f"{each!r} is the same for every message: {effect}"
            problems.append(Problem(message, at, "constant_key", remedy, severity))
        elif not found and (secret := masked.read_by(template)) is not None:
            effect, severity = if_constant
            problems.append(
                Problem(
                    f"{secret} is a secret of scheme {masked.scheme!r} and is masked before keys are made: it is the "
                    f"same in every message, so {'it distinguishes no messages' if compound else effect}",
                    at,
                    "masked_key",
                    "use a value that differs between messages and is no secret, such as $.body.id"
                    + (" or $.trigger.scheme_id" if name == "dedupe_key" else ""),
                    severity,
                )
            )
        problems += found
        problems += check_references(template)
        parts.append(template)
    return MessageKey(name, tuple(parts), compound), problems
