"""The registry is a frozen view, and knows to which failed plugin an unknown name belongs."""

from dataclasses import FrozenInstanceError
from types import ModuleType

import pytest

from hookline.api import Connector, hookimpl
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import PluginStatus, Registry

acme = Connector("acme")


@acme.action
async def ping() -> str:
    """Answer."""
    return "pong"


def plugin(name: str = "acme_plugin") -> ModuleType:
    module = ModuleType(name)
    module.register_connectors = hookimpl(lambda: [acme])  # type: ignore[attr-defined]
    return module


def test_nothing_in_it_can_be_changed() -> None:
    registry = load_plugins([], extra_plugins=[plugin()])
    with pytest.raises(FrozenInstanceError):
        registry.actions = {}  # type: ignore[misc]
    with pytest.raises(TypeError):
        registry.actions["x"] = registry.actions["acme.ping"]  # type: ignore[index]


def test_what_is_not_registered_has_no_origin() -> None:
    with pytest.raises(KeyError):
        Registry().origin("action", "acme.ping")


@pytest.mark.parametrize(
    ("name", "module"),
    [("acme", "somewhere"), ("x", "hookline_acme"), ("x", "acme.plugin"), ("x", "acme")],
)
def test_a_prefix_leads_to_the_failed_plugin_of_that_name(name: str, module: str) -> None:
    status = PluginStatus(name, module, "acme-plugin", "1.0", "ImportError: no")
    registry = Registry(plugins=(status,))
    assert registry.failure("acme.create_order") is status
    assert registry.failure("other.create_order") is None


def test_a_plugin_in_use_is_no_failure() -> None:
    assert Registry(plugins=(PluginStatus("acme", "acme", "acme-plugin", "1.0"),)).failure("acme.nothing") is None
