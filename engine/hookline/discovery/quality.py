"""The quality scale of connectors. Each level has rules that can be checked without running the connector."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.sdk.action import Action
from hookline.sdk.connector import Connector
from hookline.sdk.triggers import ConnectorTrigger
from hookline.secrets.masking import names_a_key

Level: TypeAlias = Literal["bronze", "silver", "gold"]

LEVELS: Final[tuple[Level, ...]] = ("bronze", "silver", "gold")
"""From the lowest. Each level includes the rules of those before it."""

_CODE: Final = re.compile(r"[a-z][a-z0-9_]*(\.([a-z0-9_]+|<[a-z]+>))*")
"""A variable part is in angle brackets, as in `http.<status>`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a level."""

    code: str
    level: Level
    text: str
    violations: Callable[[Connector], Iterable[str]]
    """Return each violation with its remedy."""


def _summaries(connector: Connector) -> Iterator[str]:
    for one in _parts(connector):
        if not one.summary:
            yield f"{one.name} has no docstring: describe it in the first line"


def _results(connector: Connector) -> Iterator[str]:
    for action in connector.actions.values():
        if action.returns is Any:
            yield f"{action.name} has no annotation of its result"


def _secrets(connector: Connector) -> Iterator[str]:
    for name in () if connector.credential is None else open_secrets(connector.credential):
        yield f"the field {name} of the credential is not declared secret: make it a SecretStr"


def open_secrets(model: type[BaseModel]) -> list[str]:
    """Return the fields of a credential whose names suggest a secret but that aren't declared secret."""
    return [
        name for name, field in model.model_fields.items() if names_a_key(name) and not _holds_secret(field.annotation)
    ]


def _holds_secret(annotation: Any) -> bool:
    # An annotation may be a union or a list of them.
    return annotation in (SecretStr, SecretBytes) or any(map(_holds_secret, getattr(annotation, "__args__", ())))


def _parameters(connector: Connector) -> Iterator[str]:
    for one in _parts(connector):
        for name in undescribed(one.settings):
            yield f"{one.name}: {name} has no description: Annotated[…, Field(description=…)]"


def _repeats(connector: Connector) -> Iterator[str]:
    for action in connector.actions.values():
        if action.idempotent is None:
            yield f"{action.name} doesn't declare whether it is idempotent: @action(idempotent=True), or False"


def _verifies(connector: Connector) -> Iterator[str]:
    if connector.credential is not None and connector.verifier is None:
        yield f"its credential can't be checked: @{connector.name}.verify"


def _keys(connector: Connector) -> Iterator[str]:
    model = connector.credential
    for name in () if model is None else undescribed(model):
        yield f"the field {name} of the credential has no description: Field(description=…)"


def _about(connector: Connector) -> Iterator[str]:
    if not connector.description:
        yield f"{connector.name!r} has no description: Connector(description=…)"


def _errors(connector: Connector) -> Iterator[str]:
    if connector.errors is None:
        yield "it doesn't list its own errors: Connector(errors={code: meaning}), or {} if it has none"
        return
    for code, meaning in connector.errors.items():
        if not _CODE.fullmatch(code):
            yield f"{code!r} is no error code: lower-case words joined by dots, such as {connector.name}.answer"
        elif not meaning.strip():
            yield f"the error {code} has no description: Connector(errors={{{code!r}: …}})"


def _example(connector: Connector) -> Iterator[str]:
    if connector.example is None:
        yield "it has no example flow: Connector(example={'id': …, 'trigger': …, 'steps': […]})"
    elif not _uses(connector.example) & {one.name for one in _parts(connector)}:
        yield "its example uses none of its own actions and triggers"


def _uses(value: Any) -> set[str]:
    """Return every component that the flow uses, at any depth."""
    if isinstance(value, Mapping):
        own = {value["use"]} if isinstance(value.get("use"), str) else set()
        return own.union(*map(_uses, value.values()))
    return set[str]().union(*map(_uses, value)) if isinstance(value, list | tuple) else set()


SCALE: Final[tuple[Rule, ...]] = (
    Rule("summary", "bronze", "Each action and each trigger has a docstring.", _summaries),
    Rule("result", "bronze", "Each action's result is annotated.", _results),
    Rule("secrets", "bronze", "The secret fields of a credential are declared secret.", _secrets),
    Rule("parameters", "silver", "Each setting of actions and triggers is described.", _parameters),
    Rule("repeats", "silver", "Each action declares whether it is idempotent.", _repeats),
    Rule("verify", "gold", "A credential can be checked.", _verifies),
    Rule("keys", "gold", "Each field of a credential is described.", _keys),
    Rule("about", "gold", "The connector has a description.", _about),
    Rule("errors", "gold", "Each of its own errors has a code and a description.", _errors),
    Rule("example", "gold", "It has an example flow.", _example),
)


def undescribed(model: type[BaseModel]) -> list[str]:
    """Return the fields of a model that have no description."""
    return [field.alias or name for name, field in model.model_fields.items() if not field.description]


def violations(connector: Connector, level: Level = "gold") -> list[tuple[Rule, str]]:
    """Return the violations of the rules up to a level."""
    levels = LEVELS[: LEVELS.index(level) + 1]
    return [(rule, text) for rule in SCALE if rule.level in levels for text in rule.violations(connector)]


def level_of(connector: Connector) -> Level | None:
    """Return the highest level of a connector, or None if it doesn't reach the lowest."""
    missed = {rule.level for rule, _ in violations(connector)}
    reached: Level | None = None
    for level in LEVELS:
        if level in missed:
            break
        reached = level
    return reached


def _parts(connector: Connector) -> Iterator[Action | ConnectorTrigger]:
    yield from connector.actions.values()
    yield from connector.triggers.values()
