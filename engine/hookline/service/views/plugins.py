"""Plugins."""

import msgspec

from hookline.registry import PluginStatus


class PluginView(msgspec.Struct, frozen=True):
    """A plugin and whether it works."""

    name: str
    module: str
    distribution: str | None
    version: str | None
    error: str | None


def plugin_view(status: PluginStatus) -> PluginView:
    """A plugin and whether it works."""
    return PluginView(status.name, status.module, status.distribution, status.version, status.error)
