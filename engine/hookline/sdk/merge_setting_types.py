"""Settings that are more than JSON values: attachments of the message, and items that come one by one.

    async def import_orders(ctx: Context[AcmeKey], orders: AsyncIterator[Order], terms: Attachment | None = None)

A step gives a list or a stream for the one, and the name of an attachment, or an expression that gives one, for the
other. What the action gets is made of them when it is called: the validation's context is a `SettingSources` then, and
None where a flow is checked.
"""

import types
import typing
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from hookline.kernel.errors import StepError
from hookline.model.merge_model_stream import Stream
from hookline.model.message import Attachment, Message
from hookline.sdk.merge_attached import message_attachment

_UNIONS: Final = (typing.Union, types.UnionType)
_MARK: Final = "x-hookline"


@dataclass(slots=True)
class SettingSources:
    """What an action's settings are made of, besides their values."""

    message: Message
    read: Callable[[Stream], AsyncIterator[Any]] | None = None
    """Gives the items of a stream; None where none can be read."""
    opened: list[AsyncIterator[Any]] = field(default_factory=list)
    """What was made of settings and is to be closed after the call."""


class _OfMessage:
    """A setting that names an attachment of the message."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(_attachment)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": ["string", "object"], _MARK: "attachment"}

    def __hash__(self) -> int:
        return hash(type(self))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)


def _attachment(value: Any, info: core_schema.ValidationInfo) -> Any:
    if not isinstance(value, str | dict):
        raise PydanticCustomError(
            "attachment_type", "give the name of an attachment, or an expression that gives one: $.attachments[0]"
        )
    sources = info.context
    if not isinstance(sources, SettingSources):
        return value
    try:
        return message_attachment(sources.message, value)
    except StepError as error:
        raise PydanticCustomError("attachment", "{said}", {"said": error.message}) from None


@dataclass(frozen=True)
class _Items:
    """A setting that takes items one by one."""

    item: Any
    """The annotation of one."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_wrap_validator_function(self._take, handler.generate_schema(list[self.item]))  # type: ignore[name-defined]  # an annotation that is read as the program runs

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), _MARK: "items"}

    def _take(
        self, value: Any, handler: core_schema.ValidatorFunctionWrapHandler, info: core_schema.ValidationInfo
    ) -> Any:
        sources = info.context
        if type(value) is Stream:
            if not isinstance(sources, SettingSources):
                return value
            if sources.read is None:
                raise PydanticCustomError("stream", "a stream can't be read here")
            items = self._checked(sources.read(value))
        else:
            listed = handler(value)
            if not isinstance(sources, SettingSources):
                return listed
            items = _each(listed)
        sources.opened.append(items)
        return items

    @cached_property
    def _one(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.item)

    async def _checked(self, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Items of a stream, each as the action wants them. Raises StepError for one that doesn't fit, naming it."""
        number = 0
        try:
            async for item in items:
                try:
                    taken = self._one.validate_python(item)
                except ValidationError as error:
                    said = "; ".join(
                        f"{'.'.join(str(part) for part in (number, *one['loc']))}: {one['msg']}"
                        for one in error.errors(include_url=False, include_input=False, include_context=False)
                    )
                    raise StepError(f"an item of the stream doesn't fit: {said}", code="step.settings") from None
                yield taken
                number += 1
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()


async def _each(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def settable(hint: Any) -> Any:
    """A parameter's annotation as that of a setting: with attachments and items as steps give them."""
    if hint is Attachment:
        return Annotated[Any, _OfMessage()]
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = settable(given[0])
        return hint if inner is given[0] else Annotated[(inner, *hint.__metadata__)]
    if origin is AsyncIterator:
        return Annotated[Any, _Items(given[0] if given else Any)]
    if origin in _UNIONS or origin in (list, tuple):
        inside = tuple(settable(each) for each in given)
        if all(one is other for one, other in zip(inside, given, strict=True)):
            return hint
        return typing.Union[inside] if origin in _UNIONS else origin[inside]  # noqa: UP007 - as many as there are
    return hint


def takes_items(hint: Any) -> bool:
    """Whether an annotation is of items that come one by one."""
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return takes_items(given[0])
    return origin is AsyncIterator or (origin in _UNIONS and any(map(takes_items, given)))
