"""Options for a setting that a service knows, such as its channels, price lists or users.

    @acme.options
    async def warehouses(ctx: OptionsContext[AcmeKey], country: str, search: str = "") -> list[Option]:
        found = await ctx.http.get_json(f"{ctx.credential.base_url}/warehouses", params={"country": country})
        return [Option(one["id"], one["name"]) for one in found]

    @acme.action
    async def create_order(
        ctx: Context[AcmeKey], country: str, warehouse: Annotated[str, Options(warehouses)]
    ) -> dict[str, Any]: …

They are listed for the author of a flow (`hookline components options`, the admin API, a form), and never when a flow
is read or runs: in the flow, the chosen option is a value as any other.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from hookline.kernel.errors import PluginError
from hookline.kernel.json import JsonValue
from hookline.kernel.logs import Log
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.settings.function_signatures import read_signature, setting_name

if TYPE_CHECKING:
    from hookline.sdk.context_parts import Resources
    from hookline.sdk.http_client import HttpClient

C = TypeVar("C")

MAX_OPTIONS: Final = 1000
"""The largest number of options in a page."""
SEARCH: Final = "search"
"""The parameter with the text of a search."""


@dataclass(frozen=True, slots=True)
class OptionsContext(TokenUser, Generic[C]):
    """The context of a function that lists options."""

    credential: C
    """An instance of the connector's credential type; None if no credential is named."""
    http: "HttpClient"
    log: Log
    resources: "Resources"
    """The resources that the plugin keeps open."""
    credential_type: str | None = None
    """The name of the credential's type."""
    tokens: Tokens | None = None
    """The access tokens of the credential. `access_token` uses it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a setting."""

    value: JsonValue
    """The value of the setting."""
    label: str = ""
    """The text that users see; the default is the value."""


ListOptions: TypeAlias = Callable[..., Awaitable[Iterable[Option]] | AsyncIterator[Option]]
"""An async function or async generator whose parameters may be `ctx`, `search` and other settings."""


@dataclass(frozen=True, slots=True)
class Options:
    """Marks a setting whose options a function lists: `channel: Annotated[str, Options(channels)]`.

    `of` is the function, or the name of a function with `@acme.options`. Other values are still allowed: a value may
    come from a message, or be newer than the list.
    """

    of: ListOptions | str


@dataclass(frozen=True, slots=True)
class OptionsFunction:
    """A function that lists the options of settings, with the model of its parameters."""

    run: ListOptions
    takes_context: bool
    settings: type[BaseModel]
    """The model of the other settings that it needs, and of `search`. The alias of each field is the setting's name."""
    parameters: Mapping[str, str]
    """The parameter of `run` for each field of `settings`."""

    @property
    def searches(self) -> bool:
        """True if it can search."""
        return SEARCH in self.parameters.values()

    @property
    def depends_on(self) -> list[str]:
        """The other settings that it needs."""
        return [name for each in self.parameters.values() if (name := setting_name(each)) != SEARCH]


def read_options_function(function: ListOptions) -> OptionsFunction:
    """Read the signature of a function that lists options. Raises PluginError, which names the function."""
    read = read_signature(function, "a function that lists options", ("ctx",), generators=True)
    name = f"{function.__module__}.{function.__qualname__}"
    return OptionsFunction(function, bool(read.leading), read.settings(name), read.parameters)


class OptionsFunctions:
    """The functions of one connector that list options, and the settings that refer to them."""

    def __init__(self) -> None:
        self._named: dict[str, OptionsFunction] = {}
        self._waiting: dict[str, list[tuple[dict[str, OptionsFunction], str, str, frozenset[str]]]] = {}

    def add(self, function: ListOptions) -> None:
        """Add a function under its name. Raises PluginError."""
        options_function, name = read_options_function(function), function.__name__
        if name in self._named:
            raise PluginError(f"there are two functions named {name!r} that list options")
        self._named[name] = options_function
        for found, of, setting, known in self._waiting.pop(name, ()):
            check_options_function(options_function, of, setting, known)
            found[setting] = options_function

    def for_settings(
        self, markers: Mapping[str, Options], of: str, parameters: Iterable[str]
    ) -> Mapping[str, OptionsFunction]:
        """Return the functions for the settings of a component, by setting. Functions that are added later fill it in.

        `markers`: the markers by parameter. Raises PluginError.
        """
        found: dict[str, OptionsFunction] = {}
        known = frozenset(map(setting_name, parameters))
        for parameter, marker in markers.items():
            setting = setting_name(parameter)
            if not isinstance(marker.of, str):
                options_function = read_options_function(marker.of)
            elif marker.of in self._named:
                options_function = self._named[marker.of]
            else:
                self._waiting.setdefault(marker.of, []).append((found, of, setting, known))
                continue
            check_options_function(options_function, of, setting, known)
            found[setting] = options_function
        return found

    @property
    def missing(self) -> list[str]:
        """The problems of settings that refer to a function that was never added."""
        return [
            f"{of} refers to {name!r} for the options of {setting!r}, but there is no such function with `@….options`"
            for name, waiting in self._waiting.items()
            for _, of, setting, _ in waiting
        ]


def check_options_function(options_function: OptionsFunction, of: str, setting: str, known: Iterable[str]) -> None:
    """Raise PluginError if the function needs a setting that the component `of` doesn't have."""
    names = set(known)
    unknown = [name for name in options_function.depends_on if name not in names]
    if unknown:
        listed = ", ".join(sorted(names - {setting})) or "no other"
        name = options_function.settings.__name__.removesuffix(" settings")
        raise PluginError(
            f"{name} lists options for {setting!r} of {of!r}, and needs {unknown[0]!r}, "
            f"which is not one of its settings; it has {listed}"
        )
