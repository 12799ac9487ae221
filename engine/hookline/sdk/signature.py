"""Signatures of plugins' functions, which are the schemas of what they take: read once, as a pydantic model."""

import inspect
import keyword
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from hookline.kernel.errors import PluginError
from hookline.sdk.merge_setting_types import settable, takes_items

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
