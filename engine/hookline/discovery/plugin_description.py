"""The metadata file of a plugin: a description of its parts that can be read without running the plugin.

`hookline-plugin.json` is in the plugin's package. For a plugin that is a single module, it is beside the module, as
`<module>.hookline-plugin.json`. The file is generated from the parts that the plugin registers, and a test of the
plugin checks that it is up to date.

A node that only accepts messages reads this file instead of loading connectors.
"""

from importlib.metadata import Distribution, EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec

from hookline.discovery.quality import Level, level_of
from hookline.discovery.registry import PartKind, PluginStatus, Registry
from hookline.kernel.errors import PluginFailed
from hookline.sdk.connector import Connector
from hookline.sdk.poll import PollTrigger
from hookline.sdk.triggers import ConnectorTrigger, WebhookTrigger

FILE: Final = "hookline-plugin.json"
FORMAT: Final = 2
"""The version of the file's format. A reader accepts its own version and all earlier ones."""

_WITH_TRIGGERS: Final = 2
"""The first version of the format that describes the triggers of connectors."""


class Part(msgspec.Struct, frozen=True):
    """An action, a trigger, a scheme or a mapper."""

    name: str
    title: str


class SignedRequests(msgspec.Struct, frozen=True, omit_defaults=True):
    """The way in which the requests of a trigger with a subscription are signed."""

    scheme: str
    settings: dict[str, Any] = {}
    """Settings of the scheme, as in `verify`."""
    secret_field: str | None = None
    """The field of the credential that holds the secret of the scheme, if the trigger names it."""


class TriggerPart(Part, frozen=True, omit_defaults=True):
    """A trigger of a connector: a subscription if it has `requests`, otherwise a poll or a consumer."""

    polls: bool = False
    requests: SignedRequests | None = None


class ConnectorPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """A connector."""

    name: str
    title: str
    description: str = ""
    quality: Level | None = None
    """Its level on the quality scale; null if it doesn't reach bronze."""
    credential: str | None = None
    """The name of its credential type."""
    accepts: tuple[str, ...] = ()
    """The names of other credential types that it accepts."""
    extra: str | None = None
    """The extra of the distribution that must be installed."""
    actions: tuple[Part, ...] = ()
    triggers: tuple[TriggerPart, ...] = ()


class PluginDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of a plugin."""

    format: int
    connectors: tuple[ConnectorPart, ...] = ()
    triggers: tuple[Part, ...] = ()
    """The triggers that belong to no connector."""
    schemes: tuple[Part, ...] = ()
    mappers: tuple[Part, ...] = ()
    credential_types: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    """URL schemes."""
    blob_stores: tuple[str, ...] = ()
    """URL schemes."""
    intake_queues: tuple[str, ...] = ()
    """URL schemes."""
    template_filters: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    @property
    def tells_triggers(self) -> bool:
        """True if it tells enough of the triggers of connectors to accept their messages without loading them."""
        return self.format >= _WITH_TRIGGERS or not any(connector.triggers for connector in self.connectors)

    @property
    def has_more_than_connectors(self) -> bool:
        """True if it has parts besides connectors: a node that only accepts messages needs those, too."""
        return any(
            (
                self.triggers,
                self.schemes,
                self.mappers,
                self.backends,
                self.blob_stores,
                self.intake_queues,
                self.template_filters,
                self.sites,
            )
        )

    def names(self) -> list[tuple[str, str]]:
        """Return the kind and the name of each part, in order."""
        found = [("connector", one.name) for one in self.connectors]
        for connector in self.connectors:
            found += [("action", one.name) for one in connector.actions]
            found += [("trigger", one.name) for one in connector.triggers]
        for kind, parts in (("trigger", self.triggers), ("scheme", self.schemes), ("mapper", self.mappers)):
            found += [(kind, one.name) for one in parts]
        for kind, texts in (
            ("credential type", self.credential_types),
            ("backend", self.backends),
            ("blob store", self.blob_stores),
            ("intake queue", self.intake_queues),
            ("template filter", self.template_filters),
            ("site", self.sites),
        ):
            found += [(kind, text) for text in texts]
        return found


def describe(registry: Registry, plugin: PluginStatus) -> PluginDescription:
    """Return the description of a plugin. It doesn't depend on other plugins or on the extras that are installed."""

    def names(kind: PartKind) -> list[str]:
        return sorted(name for (of, name), origin in registry.origins.items() if of == kind and origin == plugin)

    connectors = [registry.connectors[name] for name in names("connector")]
    owned = {name for connector in connectors for name in (*connector.triggers, *connector.pinned)}
    triggers = [registry.triggers[name] for name in names("trigger") if name not in owned]
    return PluginDescription(
        FORMAT,
        connectors=tuple(_connector(connector) for connector in connectors),
        triggers=tuple(Part(one.name, one.title or one.summary) for one in triggers),
        schemes=tuple(Part(name, registry.schemes[name].title) for name in names("scheme")),
        mappers=tuple(Part(name, registry.mappers[name].title or name) for name in names("mapper")),
        credential_types=tuple(names("credential type")),
        backends=tuple(names("backend")),
        blob_stores=tuple(names("blob store")),
        intake_queues=tuple(names("intake queue")),
        template_filters=tuple(names("template filter")),
        sites=tuple(names("site")),
    )


def _connector(connector: Connector) -> ConnectorPart:
    return ConnectorPart(
        name=connector.name,
        title=connector.title,
        description=connector.description,
        quality=level_of(connector),
        credential=None if connector.credential is None else connector.credential_type,
        accepts=connector.accepts,
        extra=connector.extra,
        actions=tuple(Part(name, action.summary) for name, action in sorted(connector.actions.items())),
        triggers=tuple(_trigger(trigger) for _, trigger in sorted(connector.triggers.items())),
    )


def _trigger(trigger: ConnectorTrigger) -> TriggerPart:
    requests = None
    if isinstance(trigger, WebhookTrigger):
        requests = SignedRequests(trigger.scheme, dict(trigger.scheme_settings), trigger.secret_field)
    return TriggerPart(trigger.name, trigger.summary, isinstance(trigger, PollTrigger), requests)


def text_of(description: PluginDescription) -> str:
    """Return the text of the file."""
    return msgspec.json.format(msgspec.json.encode(description), indent=2).decode() + "\n"


def read(path: Path) -> PluginDescription | None:
    """Return the content of a file, or None if it doesn't exist. Raises PluginFailed if it can't be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=PluginDescription)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise PluginFailed(f"{path} can't be read: {error}") from error


def requires_python(distribution: Distribution) -> str | None:
    """Return the versions of Python that a distribution needs, or None if it doesn't name any."""
    found: list[str] = distribution.metadata.get_all("Requires-Python") or []
    return found[0] if found else None


def file_of(point: EntryPoint) -> Path | None:
    """Return the path of a plugin's file, which need not exist, or None if there is no such package.

    The plugin is not imported.
    """
    return file_of_module(point.value.partition(":")[0].strip())


def file_of_module(module: str) -> Path | None:
    """Return the path of the file for the module of a plugin. See `file_of`."""
    package, _, inner = module.partition(".")
    try:
        # For a module inside a package, this would import the package.
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    if not places:
        return None if spec.origin is None else Path(spec.origin).with_name(f"{package}.{FILE}")
    folders = [Path(place).joinpath(*inner.split(".")) for place in places] if inner else [Path(places[0])]
    for folder in folders:
        if folder.is_dir():
            return folder / FILE
        if folder.with_suffix(".py").is_file():
            return folder.with_name(f"{folder.name}.{FILE}")
    return None
