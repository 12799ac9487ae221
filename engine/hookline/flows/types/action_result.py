"""The message and the result after an action, from the annotation of its result."""

import types
import typing
from dataclasses import dataclass
from typing import Any

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.types.return_annotation import from_annotation, metadata
from hookline.flows.types.shape import UNKNOWN, Field, Record, Shape, shape_text
from hookline.flows.types.type_scope import NO_HEADERS, MessageShape, TypeScope, shape_of
from hookline.model.message import CallerReply
from hookline.sdk.action import Action, EndsExecution, Increment, PassesIf, Reply, ReturnsSetting, Signal, Sleep

_PASSING = (Signal, Sleep, CallerReply)


@dataclass(frozen=True, slots=True)
class ResultShape:
    """The shapes of the message after a step and of `steps.<id>`."""

    message: MessageShape
    view: Shape


def result_shape(step: CompiledAction, scope: TypeScope) -> ResultShape:
    """The shapes after an action that succeeds."""
    returns = step.action.returns
    for mark in metadata(returns):
        if isinstance(mark, ReturnsSetting):
            given = (step.settings.fields or {}).get(mark.name)
            return _plain(UNKNOWN if given is None else shape_of(given, scope), scope)
    kinds = result_classes(returns)
    if kinds and all(issubclass(kind, _PASSING) for kind in kinds):
        return ResultShape(scope.message, Record({"body": Field(scope.message.body)}, closed=True))
    if not kinds or any(issubclass(kind, (*_PASSING, Reply)) for kind in kinds):
        # The result may have headers, files and other keys.
        return ResultShape(MessageShape(), Record({"body": Field(UNKNOWN)}))
    return _plain(from_annotation(returns), scope)


def replies(step: CompiledAction) -> bool:
    """Return whether the action replies to the caller."""
    return result_classes(step.action.returns) == [CallerReply]


def _plain(body: Shape, scope: TypeScope) -> ResultShape:
    view = Record({"body": Field(body), "attachments": Field(UNKNOWN, required=False)}, closed=True)
    return ResultShape(MessageShape(body, NO_HEADERS, scope.message.attachments), view)


def output_text(action: Action) -> str:
    """A description of an action's result, for `hookline components` and the docs."""
    for mark in metadata(action.returns):
        match mark:
            case ReturnsSetting():
                return f"the value of `{mark.name}`"
            case PassesIf():
                return f"the message, where `{mark.name}` is true"
            case EndsExecution():
                return "none: the execution ends"
    kinds = result_classes(action.returns)
    if not kinds:
        return shape_text(from_annotation(action.returns))
    texts = []
    if any(issubclass(kind, _PASSING) for kind in kinds):
        texts.append("the message as it is")
    if any(issubclass(kind, Increment) for kind in kinds):
        texts.append("the new number")
    if any(issubclass(kind, Reply) for kind in kinds):
        texts.append("a body and other keys")
    rest = [each for each in union_members(action.returns) if not _is_no_value(each)]
    if rest:
        texts.append(" | ".join(dict.fromkeys(shape_text(from_annotation(each)) for each in rest)))
    return " or ".join(texts)


def _is_no_value(annotation: Any) -> bool:
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, (*_PASSING, Increment, Reply))


def result_classes(annotation: Any) -> list[type]:
    """The classes that a result may have; none if one of them isn't known."""
    found: list[type] = []
    for each in union_members(annotation):
        origin = typing.get_origin(each) or each
        # Since Python 3.11 `Any` is a class itself.
        if not isinstance(origin, type) or origin is object or origin is Any:
            return []
        found.append(origin)
    return found


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; for other annotations, the annotation itself."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return union_members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return tuple(inner for each in typing.get_args(annotation) for inner in union_members(each))
    return (annotation,)
