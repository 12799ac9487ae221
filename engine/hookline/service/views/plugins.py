"""Plugins as JSON."""

import msgspec

from hookline.discovery.quality import level_of, violations
from hookline.discovery.registry import PluginStatus, Registry


class ConnectorQuality(msgspec.Struct, frozen=True):
    """A connector of a plugin with its quality level."""

    name: str
    title: str
    quality: str | None
    """`bronze`, `silver` or `gold`; null below bronze."""
    lacks: list[str]
    """The requirements for gold that it doesn't meet."""


class PluginView(msgspec.Struct, frozen=True):
    """A plugin and its error, if it can't be loaded."""

    name: str
    module: str
    distribution: str | None
    version: str | None
    error: str | None
    warning: str | None
    """A part that it lacks, and how to get it. Its other parts work."""
    connectors: list[ConnectorQuality]


def plugin_view(status: PluginStatus, registry: Registry) -> PluginView:
    connectors = [
        ConnectorQuality(one.name, one.title, level_of(one), [text for _, text in violations(one)])
        for name, one in registry.connectors.items()
        if registry.origin("connector", name) == status
    ]
    sites = [one for name, one in registry.sites.items() if registry.origin("site", name) == status]
    return PluginView(
        status.name,
        status.module,
        status.distribution,
        status.version,
        status.error,
        next((site.remedy for site in sites if not site.is_built), None),
        connectors,
    )
