"""The registry: everything that the installed plugins registered, and the plugin of each part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel

from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ConfigError, NoConnectors
from hookline.sdk.action import Action
from hookline.sdk.connector import Connector
from hookline.sdk.mappers import Mapper, TemplateFilter
from hookline.sdk.oauth2 import OAuth2
from hookline.sdk.schemes import Scheme
from hookline.sdk.site_pages import Site
from hookline.sdk.triggers import Trigger
from hookline.storage.backend import Backend, BackendFactory
from hookline.storage.blobs import Blobs, BlobStoreFactory
from hookline.storage.intake_queue import IntakeQueue, IntakeQueueFactory

PartKind: TypeAlias = Literal[
    "connector",
    "action",
    "mapper",
    "trigger",
    "scheme",
    "credential type",
    "backend",
    "blob store",
    "intake queue",
    "template filter",
    "site",
    "page",
]


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """A plugin that was found, and the result of loading it."""

    name: str
    """The name of its entry point."""
    module: str
    distribution: str | None
    """None if the plugin was passed in and not installed."""
    version: str | None
    error: str | None = None
    """The reason why it was not loaded; None if it was."""
    seconds: float = field(default=0.0, compare=False)
    """The time that loading took."""
    cause: BaseException | None = field(default=None, compare=False, repr=False)
    """The exception of which `error` is the text."""

    def __str__(self) -> str:
        source = f"{self.distribution} {self.version}" if self.distribution else self.module
        return f"{self.name!r} ({source})"


GROUP: Final = "hookline"
"""The group of the entry points of plugins, which is also the distribution of Hookline's own."""


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
    """By the name of the credential type."""
    backends: Mapping[str, BackendFactory] = field(default_factory=_empty)
    """By URL scheme."""
    blob_stores: Mapping[str, BlobStoreFactory] = field(default_factory=_empty)
    """By URL scheme."""
    intake_queues: Mapping[str, IntakeQueueFactory] = field(default_factory=_empty)
    """By URL scheme."""
    template_filters: Mapping[str, TemplateFilter] = field(default_factory=_empty)
    """The filters of templates. `mappers` have these already."""
    sites: Mapping[str, Site] = field(default_factory=_empty)
    plugins: tuple[PluginStatus, ...] = ()
    """All plugins, also those that failed, in the order in which they were loaded."""
    origins: Mapping[tuple[PartKind, str], PluginStatus] = field(default_factory=lambda: MappingProxyType({}))
    unregistered: Mapping[str, PluginStatus] = field(default_factory=_empty)
    """The failed plugin for each name that one returned from a hook before it failed."""
    has_connectors: bool = True
    """False on a node that only accepts messages: it knows connectors from the metadata of their plugins."""

    def require_connectors(self) -> None:
        """Raise NoConnectors if connectors weren't loaded."""
        if not self.has_connectors:
            raise NoConnectors

    def origin(self, kind: PartKind, name: str) -> PluginStatus:
        """Return the plugin that registered a part. Raises KeyError if there is no such part."""
        return self.origins[kind, name]

    def is_foreign(self, kind: PartKind, name: str) -> bool:
        """Return True if a part belongs to a plugin that is not one of Hookline's own."""
        origin = self.origins.get((kind, name))
        return origin is not None and origin.distribution != GROUP

    @property
    def failed(self) -> tuple[PluginStatus, ...]:
        """The plugins that were not loaded."""
        return tuple(plugin for plugin in self.plugins if plugin.error is not None)

    @property
    def oauth2(self) -> Mapping[str, OAuth2]:
        """The OAuth 2 settings of credential types, by the name of the type."""
        return {
            connector.credential_type: connector.oauth2
            for connector in self.connectors.values()
            if connector.oauth2 is not None
        }

    @property
    def credential_hosts(self) -> Mapping[str, tuple[str, ...]]:
        """The hosts that the types of credentials name (see `Connector`), for each type that a connector takes."""
        accepted: dict[str, tuple[str, ...]] = {
            name: () for connector in self.connectors.values() for name in connector.accepts
        }
        return accepted | {
            connector.credential_type: connector.hosts
            for connector in self.connectors.values()
            if connector.credential is not None
        }

    def verifier(self, credential_type: str) -> Connector | None:
        """Return the connector that can check credentials of this type, or None."""
        for connector in self.connectors.values():
            if connector.credential_type == credential_type and connector.verifier is not None:
                return connector
        return None

    def backend(self, url: str, clock: Clock) -> Backend:
        """Make the backend of a database's URL. Raises ConfigError if no plugin has its scheme, and StoreError."""
        backend: Backend = _factory(self.backends, url, "database")(url, clock=clock)
        return backend

    def blob_store(self, url: str, clock: Clock) -> Blobs:
        """Make the blob store of a URL. Raises ConfigError if no plugin has its scheme, and StoreError."""
        blobs: Blobs = _factory(self.blob_stores, url, "blob store")(url, clock=clock)
        return blobs

    def intake_queue(self, url: str, clock: Clock, blobs: Blobs) -> IntakeQueue:
        """Make the intake queue of a URL. Raises ConfigError if no plugin has its scheme, and StoreError."""
        queue: IntakeQueue = _factory(self.intake_queues, url, "queue")(url, clock=clock, blobs=blobs)
        return queue

    def failure(self, name: str) -> PluginStatus | None:
        """Return the failed plugin to which a name that isn't registered seems to belong, or None.

        `acme.create_order` belongs to the plugin that tried to register it, or that is named `acme` or `hookline_acme`.
        """
        if name in self.unregistered:
            return self.unregistered[name]
        prefix = name.partition(".")[0].replace("-", "_")
        for plugin in self.failed:
            package = plugin.module.partition(".")[0]
            if prefix in (plugin.name.replace("-", "_"), package, package.removeprefix("hookline_")):
                return plugin
        return None


def _factory(factories: Mapping[str, Any], url: str, what: str) -> Any:
    # A queue's URL may have several hosts, which `urlsplit` rejects if a later one is an IPv6 address.
    scheme = url.partition(":")[0].lower()
    factory = factories.get(scheme)
    if factory is None:
        known = ", ".join(sorted(factories)) or "none"
        raise ConfigError(f"no plugin gives a {what} for {scheme or url!r}: URLs; installed are {known}")
    return factory
