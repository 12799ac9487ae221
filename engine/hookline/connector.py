"""Connectors and their actions: what a step can `use`.

An action's signature is its schema. `Connector.action` reads it once, makes a pydantic model of it, and from then on
validation, the linter and the reference docs all ask that model.
"""

import inspect
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, Field, create_model

from hookline.errors import PluginError
from hookline.jsontypes import JsonValue
from hookline.logger import Log as Log
from hookline.model.durations import FlowJsonSchema, Interval, parse_duration
from hookline.model.items import Items
from hookline.model.message import Message
from hookline.model.poll import PollSettings
from hookline.poll import Identity, Polled, PollTrigger
from hookline.signature import read_signature, setting_name
from hookline.trigger import Trigger
from hookline.verifier import Verifier

if TYPE_CHECKING:
    from hookline.flow_values import FlowState
    from hookline.http import HttpClient
    from hookline.ports import Blobs
    from hookline.resources import Resources

C = TypeVar("C")
F = TypeVar("F", bound=Callable[..., Awaitable[Any] | AsyncIterator[Any]])
P = TypeVar("P", bound=Callable[..., Awaitable[Polled]])
V = TypeVar("V", bound=Verifier)


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
    state: "FlowState"
    """What the flow keeps from one execution to the next; for actions that aren't pure."""
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


@dataclass(frozen=True, slots=True)
class Count:
    """What an action returns to let a number grow that the flow keeps, as a counter: its result is the new number.

    However many executions count at one time, none of their steps is lost, and none counts twice.
    """

    key: str
    by: int | float | Decimal = 1


class FromVars:
    """Marks a setting whose expressions may read `vars` alone, so that no message can choose it.

    As in `url: Annotated[str, FromVars()]`.
    """


class Shown:
    """Marks a setting whose value others get to see, as those of a log and of an address do: no secret belongs there.

    As in `message: Annotated[str, Shown()]`.
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


Idempotent: TypeAlias = bool | Callable[[Mapping[str, Any]], bool | None] | None
"""Whether doing it twice is as doing it once, or what says so of a step's constant settings; None: isn't known."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a connector can do."""

    name: str
    """As a step says it: `acme.create_order`."""
    run: Callable[..., Awaitable[Any] | AsyncIterator[Any]]
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
    shown: frozenset[str] = frozenset()
    """Parameters marked `Shown`."""
    needs_credential: bool = False
    """A step has to name a credential: `ctx` is annotated `Context[Model]`, and not `Context[Model | None]`."""
    idempotent: Idempotent = None
    """Whether a step may be tried again without harm."""
    takes_items: frozenset[str] = frozenset()
    """Settings that are `Items`, and take a stream."""

    def repeats(self, settings: Mapping[str, Any]) -> bool | None:
        """Whether it may be done twice with these settings, of which only constants are given; None: isn't known."""
        return self.idempotent(settings) if callable(self.idempotent) else self.idempotent

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """The keyword arguments for `run`."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of its settings."""
        return self.settings.model_json_schema(by_alias=True, schema_generator=FlowJsonSchema)


class Connector:
    """Groups the actions and the triggers of one service, with its credential type.

    `name` is the first part of its actions' names; the generic components alone have the empty prefix.
    `credential_type` is the name of its credential's type, by default the connector's own name.
    `accepts` names credential types of others that its actions take besides their own; `ctx.credential_type` says
    which one a step has.
    `unavailable` says why it can't be used here (an extra that isn't installed) and what to do.
    `outside=False` says that its actions touch nothing outside the engine: they run where flows are tested, too.

    What else its page of the reference is made of, all of which gold asks for: `description` says in Markdown what it
    does and what it takes; `extra` names the extra of its distribution without which it is unavailable; `errors` has
    each error code of its own with what it means and what to do, and is `{}` where it has none; `example` is a whole
    flow that uses it.
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
        outside: bool = True,
        description: str = "",
        extra: str | None = None,
        errors: Mapping[str, str] | None = None,
        example: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.title = title or name
        self.credential = credential
        self.credential_type = credential_type or name
        self.accepts = accepts
        self.prefix = prefix
        self.unavailable = unavailable
        self.outside = outside
        self.description = inspect.cleandoc(description)
        self.extra = extra
        self.errors = errors
        self.example = example
        self.actions: dict[str, Action] = {}
        self.polls: dict[str, PollTrigger] = {}
        self.verifier: Verifier | None = None

    @property
    def triggers(self) -> Mapping[str, Trigger]:
        """All its triggers, by name."""
        return self.polls

    @typing.overload
    def action(self, function: F, /) -> F: ...
    @typing.overload
    def action(
        self, /, *, name: str | None = None, pure: bool = False, idempotent: Idempotent = None
    ) -> Callable[[F], F]: ...

    def action(
        self,
        function: F | None = None,
        /,
        *,
        name: str | None = None,
        pure: bool = False,
        idempotent: Idempotent = None,
    ) -> F | Callable[[F], F]:
        """Make an async function an action; used as `@acme.action` or `@acme.action(name="send")`.

        One that gives many items is an async generator, or returns an async iterator: they are kept as they come, and
        a foreach goes through them however many there are. Its first parameter may be `ctx`, a `Context`; the others
        are the step's settings. Raises PluginError for a function that can't be one, naming it.

        `idempotent`: False where doing it twice isn't as doing it once, so that flows which try it again are remarked;
        or a function of a step's constant settings that says it.
        """

        def add(function: F) -> F:
            action = self._read(function, name or function.__name__, pure, idempotent)
            if action.name in self.actions:
                raise PluginError(f"connector {self.name!r} has two actions named {action.name!r}")
            self.actions[action.name] = action
            return function

        return add if function is None else add(function)

    def poll(self, *, every: str, name: str | None = None, timeout: str = "5m") -> Callable[[P], P]:
        """Make an async function a trigger that looks for what is new; used as `@acme.poll(every="1m")`.

        Its first parameters may be `ctx`, a `PollContext`, and `cursor`, what it gave last time; the others are the
        trigger's settings. It gives a `Polled`. `every` and `timeout` are what a flow gets that says nothing else.
        Raises PluginError for a function that can't be one, naming it.
        """

        def add(function: P) -> P:
            trigger = self._read_poll(function, name or function.__name__, every, timeout)
            if trigger.name in self.polls:
                raise PluginError(f"connector {self.name!r} has two triggers named {trigger.name!r}")
            self.polls[trigger.name] = trigger
            return function

        return add

    def verify(self, function: V, /) -> V:
        """Make an async function what says whether a credential works; used as `@acme.verify`.

        It is given a `VerifyContext`, asks the service something that changes nothing, and gives who the credential is
        there, or None. It raises StepError where the credential can't be used. Raises PluginError for a function that
        can't be one, naming it.
        """
        read = read_signature(function, "what verifies a credential", ("ctx",))
        where = f"{function.__module__}.{function.__qualname__}"
        if self.credential is None:
            raise PluginError(f"{where}: connector {self.name!r} has no credential type to verify")
        if read.leading != ("ctx",) or read.parameters:
            raise PluginError(f"{where}: what verifies a credential takes `ctx` and nothing else")
        if self.verifier is not None:
            raise PluginError(f"connector {self.name!r} has two functions that verify its credential")
        self.verifier = function
        return function

    def _read_poll(
        self, function: Callable[..., Awaitable[Polled]], short: str, every: str, timeout: str
    ) -> PollTrigger:
        full = self._full(short)
        read = read_signature(function, "a trigger that polls", ("ctx", "cursor"))
        taken = sorted(PollSettings.model_fields.keys() & {setting_name(name) for name in read.parameters.values()})
        if taken:
            raise PluginError(f"trigger {full!r}: a setting can't be named {taken[0]!r}: every poll has one already")
        return PollTrigger(
            name=full,
            title=read.summary or full,
            settings=read.settings_besides(full, _poll_settings(full, every, timeout)),
            summary=read.summary,
            description=read.description,
            run=function,
            leading=read.leading,
            parameters=read.parameters,
            credential=self.credential,
            credential_types=self._credential_types(),
            needs_credential=read.needs_credential(),
            unavailable=self.unavailable,
            identity=read.marked(Identity),
        )

    def _full(self, short: str) -> str:
        return f"{self.name}.{short}" if self.prefix else short

    def _credential_types(self) -> tuple[str, ...]:
        own = (self.credential_type,) if self.credential is not None else ()
        return own + self.accepts

    def _read(
        self,
        function: Callable[..., Awaitable[Any] | AsyncIterator[Any]],
        short: str,
        pure: bool,
        idempotent: Idempotent,
    ) -> Action:
        read = read_signature(function, "an action", ("ctx",), generators=True)
        full = self._full(short)
        return Action(
            name=full,
            run=function,
            settings=read.settings(full),
            takes_context=bool(read.leading),
            credential=self.credential,
            credential_types=self._credential_types(),
            summary=read.summary,
            description=read.description,
            returns=read.hints.get("return", Any),
            pure=pure,
            unavailable=self.unavailable,
            parameters=read.parameters,
            from_vars=read.marked(FromVars),
            shown=read.marked(Shown),
            needs_credential=read.needs_credential(),
            idempotent=True if pure else idempotent,
            takes_items=read.of_type(Items),
        )


def _poll_settings(name: str, every: str, timeout: str) -> type[PollSettings]:
    """The settings that every poll has, with a trigger's own defaults."""
    made: dict[str, Any] = {}
    for field_name, default in (("every", every), ("timeout", timeout)):
        info = PollSettings.model_fields[field_name]
        try:
            made[field_name] = (Interval, Field(default=parse_duration(default), description=info.description))
        except ValueError as error:
            raise PluginError(f"trigger {name!r}: {field_name}={default!r}: {error}") from error
    return create_model(f"{name} poll settings", __base__=PollSettings, **made)
