"""The signatures of plugins' functions, which are read once into pydantic models of their settings."""

import inspect
import keyword
import types
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema

from hookline.kernel.errors import PluginError, StepError
from hookline.kernel.plugin_model_validation import fail_fast, problems_text
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Attachment, Message


def message_attachment(
    message: Message,
    wanted: str | Mapping[str, Any] | None,
    *,
    setting: str = "",
    code: str = "step.attachment",
) -> Attachment:
    """Return the attachment of the message with a name, or the value of an expression; with None the only attachment.

    Only the message's own attachments are found, so an id in a message can't open the file of another execution. Raises
    StepError with `code` unless there is exactly one such attachment. `setting` is the setting's name for the error.
    """
    found = list(message.attachments) if wanted is None else message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(attachment.name) for attachment in message.attachments) or "none"
    if wanted is None:
        said = f"`{setting or 'file'}` is not set, so the message must have exactly one attachment; it has {named}"
    else:
        what = repr(wanted) if isinstance(wanted, str) else f"what `{setting}` gives" if setting else "what is given"
        kind = "the name of several attachments" if found else "not an attachment"
        said = f"{what} is {kind} of the message; it has {named}"
    raise StepError(said + ("; name one as `$.attachments[0]`" if message.attachments else ""), code=code)


_UNIONS: Final = (typing.Union, types.UnionType)
_MARK: Final = "x-hookline"


@dataclass(slots=True)
class SettingSources:
    """The sources of an action's settings besides their values."""

    message: Message
    read: Callable[[Stream], AsyncIterator[Any]] | None = None
    """Return the items of a stream; None if streams can't be read here."""
    opened: list[AsyncIterator[Any]] = field(default_factory=list)
    """The iterators that were opened for settings, to be closed after the call."""


class _AttachmentSetting:
    """The annotation of a setting that names an attachment of the message."""

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
    """The annotation of a setting that takes items one by one."""

    item: Any
    """The annotation of an item."""

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

    async def _checked(self, items: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Yield the validated items of a stream. Raises StepError, which names the item, for an invalid one."""
        number, one = 0, fail_fast(self.item)
        try:
            async for item in items:
                try:
                    taken = one.validate_python(item)
                except ValidationError as error:
                    said = problems_text(error, number)
                    raise StepError(f"an item of the stream is invalid: {said}", code="step.settings") from None
                yield taken
                number += 1
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()


async def _each(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def setting_annotation(hint: Any) -> Any:
    """Return the annotation of the setting of a parameter, which may be an attachment or items."""
    if hint is Attachment:
        return Annotated[Any, _AttachmentSetting()]
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        inner = setting_annotation(given[0])
        return hint if inner is given[0] else Annotated[(inner, *hint.__metadata__)]
    if origin is AsyncIterator:
        return Annotated[Any, _Items(given[0] if given else Any)]
    if origin in _UNIONS or origin in (list, tuple):
        inside = tuple(setting_annotation(each) for each in given)
        if all(one is other for one, other in zip(inside, given, strict=True)):
            return hint
        return typing.Union[inside] if origin in _UNIONS else origin[inside]  # noqa: UP007 - as many as there are
    return hint


def takes_items(hint: Any) -> bool:
    """Return True if an annotation is of items that come one by one."""
    origin, given = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return takes_items(given[0])
    return origin is AsyncIterator or (origin in _UNIONS and any(map(takes_items, given)))


#: Numbers become text in text settings, because ids are often numbers in messages.
SETTINGS: Final = ConfigDict(
    extra="forbid", coerce_numbers_to_str=True, arbitrary_types_allowed=True, protected_namespaces=()
)

B = TypeVar("B", bound=BaseModel)
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Signature:
    """The settings and the description of a function of a plugin."""

    fields: Mapping[str, Any]
    """The annotation and the `FieldInfo` of each field of the settings' model. The alias is the setting's name."""
    parameters: Mapping[str, str]
    """The parameter of each field."""
    hints: Mapping[str, Any]
    leading: tuple[str, ...]
    """The leading parameters that it has, such as `ctx`."""
    description: str
    """The docstring."""

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.description.partition("\n")[0]

    def settings(self, name: str) -> type[BaseModel]:
        """Return a model of the settings."""
        return create_model(f"{name} settings", __config__=SETTINGS, **self.fields)

    def settings_with_base(self, name: str, base: type[B]) -> type[B]:
        """Return a model of the settings and those of `base`."""
        return create_model(f"{name} settings", __base__=base, **self.fields)

    def marked(self, marker: type) -> frozenset[str]:
        """Return the parameters that are `Annotated` with an object of a class."""
        return frozenset(
            name for name, hint in self.hints.items() if any(isinstance(each, marker) for each in _metadata(hint))
        )

    def marks(self, marker: type[M]) -> dict[str, M]:
        """Return the objects of a class with which parameters are `Annotated`, by parameter."""
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
        """Return True if `ctx` always has a credential: `Context[Model]`, not `Context[Model | None]`."""
        of = next(iter(typing.get_args(self.hints.get("ctx"))), None)
        return "ctx" in self.leading and inspect.isclass(of) and issubclass(of, BaseModel)


def read_signature(
    function: Callable[..., Any], kind: str, leading: tuple[str, ...], *, generators: bool = False
) -> Signature:
    """Read the signature of an async function. `kind` is its kind for errors, such as "an action".

    `leading`: the names, in order, of first parameters that are not settings. `generators`: the function may be an
    async generator. Raises PluginError, which names the function.
    """
    where = f"{function.__module__}.{function.__qualname__}"
    if not (inspect.iscoroutinefunction(function) or (generators and inspect.isasyncgenfunction(function))):
        raise PluginError(f"{where} must be an async function to be {kind}")
    return _read(function, where, leading)


def read_plain_signature(function: Callable[..., Any], kind: str) -> Signature:
    """Read the signature of a function that isn't async. Raises PluginError, which names the function."""
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
        fields[field_name] = (setting_annotation(hints[parameter.name]), _field(parameter))
    return Signature(fields, names, hints, tuple(found), inspect.getdoc(function) or "")


def _metadata(hint: Any) -> tuple[Any, ...]:
    return hint.__metadata__ if typing.get_origin(hint) is typing.Annotated else ()


def setting_name(parameter: str) -> str:
    """Return the name of the setting of a parameter: a keyword of Python has an underscore, as in `for_`."""
    plain = parameter.removesuffix("_")
    return plain if keyword.iskeyword(plain) else parameter


def _field(parameter: inspect.Parameter) -> FieldInfo:
    name, default = setting_name(parameter.name), parameter.default
    if default is parameter.empty:
        made: FieldInfo = Field(alias=name)
    elif isinstance(default, FieldInfo):
        # The constraints of `quantity: int = Field(1, ge=1)` are kept.
        made = FieldInfo.merge_field_infos(default, alias=name, validation_alias=name, serialization_alias=name)
    else:
        made = Field(default=default, alias=name)
    return made
