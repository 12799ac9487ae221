"""The shapes of the names in scope at one position in a flow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from hookline.flows.elements.expressions import Template
from hookline.flows.types.earlier_results import NO_STEPS, EarlierResults
from hookline.flows.types.path_lookup import PathFound, PathMissing, look_up
from hookline.flows.types.shape import (
    BOOLEAN,
    NULL,
    NUMBER,
    TEXT,
    UNKNOWN,
    Field,
    ListOf,
    OneOf,
    Record,
    Shape,
    bounded,
    closed,
    join,
    of_value,
)

MAYBE_TEXT: Final = OneOf((TEXT, NULL))
ATTACHMENTS: Final = ListOf(
    closed(id=TEXT, name=TEXT, filename=MAYBE_TEXT, type=TEXT, size=NUMBER, sha256=TEXT),
)
HEADERS: Final = Record()
"""Any headers."""
NO_HEADERS: Final = Record(closed=True)
ERROR: Final = closed(code=TEXT, message=TEXT, step=MAYBE_TEXT, retryable=BOOLEAN)
FIRING: Final = Record(
    {"scheduled_at": Field(TEXT), "fired_at": Field(TEXT), "previous_at": Field(MAYBE_TEXT)},
)
"""The body of a schedule's message. A flow that calls this one may give another body."""


@dataclass(frozen=True, slots=True)
class MessageShape:
    """The shape of a message."""

    body: Shape = UNKNOWN
    headers: Shape = HEADERS
    attachments: Shape = ATTACHMENTS


def join_messages(messages: Iterable[MessageShape]) -> MessageShape:
    """The shape of one of several messages."""
    given = list(messages)
    return MessageShape(
        join(each.body for each in given),
        join(each.headers for each in given),
        join(each.attachments for each in given),
    )


def trigger_shape(message: MessageShape) -> Record:
    """The shape of `trigger`, of a flow that starts with this message: see `message_scope.trigger_view`."""
    return closed(
        body=message.body,
        headers=message.headers,
        attachments=message.attachments,
        method=MAYBE_TEXT,
        path=TEXT,
        query=Record(),
        received_at=MAYBE_TEXT,
        verified_by=MAYBE_TEXT,
        scheme_id=MAYBE_TEXT,
    )


@dataclass(frozen=True, slots=True)
class TypeScope:
    """The shapes of the names that expressions may read at one position."""

    message: MessageShape
    trigger: Shape
    vars: Shape
    execution: Shape
    steps: EarlierResults = field(default_factory=lambda: NO_STEPS)
    """The results of the steps that may have run."""
    names: Mapping[str, Shape] = field(default_factory=dict)
    """The item of a foreach, its index, or an error."""
    guarded: frozenset[tuple[str | int, ...]] = frozenset()
    """Paths that a condition around this position has tested for existence."""

    def roots(self) -> dict[str, Shape]:
        """The shape of each name."""
        return {
            "body": self.message.body,
            "headers": self.message.headers,
            "attachments": self.message.attachments,
            "trigger": self.trigger,
            "steps": Record(self.steps),
            "vars": self.vars,
            "execution": self.execution,
            **self.names,
        }

    def find(self, path: tuple[str | int, ...]) -> PathFound | PathMissing:
        """Look up a path. The compiler reports unknown names, so they count as found here."""
        if not path:
            return PathFound(UNKNOWN)
        start = self.roots().get(str(path[0]))
        if start is None:
            return PathFound(UNKNOWN, certain=False)
        return look_up(start, path, 1)

    def with_message(self, message: MessageShape) -> "TypeScope":
        """The scope after a step that gave another message."""
        message = replace(message, body=bounded(message.body))
        # Most differ in their weights, which are known; the rest is compared only if they don't.
        if message.body.weight == self.message.body.weight and message == self.message:
            return self
        kept = frozenset(path for path in self.guarded if path[0] not in ("body", "headers", "attachments"))
        return replace(self, message=message, guarded=kept)

    def after(self, step: str, result: Shape, *, unsure: bool = False) -> "TypeScope":
        """The scope after a step."""
        return replace(self, steps=self.steps.adding(step, Field(bounded(result), not unsure)))

    def knowing(self, steps: Mapping[str, Shape]) -> "TypeScope":
        """The scope after blocks with other steps, which may have run."""
        known = self.steps
        for name, shape in steps.items():
            if name not in known:
                known = known.adding(name, Field(shape, required=False))
        return self if known is self.steps else replace(self, steps=known)

    def results_since(self, before: "TypeScope") -> dict[str, Shape]:
        """The results of the steps that may have run since another scope, from which this one was made."""
        return {name: one.shape for name, one in self.steps.since(before.steps).items()}


_GIVEN: Final[Mapping[type | None, Shape]] = {
    bool: BOOLEAN,
    str: TEXT,
    int: NUMBER,
    float: NUMBER,
    list: ListOf(UNKNOWN),
    dict: Record(),
    type(None): NULL,
}


def shape_of(template: Template, scope: TypeScope) -> Shape:
    """The shape of the values that a template gives in a scope."""
    if template.constant:
        return bounded(of_value(template.value))
    if template.fields is not None:
        fields = {key: Field(shape_of(field, scope)) for key, field in template.fields.items()}
        return bounded(Record(fields, closed=True))
    if template.items is not None:
        return bounded(ListOf(join(shape_of(item, scope) for item in template.items)))
    if template.either is not None:
        return join(shape_of(each, scope) for each in template.either)
    expressions = [expression for _, expression in template.parts()]
    if len(expressions) == 1 and (path := expressions[0].path):
        found = scope.find(path)
        # A wrong path is reported at the expression itself.
        return bounded(found.shape) if isinstance(found, PathFound) else UNKNOWN
    return _GIVEN.get(template.gives, UNKNOWN)
