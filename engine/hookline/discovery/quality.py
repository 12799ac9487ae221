"""How well a connector is made: a scale, each level of which asks for what can be seen without running anything."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.sdk.action import Action
from hookline.sdk.connector import Connector
from hookline.sdk.triggers import ConnectorTrigger

Level: TypeAlias = Literal["bronze", "silver", "gold"]

LEVELS: Final[tuple[Level, ...]] = ("bronze", "silver", "gold")
"""From the lowest; each asks for what those before it ask for, too."""

_SECRET: Final = re.compile(r"(^|_)(token|secret|password|passphrase|api_?key|private_?key)$")
_CODE: Final = re.compile(r"[a-z][a-z0-9_]*(\.([a-z0-9_]+|<[a-z]+>))*")
"""A part that varies stands in angle brackets, as in `http.<status>`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a level asks for."""

    code: str
    level: Level
    asks: str
    lacks: Callable[[Connector], Iterable[str]]
    """What of a connector doesn't have it, and what to do."""


def _summaries(connector: Connector) -> Iterator[str]:
    for one in _parts(connector):
        if not one.summary:
            yield f"{one.name} has no docstring: say in its first line what it does"


def _results(connector: Connector) -> Iterator[str]:
    for action in connector.actions.values():
        if action.returns is Any:
            yield f"{action.name} doesn't say what it gives: annotate its result"


def _secrets(connector: Connector) -> Iterator[str]:
    for name in () if connector.credential is None else open_secrets(connector.credential):
        yield f"the credential's {name} is in the open: make it a SecretStr"


def open_secrets(model: type[BaseModel]) -> list[str]:
    """The fields of a credential that are secret, by their names, and aren't declared so."""
    return [
        name
        for name, field in model.model_fields.items()
        if _SECRET.search(name) and not _holds_secret(field.annotation)
    ]


def _holds_secret(annotation: Any) -> bool:
    # An annotation may be a union or a list of them.
    return annotation in (SecretStr, SecretBytes) or any(map(_holds_secret, getattr(annotation, "__args__", ())))


def _parameters(connector: Connector) -> Iterator[str]:
    for one in _parts(connector):
        for name in undescribed(one.settings):
            yield f"{one.name}: nothing is said of {name}: Annotated[…, Field(description=…)]"


def _repeats(connector: Connector) -> Iterator[str]:
    for action in connector.actions.values():
        if action.idempotent is None:
            yield f"{action.name} doesn't say whether it may be done twice: @action(idempotent=True), or False"


def _verifies(connector: Connector) -> Iterator[str]:
    if connector.credential is not None and connector.verifier is None:
        yield f"its credential can't be verified: @{connector.name}.verify"


def _keys(connector: Connector) -> Iterator[str]:
    model = connector.credential
    for name in () if model is None else undescribed(model):
        yield f"nothing is said of the credential's {name}: Field(description=…)"


def _about(connector: Connector) -> Iterator[str]:
    if not connector.description:
        yield f"nothing is said of {connector.name!r} as a whole: Connector(description=…)"


def _errors(connector: Connector) -> Iterator[str]:
    if connector.errors is None:
        yield "it doesn't say which errors are its own: Connector(errors={code: what it means}), {} where none is"
        return
    for code, meaning in connector.errors.items():
        if not _CODE.fullmatch(code):
            yield f"{code!r} is no error code: lower-case words joined by dots, such as {connector.name}.answer"
        elif not meaning.strip():
            yield f"nothing is said of the error {code}: Connector(errors={{{code!r}: …}})"


def _example(connector: Connector) -> Iterator[str]:
    if connector.example is None:
        yield "it shows no flow that uses it: Connector(example={'id': …, 'trigger': …, 'steps': […]})"
    elif not _uses(connector.example) & {one.name for one in _parts(connector)}:
        yield "no step or trigger of its example is one of its own"


def _uses(value: Any) -> set[str]:
    """All that a flow's trigger and its steps name, at any depth."""
    if isinstance(value, Mapping):
        own = {value["use"]} if isinstance(value.get("use"), str) else set()
        return own.union(*map(_uses, value.values()))
    return set[str]().union(*map(_uses, value)) if isinstance(value, list | tuple) else set()


SCALE: Final[tuple[Rule, ...]] = (
    Rule("summary", "bronze", "Each action and each trigger has a docstring.", _summaries),
    Rule("result", "bronze", "Each action's result is annotated.", _results),
    Rule("secrets", "bronze", "What is secret in a credential is declared secret.", _secrets),
    Rule("parameters", "silver", "Each setting of actions and triggers is described.", _parameters),
    Rule("repeats", "silver", "Each action says whether it may be done twice.", _repeats),
    Rule("verify", "gold", "A credential can be verified.", _verifies),
    Rule("keys", "gold", "Each value of a credential is described.", _keys),
    Rule("about", "gold", "It says what it does as a whole.", _about),
    Rule("errors", "gold", "Each error of its own has its code and what it means.", _errors),
    Rule("example", "gold", "It shows a flow that uses it.", _example),
)


def undescribed(model: type[BaseModel]) -> list[str]:
    """The fields of a model of which nothing is said."""
    return [field.alias or name for name, field in model.model_fields.items() if not field.description]


def lacking(connector: Connector, level: Level = "gold") -> list[tuple[Rule, str]]:
    """What a connector lacks for a level."""
    asked = LEVELS[: LEVELS.index(level) + 1]
    return [(rule, text) for rule in SCALE if rule.level in asked for text in rule.lacks(connector)]


def level_of(connector: Connector) -> Level | None:
    """The level that a connector has; None where it lacks something for the lowest."""
    missed = {rule.level for rule, _ in lacking(connector)}
    reached: Level | None = None
    for level in LEVELS:
        if level in missed:
            break
        reached = level
    return reached


def _parts(connector: Connector) -> Iterator[Action | ConnectorTrigger]:
    yield from connector.actions.values()
    yield from connector.triggers.values()
