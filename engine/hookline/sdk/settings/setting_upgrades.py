"""Versions of the settings of an action or trigger: flows that were written for an older version keep working.

    def from_1(article: str, count: int = 1) -> dict[str, Any]:
        return {"sku": article, "quantity": count}

    @acme.action(version=2, upgrades={1: from_1})
    async def create_order(ctx: Context[AcmeKey], sku: str, quantity: int = 1) -> dict[str, Any]: …

The signature of an upgrade function is the schema of the version from which it upgrades. The function returns the
settings of the next version. A flow with `"use": "acme.create_order@1"` has settings of version 1. A flow that names
no version has settings of the newest.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hookline.kernel.errors import PluginError, StepError
from hookline.model.foreach_progress_and_streams import Stream
from hookline.sdk.settings.function_signatures import Signature, read_plain_signature, setting_name

UpgradeFunction: TypeAlias = Callable[..., Mapping[str, Any]]
"""A function that takes the settings of one version and returns those of the next."""


def plain_name(use: str) -> str:
    """Return the name of a component without its version."""
    return use.partition("@")[0]


def older_settings(upgrade: "Upgrade") -> str:
    """Return the warning for a flow that has settings of an older version."""
    return f"{upgrade.name!r} has settings of version {upgrade.newest}, and these are of version {upgrade.version}"


@dataclass(frozen=True, slots=True)
class UpgradeStep:
    """The upgrade from the settings of one version to those of the next."""

    run: UpgradeFunction
    names: Mapping[str, str]
    """The parameter of `run` for each setting."""

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        given = {self.names[name]: value for name, value in settings.items()}
        found = self.run(**given)
        if not isinstance(found, Mapping):
            raise TypeError(f"{self.run.__qualname__} returned {type(found).__name__} instead of settings")
        return dict(found)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The upgrade from the settings of an older version to those of the newest."""

    name: str
    """The name of the component, without a version."""
    version: int
    newest: int
    steps: tuple[UpgradeStep, ...]

    def apply(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the newest settings. Raises StepError if a function of the plugin fails."""
        # A function may change what it is given, so it gets a copy: the values belong to the flow and the message.
        made = {name: value if type(value) is Stream else copy.deepcopy(value) for name, value in settings.items()}
        try:
            for step in self.steps:
                made = step(made)
        except Exception as error:
            raise StepError(
                f"settings of version {self.version} of {self.name!r} can't be upgraded to version {self.newest}: "
                f"{type(error).__name__}: {error}",
                code="step.settings",
            ) from error
        return made


def read_upgrades(of: str, version: int, upgrades: Mapping[int, UpgradeFunction]) -> dict[int, Signature]:
    """Return the signature of the settings of each older version. Raises PluginError, which names the problem."""
    if version < 1 or sorted(upgrades) != list(range(1, version)):
        wanted = ", ".join(map(str, range(1, version))) or "none"
        given = ", ".join(map(str, upgrades)) or "none"
        raise PluginError(
            f"{of!r} has version {version}, and `upgrades` has functions for {given}: "
            f"each version before it needs one ({wanted})"
        )
    return {number: read_plain_signature(upgrades[number], "an upgrade") for number in sorted(upgrades)}


def upgrade(
    of: str, number: int, version: int, upgrades: Mapping[int, UpgradeFunction], read: Mapping[int, Signature]
) -> Upgrade:
    """Return the upgrade of a component's settings from version `number` to `version`, the newest."""
    steps = tuple(
        UpgradeStep(upgrades[each], {setting_name(name): name for name in read[each].parameters.values()})
        for each in range(number, version)
    )
    return Upgrade(of, number, version, steps)
