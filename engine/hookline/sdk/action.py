"""Actions: their definition, their context, and the special results that they may return."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from hookline.kernel.json import JsonValue
from hookline.kernel.logs import Log
from hookline.kernel.plugin_model_validation import validate_safely
from hookline.model.durations import FlowJsonSchema
from hookline.model.message import Message
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.settings.function_signatures import SettingSources
from hookline.sdk.settings.options_functions import OptionsFunction
from hookline.sdk.settings.setting_upgrades import Upgrade

if TYPE_CHECKING:
    from hookline.sdk.context_parts import FlowState, Resources
    from hookline.sdk.http_client import HttpClient
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Context(TokenUser, Generic[C]):
    """The context of a call of an action (`ctx`)."""

    credential: C
    """The credential of the step, an instance of the connector's credential type; None if the step names none."""
    message: Message
    """The current message."""
    http: "HttpClient"
    """Sends HTTP requests, but not to addresses inside the network."""
    blobs: "Blobs"
    """The store of the bytes of attachments."""
    log: Log
    execution_id: str
    step_id: str
    attempt: int
    """The number of the attempt, from 1."""
    idempotency_key: str
    """A key that is the same at each attempt at this step of this execution."""
    state: "FlowState"
    """The state of the flow, which outlives executions. A pure action can't use it."""
    resources: "Resources"
    """The resources that the plugin keeps open between steps, such as connections."""
    credential_type: str | None = None
    """The name of the credential's type."""
    files_root: Path | None = None
    """The folder in which actions may read and write files; None if the server allows no files."""
    exact: bool = False
    """True if the flow has exact numbers: fractions in its values and in the responses of `http` are Decimals.

    The action should then use Decimals for all other values that it reads.
    """
    tokens: Tokens | None = None
    """The access tokens of the credential. `access_token` uses it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A result that has more than a body.

    `extra` is beside the body in `steps.<id>`, such as the `status` of an HTTP response. The message keeps its
    attachments unless `attachments` replaces them.
    """

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    attachments: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """A result that makes the execution wait, durably, before its next step. Exactly one of the two is given.

    Raises TypeError for anything else.
    """

    seconds: float | None = None
    until: datetime | None = None
    """A time with a time zone."""

    def __post_init__(self) -> None:
        if self.until is not None:
            right = self.seconds is None and isinstance(self.until, datetime) and self.until.utcoffset() is not None
        else:
            right = isinstance(self.seconds, int | float) and self.seconds == self.seconds  # NaN isn't
        if not right:
            raise TypeError(f"{self!r}: a Sleep has either `seconds`, a number, or `until`, a time with a time zone")


@dataclass(frozen=True, slots=True)
class Increment:
    """A result that adds to a counter in the flow's state. The result of the step is the new number.

    The addition is exactly once and atomic, also if many executions count at the same time. Raises TypeError if
    `key` is no text, or `by` is no number.
    """

    key: str
    by: int | float | Decimal = 1

    def __post_init__(self) -> None:
        if not isinstance(self.key, str) or not isinstance(self.by, int | float | Decimal):
            raise TypeError(f"{self!r}: an Increment has a text and a number")


class FromVars:
    """Marks a setting whose expressions may only read `vars`, so that no message can choose its value.

    As in `url: Annotated[str, FromVars()]`.
    """


class CredentialGoesTo:
    """Marks a setting that is the URL to which the action sends the step's credential.

    As in `url: Annotated[str, CredentialGoesTo()]`. The engine calls the action only if the flow's text or its vars
    name the origin, or if the credential names hosts. `ctx.http` keeps to these hosts in any case.
    """


class Exposed:
    """Marks a setting whose value others can see, such as a line of a log or a URL. It must not have secrets.

    As in `message: Annotated[str, Exposed()]`.
    """


class Either:
    """Marks a setting that must not be given together with certain others.

    As in `row: Annotated[dict[str, Any] | None, Either("rows")] = None`. Null counts as not given if it is the default.
    `hookline check` reports such settings. The function must still reject them, because expressions may give null or a
    value.
    """

    def __init__(self, *others: str, required: bool = True) -> None:
        """`others`: the names of the other settings. `required`: one of them must be given."""
        self.others = others
        self.required = required


class Signal:
    """A result that controls the flow. Signals are compared by identity."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.name}>"


PASS = Signal("pass")
"""The execution continues with the unchanged message."""
FILTERED = Signal("filtered")
"""The branch ends here: the execution, or the item of a foreach, which then has no result."""
STOPPED = Signal("stopped")
"""The execution ends here, as succeeded."""

Idempotent: TypeAlias = bool | Callable[[Mapping[str, Any]], bool | None] | None
"""True if repeating the action has no further effect; or a function of a step's constant settings. None: unknown."""

ClientRate: TypeAlias = str | Callable[[Any], str | None]
"""A rate limit such as `50/s`, or a function of the credential that returns one."""


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a connector."""

    name: str
    """The name that steps use, such as `acme.create_order`."""
    run: Callable[..., Awaitable[Any] | AsyncIterator[Any]]
    settings: type[BaseModel]
    """The model of its settings. The alias of each field is the name of the setting."""
    takes_context: bool
    credential: type[BaseModel] | None
    credential_types: tuple[str, ...]
    """The names of the credential types that it accepts; empty if it needs no credential."""
    summary: str
    """The first line of the docstring."""
    description: str
    returns: Any
    """The annotation of the result."""
    pure: bool
    """True if it has no effect and always returns the same: it is repeated on resume instead of recorded."""
    unavailable: str | None
    """The reason why it can't be used here, with the remedy; None if it can."""
    parameters: Mapping[str, str]
    """The parameter of `run` for each field of `settings`."""
    from_vars: frozenset[str] = frozenset()
    """The parameters that are marked `FromVars`."""
    credential_goes_to: frozenset[str] = frozenset()
    """The parameters that are marked `CredentialGoesTo`."""
    exposed: frozenset[str] = frozenset()
    """The parameters that are marked `Exposed`."""
    either: Mapping[str, Either] = field(default_factory=dict)
    """The settings that are marked `Either`, with their marks."""
    needs_credential: bool = False
    """True if a step must name a credential: `ctx` is a `Context[Model]`, not a `Context[Model | None]`."""
    idempotent: Idempotent = None
    """True if a step may safely be repeated."""
    connector: str = ""
    """The name of the connector."""
    rate: ClientRate | None = None
    """The rate limit of the connector's actions with one credential, over all flows."""
    options: Mapping[str, OptionsFunction] = field(default_factory=dict)
    """The functions that list the options of settings, by setting."""
    items: frozenset[str] = frozenset()
    """The settings that take a list or a stream, item by item."""
    version: int | None = None
    """The version of its settings; None if there has only been one."""
    upgrade: Upgrade | None = None
    """The upgrade to the newest settings, if these are older. `parameters` are then those of the newest."""
    newest_settings: type[BaseModel] | None = None
    """The model of the newest settings, if these are older."""

    def repeats(self, settings: Mapping[str, Any]) -> bool | None:
        """Return True if it is idempotent with these settings, which are only the constant ones. None: unknown."""
        return self.idempotent(settings) if callable(self.idempotent) else self.idempotent

    def validated(self, settings: Any, sources: SettingSources | None = None) -> BaseModel:
        """Return the validated settings of a step, for `arguments`. Raises ValidationError, and StepError."""
        if self.upgrade is None or self.newest_settings is None:
            return validate_safely(self.settings, settings, sources)
        validate_safely(self.settings, settings)
        return validate_safely(self.newest_settings, self.upgrade.apply(settings), sources)

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """Return the keyword arguments for `run`, made of the result of `validated`."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of its settings."""
        return self.settings.model_json_schema(by_alias=True, schema_generator=FlowJsonSchema)


@dataclass(frozen=True, slots=True)
class ReturnsSetting:
    """Marks the result of an action as the value of one of its settings."""

    name: str


@dataclass(frozen=True, slots=True)
class PassesIf:
    """Marks the result of an action that continues if a setting is true, and ends the branch if it is false."""

    name: str


@dataclass(frozen=True, slots=True)
class EndsExecution:
    """Marks the result of an action that always ends the execution, so that no step follows it."""
