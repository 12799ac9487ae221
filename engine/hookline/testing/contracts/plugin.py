"""The contract of plugins. A distribution's tests subclass `PluginContract` and name its module."""

import inspect
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from hookline.discovery.plugin_description import describe, file_of_module, text_of
from hookline.discovery.plugin_doctor import unknown_hooks
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import open_secrets


class PluginContract:
    """The tests. A subclass has `plugin`, the module that the entry point names; it needn't be installed."""

    plugin: ClassVar[ModuleType]

    def test_it_loads_and_takes_no_name_that_is_taken(self) -> None:
        (loaded,) = load_plugins([], extra_plugins=[self.plugin]).plugins
        assert loaded.error is None

    def test_no_function_only_looks_like_a_hook(self) -> None:
        assert [finding.message for finding in unknown_hooks(self.plugin)] == []

    def test_no_credential_shows_what_is_secret(self) -> None:
        types = load_plugins([], extra_plugins=[self.plugin]).credential_types
        assert {name: open_secrets(model) for name, model in types.items() if open_secrets(model)} == {}

    def test_what_it_says_of_itself_is_what_it_gives(self) -> None:
        registry = load_plugins([], extra_plugins=[self.plugin])
        path = file_of_module(self.plugin.__name__) or Path(inspect.getfile(self.plugin)).parent
        said = path.read_text(encoding="utf-8") if path.is_file() else None
        assert said == text_of(describe(registry, registry.plugins[0])), (
            f"{path} is out of date: hookline plugins describe NAME --write"
        )
