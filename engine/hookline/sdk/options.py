"""Choices for a setting that a service knows: its channels, its price lists, its users.

    @acme.options
    async def warehouses(ctx: OptionsContext[AcmeKey], country: str, search: str = "") -> list[Option]:
        found = await ctx.http.get_json(f"{ctx.credential.base_url}/warehouses", params={"country": country})
        return [Option(one["id"], one["name"]) for one in found]

    @acme.action
    async def create_order(
        ctx: Context[AcmeKey], country: str, warehouse: Annotated[str, Options(warehouses)]
    ) -> dict[str, Any]: …

They are asked for where somebody writes a flow (`hookline components options`, the admin API, a form), and never when
a flow is read or runs: what is chosen stands in the flow as any other value.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from hookline.kernel.errors import PluginError
from hookline.kernel.json import JsonValue
from hookline.kernel.logs import Log
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.signature import read_signature, setting_name

if TYPE_CHECKING:
    from hookline.sdk.context import Resources
    from hookline.sdk.http import HttpClient

C = TypeVar("C")

MAX_OPTIONS: Final = 1000
"""How many are given at once."""
SEARCH: Final = "search"
"""The parameter that is given what somebody searches for."""


@dataclass(frozen=True, slots=True)
class OptionsContext(TokenUser, Generic[C]):
    """What a function is given that knows a setting's choices."""

    credential: C
    """An instance of the connector's credential type; None where none is named."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    credential_type: str | None = None
    """The name of the credential's type."""
    tokens: Tokens | None = None
    """What `access_token` asks."""


@dataclass(frozen=True, slots=True)
class Option:
    """One choice."""

    value: JsonValue
    """What the setting is given."""
    label: str = ""
    """What people read; the value by default."""


Given: TypeAlias = Awaitable[Iterable[Option]] | AsyncIterator[Option]
ListOptions: TypeAlias = Callable[..., Given]
"""An async function or an async generator of a context (`ctx`), of other settings by their names, and of `search`."""


@dataclass(frozen=True, slots=True)
class Options:
    """Marks a setting whose choices a function knows: `channel: Annotated[str, Options(channels)]`.

    `of` is the function, or the name of one that the connector has as `@acme.options`. Others than the choices stay
    allowed: a value may come from a message, or be newer than what was listed.
    """

    of: ListOptions | str


@dataclass(frozen=True, slots=True)
class OptionsFunction:
    """What knows a setting's choices."""

    run: ListOptions
    takes_context: bool
    settings: type[BaseModel]
    """The model of the other settings that it takes, and of `search`; each field's alias is the setting's name."""
    parameters: Mapping[str, str]
    """From each field of `settings` to the parameter of `run` that it fills."""

    @property
    def searches(self) -> bool:
        """Whether it takes what somebody searches for."""
        return SEARCH in self.parameters.values()

    @property
    def depends_on(self) -> list[str]:
        """The other settings that it takes."""
        return [name for each in self.parameters.values() if (name := setting_name(each)) != SEARCH]


def read_options_function(function: ListOptions) -> OptionsFunction:
    """A function that knows a setting's choices. Raises PluginError where it can't be one, naming it."""
    read = read_signature(function, "what lists options", ("ctx",), generators=True)
    name = f"{function.__module__}.{function.__qualname__}"
    return OptionsFunction(function, bool(read.leading), read.settings(name), read.parameters)


class OptionsFunctions:
    """The functions of one connector that list options, and the settings that ask for them."""

    def __init__(self) -> None:
        self._named: dict[str, OptionsFunction] = {}
        self._waiting: dict[str, list[tuple[dict[str, OptionsFunction], str, str, frozenset[str]]]] = {}

    def add(self, function: ListOptions) -> None:
        """Take a function under its name. Raises PluginError."""
        choices, name = read_options_function(function), function.__name__
        if name in self._named:
            raise PluginError(f"there are two functions named {name!r} that list options")
        self._named[name] = choices
        for found, of, setting, known in self._waiting.pop(name, ()):
            check_options_function(choices, of, setting, known)
            found[setting] = choices

    def for_settings(
        self, markers: Mapping[str, Options], of: str, parameters: Iterable[str]
    ) -> Mapping[str, OptionsFunction]:
        """What knows the choices for a component's settings, by setting; filled in as functions are added.

        `markers`: by parameter. Raises PluginError.
        """
        found: dict[str, OptionsFunction] = {}
        known = frozenset(map(setting_name, parameters))
        for parameter, marker in markers.items():
            setting = setting_name(parameter)
            if not isinstance(marker.of, str):
                choices = read_options_function(marker.of)
            elif marker.of in self._named:
                choices = self._named[marker.of]
            else:
                self._waiting.setdefault(marker.of, []).append((found, of, setting, known))
                continue
            check_options_function(choices, of, setting, known)
            found[setting] = choices
        return found

    @property
    def missing(self) -> list[str]:
        """What is asked for, and isn't there."""
        return [
            f"{of} asks for the options of {setting!r} from {name!r}, which isn't there: add `@….options` to it"
            for name, waiting in self._waiting.items()
            for _, of, setting, _ in waiting
        ]


def check_options_function(choices: OptionsFunction, of: str, setting: str, known: Iterable[str]) -> None:
    """Raise PluginError where choices take a setting that the component `of` hasn't."""
    names = set(known)
    unknown = [name for name in choices.depends_on if name not in names]
    if unknown:
        listed = ", ".join(sorted(names - {setting})) or "no other"
        raise PluginError(
            f"{choices.settings.__name__.removesuffix(' settings')} lists options for {setting!r} of {of!r}, and takes "
            f"{unknown[0]!r}, which is no setting of it; it has {listed}"
        )
