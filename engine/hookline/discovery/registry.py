"""What the installed plugins give, and which plugin gave it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from hookline.sdk.action import Action
from hookline.sdk.connector import Connector
from hookline.sdk.mappers import Mapper, TemplateFilter
from hookline.sdk.oauth2 import OAuth2
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import Trigger
from hookline.storage.backend import BackendFactory
from hookline.storage.blobs import BlobStoreFactory

Kind: TypeAlias = Literal[
    "connector", "action", "mapper", "trigger", "scheme", "credential type", "backend", "blob store", "template filter"
]


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """A plugin that was found, and what became of it."""

    name: str
    """Its entry point's name."""
    module: str
    distribution: str | None
    """None where it was passed in and not installed."""
    version: str | None
    error: str | None = None
    """Why it isn't in use; None where it is."""
    seconds: float = field(default=0.0, compare=False)
    """How long it took to load."""
    cause: BaseException | None = field(default=None, compare=False, repr=False)
    """What was raised, of which `error` is the text."""

    def __str__(self) -> str:
        source = f"{self.distribution} {self.version}" if self.distribution else self.module
        return f"{self.name!r} ({source})"


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that plugins registered, under the names by which flows and settings ask for it."""

    connectors: Mapping[str, Connector] = field(default_factory=_empty)
    actions: Mapping[str, Action] = field(default_factory=_empty)
    mappers: Mapping[str, Mapper] = field(default_factory=_empty)
    triggers: Mapping[str, Trigger] = field(default_factory=_empty)
    schemes: Mapping[str, Scheme[Any, Any]] = field(default_factory=_empty)
    credential_types: Mapping[str, type[BaseModel]] = field(default_factory=_empty)
    """By the name of the connector or the scheme that has it."""
    backends: Mapping[str, BackendFactory] = field(default_factory=_empty)
    """By URL scheme."""
    blob_stores: Mapping[str, BlobStoreFactory] = field(default_factory=_empty)
    """By URL scheme."""
    template_filters: Mapping[str, TemplateFilter] = field(default_factory=_empty)
    """The mappers know them already."""
    plugins: tuple[PluginStatus, ...] = ()
    """In the order in which they were loaded, failed ones included."""
    origins: Mapping[tuple[Kind, str], PluginStatus] = field(default_factory=lambda: MappingProxyType({}))
    lost: Mapping[str, PluginStatus] = field(default_factory=_empty)
    """Names that failed plugins would have given, as far as they got to saying so."""

    def origin(self, kind: Kind, name: str) -> PluginStatus:
        """The plugin that gave something. Raises KeyError where there is no such thing."""
        return self.origins[kind, name]

    @property
    def failed(self) -> tuple[PluginStatus, ...]:
        """The plugins that aren't in use."""
        return tuple(plugin for plugin in self.plugins if plugin.error is not None)

    @property
    def oauth2(self) -> Mapping[str, OAuth2]:
        """How credentials get access tokens, by the name of their type."""
        return {
            connector.credential_type: connector.oauth2
            for connector in self.connectors.values()
            if connector.oauth2 is not None
        }

    def verifier(self, credential_type: str) -> Connector | None:
        """The connector that says whether a credential of this type works; None where nobody says it."""
        for connector in self.connectors.values():
            if connector.credential_type == credential_type and connector.verifier is not None:
                return connector
        return None

    def failure(self, name: str) -> PluginStatus | None:
        """The failed plugin to which a name that isn't registered belongs, as far as names tell.

        `acme.create_order` belongs to a plugin that tried to register it, or is named `acme` or `hookline_acme`.
        """
        if name in self.lost:
            return self.lost[name]
        prefix = name.partition(".")[0].replace("-", "_")
        for plugin in self.failed:
            package = plugin.module.partition(".")[0]
            if prefix in (plugin.name.replace("-", "_"), package, package.removeprefix("hookline_")):
                return plugin
        return None
