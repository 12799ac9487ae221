"""Connectors and their actions: what a step can `use`.

An action's signature is its schema. `Connector.action` reads it once, makes a pydantic model of it, and from then on
validation, the linter and the reference docs all ask that model.
"""

import inspect
import keyword
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from hookline.errors import PluginError
from hookline.jsontypes import JsonValue
from hookline.model.durations import FlowJsonSchema
from hookline.model.message import Message

if TYPE_CHECKING:
    from hookline.http import HttpClient
    from hookline.ports import Blobs
    from hookline.resources import Resources

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class Log(Protocol):
    """A structured logger that knows the execution and the step."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Context(Generic[C]):
    """What an action is given besides its settings."""

    credential: C
    """The step's credential, an instance of the connector's credential type; None where the step names none."""
    message: Message
    """The current message."""
    http: "HttpClient"
    """Sends requests: pooled, timed, guarded against inside addresses."""
    blobs: "Blobs"
    """Where attachments' bytes are."""
    log: Log
    execution_id: str
    step_id: str
    attempt: int
    """Counted from 1."""
    idempotency_key: str
    """The same at each attempt at this step of this execution."""
    resources: "Resources"
    """What the plugin keeps open between steps."""
    credential_type: str | None = None
    """The name of the credential's type: which of those the action takes it is."""
    files_root: Path | None = None
    """The folder under which actions may read and write files; None where the server allows none."""
    exact: bool = False
    """The flow's numbers are exact: fractions in its values are Decimals, and so are those of `http`'s responses.

    What else an action reads should come with Decimals too.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """What an action may return when there is more to its result than a body.

    `extra` stands beside the body in `steps.<id>`, as an HTTP response's `status` does. Attachments of the
    message stay unless `attachments` replaces them.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    attachments: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """What an action returns to let the execution wait, durably, before its message passes on. One of both is given."""

    seconds: float | None = None
    until: datetime | None = None
    """With a time zone."""


class FromVars:
    """Marks a setting whose expressions may read `vars` alone, so that no message can choose it.

    As in `url: Annotated[str, FromVars()]`.
    """


class Signal:
    """What an action returns instead of a result, to direct the flow. Compare by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


PASS = Signal("pass")
"""The message passes on unchanged."""
FILTERED = Signal("filtered")
"""The branch ends here: the execution, or the item of a foreach, which then gives no result."""
STOPPED = Signal("stopped")
"""The execution ends here, as succeeded."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a connector can do."""

    name: str
    """As a step says it: `acme.create_order`."""
    run: Callable[..., Awaitable[Any]]
    settings: type[BaseModel]
    """The model of its parameters; each field's alias is the parameter's name."""
    takes_context: bool
    credential: type[BaseModel] | None
    credential_types: tuple[str, ...]
    """Names of the credential types that it takes; empty where it takes none."""
    summary: str
    """The first line of its docstring."""
    description: str
    returns: Any
    """The annotation of its result."""
    pure: bool
    """It has no effect and gives the same again: on resume it is recomputed instead of remembered."""
    unavailable: str | None
    """Why it can't be used here, with the remedy; None where it can."""
    parameters: Mapping[str, str]
    """From each field of `settings` to the parameter of `run` that it fills."""
    from_vars: frozenset[str] = frozenset()
    """Parameters marked `FromVars`."""
    needs_credential: bool = False
    """A step has to name a credential: `ctx` is annotated `Context[Model]`, and not `Context[Model | None]`."""

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """The keyword arguments for `run`."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of its settings."""
        return self.settings.model_json_schema(by_alias=True, schema_generator=FlowJsonSchema)


#: Numbers become text where text is asked for, since identifiers often travel as numbers.
_CONFIG = ConfigDict(extra="forbid", coerce_numbers_to_str=True, arbitrary_types_allowed=True, protected_namespaces=())


class Connector:
    """Groups the actions of one service, with its credential type.

    `name` is the first part of its actions' names; the generic components alone have the empty prefix.
    `credential_type` is the name of its credential's type, by default the connector's own name.
    `accepts` names credential types of others that its actions take besides their own; `ctx.credential_type` says
    which one a step has.
    `unavailable` says why it can't be used here (an extra that isn't installed) and what to do.
    """

    def __init__(
        self,
        name: str,
        *,
        title: str = "",
        credential: type[BaseModel] | None = None,
        credential_type: str | None = None,
        accepts: tuple[str, ...] = (),
        prefix: bool = True,
        unavailable: str | None = None,
    ) -> None:
        self.name = name
        self.title = title or name
        self.credential = credential
        self.credential_type = credential_type or name
        self.accepts = accepts
        self.prefix = prefix
        self.unavailable = unavailable
        self.actions: dict[str, Action] = {}

    @typing.overload
    def action(self, function: F, /) -> F: ...
    @typing.overload
    def action(self, /, *, name: str | None = None, pure: bool = False) -> Callable[[F], F]: ...

    def action(
        self, function: F | None = None, /, *, name: str | None = None, pure: bool = False
    ) -> F | Callable[[F], F]:
        """Make an async function an action; used as `@acme.action` or `@acme.action(name="send")`.

        Its first parameter may be `ctx`, a `Context`; the others are the step's settings. Raises PluginError for a
        function that can't be one, naming it.
        """

        def add(function: F) -> F:
            action = self._read(function, name or function.__name__, pure)
            if action.name in self.actions:
                raise PluginError(f"connector {self.name!r} has two actions named {action.name!r}")
            self.actions[action.name] = action
            return function

        return add if function is None else add(function)

    def _read(self, function: Callable[..., Awaitable[Any]], short: str, pure: bool) -> Action:
        where = f"{function.__module__}.{function.__qualname__}"
        if not inspect.iscoroutinefunction(function):
            raise PluginError(f"{where} must be an async function to be an action")
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            raise PluginError(f"{where}: an annotation can't be resolved: {error}") from error
        parameters = list(inspect.signature(function).parameters.values())
        takes_context = bool(parameters) and parameters[0].name == "ctx"
        fields: dict[str, Any] = {}
        names: dict[str, str] = {}
        for position, parameter in enumerate(parameters[1:] if takes_context else parameters):
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise PluginError(f"{where}: parameter {parameter.name!r} can't be a setting; name each one")
            if parameter.name not in hints:
                raise PluginError(f"{where}: parameter {parameter.name!r} needs a type annotation")
            # A neutral field name, so that a parameter may be called `json`, `copy` or `schema`.
            field_name = f"setting_{position}"
            names[field_name] = parameter.name
            fields[field_name] = (hints[parameter.name], _field(parameter))
        full = f"{self.name}.{short}" if self.prefix else short
        doc = inspect.getdoc(function) or ""
        own = (self.credential_type,) if self.credential is not None else ()
        return Action(
            name=full,
            run=function,
            settings=create_model(f"{full} settings", __config__=_CONFIG, **fields),
            takes_context=takes_context,
            credential=self.credential,
            credential_types=own + self.accepts,
            summary=doc.partition("\n")[0],
            description=doc,
            returns=hints.get("return", Any),
            pure=pure,
            unavailable=self.unavailable,
            parameters=names,
            from_vars=frozenset(
                name for name, hint in hints.items() if any(isinstance(m, FromVars) for m in _metadata(hint))
            ),
            needs_credential=takes_context and _always_a_model(hints.get("ctx")),
        )


def _always_a_model(context: Any) -> bool:
    of = next(iter(typing.get_args(context)), None)
    return inspect.isclass(of) and issubclass(of, BaseModel)


def _metadata(hint: Any) -> tuple[Any, ...]:
    return hint.__metadata__ if typing.get_origin(hint) is typing.Annotated else ()


def _setting(parameter: str) -> str:
    """The name of a parameter's setting: one that Python keeps for itself is written with an underscore, as `for_`."""
    plain = parameter.removesuffix("_")
    return plain if keyword.iskeyword(plain) else parameter


def _field(parameter: inspect.Parameter) -> FieldInfo:
    name, default = _setting(parameter.name), parameter.default
    if default is parameter.empty:
        made: FieldInfo = Field(alias=name)
    elif isinstance(default, FieldInfo):
        # `quantity: int = Field(1, ge=1)`: the author's constraints stay, under the parameter's own name.
        made = FieldInfo.merge_field_infos(default, alias=name, validation_alias=name, serialization_alias=name)
    else:
        made = Field(default=default, alias=name)
    return made
