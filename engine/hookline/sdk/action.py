"""Actions: what a step can `use`, what they are given, and what they may return beside a value."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from hookline.kernel.json import JsonValue
from hookline.kernel.logs import Log
from hookline.kernel.safe_validation import validate_safely
from hookline.model.durations import FlowJsonSchema
from hookline.model.message import Message
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.options import OptionsFunction
from hookline.sdk.setting_versions import Upgrade
from hookline.sdk.signature import SettingSources

if TYPE_CHECKING:
    from hookline.sdk.context import FlowState, Resources
    from hookline.sdk.http import HttpClient
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Context(TokenUser, Generic[C]):
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
    tokens: Tokens | None = None
    """What `access_token` asks."""


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
class Sleep:
    """What an action returns to let the execution wait, durably, before its message passes on. One of both is given."""

    seconds: float | None = None
    until: datetime | None = None
    """With a time zone."""


@dataclass(frozen=True, slots=True)
class Increment:
    """What an action returns to let a number grow that the flow keeps, as a counter: its result is the new number.

    However many executions count at one time, none of their steps is lost, and none counts twice.
    """

    key: str
    by: int | float | Decimal = 1


class FromVars:
    """Marks a setting whose expressions may read `vars` alone, so that no message can choose it.

    As in `url: Annotated[str, FromVars()]`.
    """


class Exposed:
    """Marks a setting whose value others get to see, as those of a log and of an address do: no secret belongs there.

    As in `message: Annotated[str, Exposed()]`.
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

ClientRate: TypeAlias = str | Callable[[Any], str | None]
"""How often a service wants to be asked at most, such as `50/s`; or what says so of a credential."""


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
    exposed: frozenset[str] = frozenset()
    """Parameters marked `Exposed`."""
    needs_credential: bool = False
    """A step has to name a credential: `ctx` is annotated `Context[Model]`, and not `Context[Model | None]`."""
    idempotent: Idempotent = None
    """Whether a step may be tried again without harm."""
    connector: str = ""
    """The connector's name."""
    rate: ClientRate | None = None
    """How often the connector's actions run at most with one credential, over all flows."""
    options: Mapping[str, OptionsFunction] = field(default_factory=dict)
    """What knows the choices for its settings, by setting."""
    items: frozenset[str] = frozenset()
    """The settings that take items one by one: a list, or a stream."""
    version: int | None = None
    """Of its settings; None where there never was another."""
    upgrade: Upgrade | None = None
    """From these settings to the newest, where these are older: then `parameters` are those of the newest."""
    newest_settings: type[BaseModel] | None = None
    """The model of the newest settings, where these are older."""

    def repeats(self, settings: Mapping[str, Any]) -> bool | None:
        """Whether it may be done twice with these settings, of which only constants are given; None: isn't known."""
        return self.idempotent(settings) if callable(self.idempotent) else self.idempotent

    def validated(self, settings: Any, sources: SettingSources | None = None) -> BaseModel:
        """The settings of a step, as `arguments` takes them. Raises ValidationError, and StepError."""
        if self.upgrade is None or self.newest_settings is None:
            return validate_safely(self.settings, settings, sources)
        validate_safely(self.settings, settings)
        return validate_safely(self.newest_settings, self.upgrade.apply(settings), sources)

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """The keyword arguments for `run`, of what `validated` gave."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of its settings."""
        return self.settings.model_json_schema(by_alias=True, schema_generator=FlowJsonSchema)


@dataclass(frozen=True, slots=True)
class ReturnsSetting:
    """The result is the value of one of the action's settings."""

    name: str


@dataclass(frozen=True, slots=True)
class PassesIf:
    """The message passes where a setting is true, and the branch ends where it is false."""

    name: str


@dataclass(frozen=True, slots=True)
class EndsExecution:
    """No step after the action runs: it ends the execution."""
