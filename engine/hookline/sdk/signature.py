"""Signatures of plugins' functions, which are the schemas of what they take: read once, as a pydantic model."""

import inspect
import keyword
import types
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from hookline.kernel.errors import PluginError, StepError
from hookline.model.items import Stream
from hookline.model.message import Attachment, Message


def message_attachment(
    message: Message,
    wanted: str | Mapping[str, Any] | None,
    *,
    setting: str = "",
    code: str = "step.attachment",
) -> Attachment:
    """The message's attachment of that name, or the one that an expression gave; with None the only one.

    Looked up among the message's own: an id that a message brings along opens no other execution's file. Raises
    StepError with `code` where that isn't one attachment; `setting` is the one that it names.
    """
    found = list(message.attachments) if wanted is None else message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(attachment.name) for attachment in message.attachments) or "none"
    if wanted is None:
        said = f"`{setting or 'file'}` is not given, and there must be one attachment: the message has {named}"
    else:
        what = repr(wanted) if isinstance(wanted, str) else f"what `{setting}` gives" if setting else "what is given"
        kind = "the name of several attachments" if found else "not an attachment"
        said = f"{what} is {kind} of the message; it has {named}"
    raise StepError(said + ("; name one as `$.attachments[0]`" if message.attachments else ""), code=code)


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


#: Numbers become text where text is asked for, since identifiers often travel as numbers.
SETTINGS: Final = ConfigDict(
    extra="forbid", coerce_numbers_to_str=True, arbitrary_types_allowed=True, protected_namespaces=()
)

B = TypeVar("B", bound=BaseModel)
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes besides its leading parameters, and what is said of it."""

    fields: Mapping[str, Any]
    """For each field of the settings' model its annotation and its `FieldInfo`; the alias is the parameter's name."""
    parameters: Mapping[str, str]
    """From each field to the parameter that it fills."""
    hints: Mapping[str, Any]
    leading: tuple[str, ...]
    """The leading parameters that it has, of those that it may have."""
    description: str
    """Its docstring."""

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.description.partition("\n")[0]

    def settings(self, name: str) -> type[BaseModel]:
        """A model of the settings."""
        return create_model(f"{name} settings", __config__=SETTINGS, **self.fields)

    def settings_besides(self, name: str, base: type[B]) -> type[B]:
        """A model of the settings that has those of `base`, too."""
        return create_model(f"{name} settings", __base__=base, **self.fields)

    def marked(self, marker: type) -> frozenset[str]:
        """The parameters that are `Annotated` with an object of this class."""
        return frozenset(
            name for name, hint in self.hints.items() if any(isinstance(each, marker) for each in _metadata(hint))
        )

    def marks(self, marker: type[M]) -> dict[str, M]:
        """The objects of this class with which parameters are `Annotated`, by parameter."""
        return {
            name: found
            for name, hint in self.hints.items()
            for found in [next((each for each in _metadata(hint) if isinstance(each, marker)), None)]
            if found is not None
        }

    @property
    def items(self) -> frozenset[str]:
        """The parameters that take items one by one."""
        return frozenset(name for name in self.parameters.values() if takes_items(self.hints[name]))

    def needs_credential(self) -> bool:
        """Whether its `ctx` always has a credential: `Context[Model]`, and not `Context[Model | None]`."""
        of = next(iter(typing.get_args(self.hints.get("ctx"))), None)
        return "ctx" in self.leading and inspect.isclass(of) and issubclass(of, BaseModel)


def read_signature(
    function: Callable[..., Any], kind: str, leading: tuple[str, ...], *, generators: bool = False
) -> Signature:
    """The signature of an async function that is to be an action, or what `kind` says.

    `leading`: names that its first parameters may have, in this order, which are no settings. `generators`: it may be
    an async generator, too. Raises PluginError, naming the function.
    """
    where = f"{function.__module__}.{function.__qualname__}"
    if not (inspect.iscoroutinefunction(function) or (generators and inspect.isasyncgenfunction(function))):
        raise PluginError(f"{where} must be an async function to be {kind}")
    return _read(function, where, leading)


def read_plain_signature(function: Callable[..., Any], kind: str) -> Signature:
    """The signature of a function that is called as it stands, and isn't async. Raises PluginError, naming it."""
    where = f"{function.__module__}.{function.__qualname__}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginError(f"{where} must not be an async function to be {kind}")
    return _read(function, where, ())


def _read(function: Callable[..., Any], where: str, leading: tuple[str, ...]) -> Signature:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise PluginError(f"{where}: an annotation can't be resolved: {error}") from error
    parameters = list(inspect.signature(function).parameters.values())
    found: list[str] = []
    for name in leading:
        if parameters and parameters[0].name == name:
            found.append(parameters.pop(0).name)
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for position, parameter in enumerate(parameters):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise PluginError(f"{where}: parameter {parameter.name!r} can't be a setting; name each one")
        if parameter.name not in hints:
            raise PluginError(f"{where}: parameter {parameter.name!r} needs a type annotation")
        # A neutral field name, so that a parameter may be called `json`, `copy` or `schema`.
        field_name = f"setting_{position}"
        names[field_name] = parameter.name
        fields[field_name] = (settable(hints[parameter.name]), _field(parameter))
    return Signature(fields, names, hints, tuple(found), inspect.getdoc(function) or "")


def _metadata(hint: Any) -> tuple[Any, ...]:
    return hint.__metadata__ if typing.get_origin(hint) is typing.Annotated else ()


def setting_name(parameter: str) -> str:
    """The name of a parameter's setting: one that Python keeps for itself is written with an underscore, as `for_`."""
    plain = parameter.removesuffix("_")
    return plain if keyword.iskeyword(plain) else parameter


def _field(parameter: inspect.Parameter) -> FieldInfo:
    name, default = setting_name(parameter.name), parameter.default
    if default is parameter.empty:
        made: FieldInfo = Field(alias=name)
    elif isinstance(default, FieldInfo):
        # `quantity: int = Field(1, ge=1)`: the author's constraints stay, under the parameter's own name.
        made = FieldInfo.merge_field_infos(default, alias=name, validation_alias=name, serialization_alias=name)
    else:
        made = Field(default=default, alias=name)
    return made
