"""Versions of an action's, or a trigger's, settings: flows that were written for older ones go on working.

    def from_1(article: str, count: int = 1) -> dict[str, Any]:
        return {"sku": article, "quantity": count}

    @acme.action(version=2, migrate={1: from_1})
    async def create_order(ctx: Context[AcmeKey], sku: str, quantity: int = 1) -> dict[str, Any]: …

The signature of a migration is the schema of the version that it comes from, and what it gives are settings of the
next. A flow that says `"use": "acme.create_order@1"` has settings of version 1; without a version the newest counts.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from hookline.kernel.errors import PluginError, StepError
from hookline.model.items import Stream
from hookline.sdk.signature import Signature, read_plain_signature, setting_name

Migrate: TypeAlias = Callable[..., Mapping[str, Any]]
"""A function of one version's settings that gives those of the next."""


def plain_name(use: str) -> str:
    """A component's name, without a version."""
    return use.partition("@")[0]


def older_settings(upgrade: "Upgrade") -> str:
    """What is said where a flow has settings of an older version."""
    return f"{upgrade.name!r} has settings of version {upgrade.newest}, and these are of version {upgrade.version}"


@dataclass(frozen=True, slots=True)
class Migration:
    """From one version's settings to the next."""

    run: Migrate
    names: Mapping[str, str]
    """From each setting to the parameter that it fills."""

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        given = {self.names[name]: value for name, value in settings.items()}
        found = self.run(**given)
        if not isinstance(found, Mapping):
            raise TypeError(f"{self.run.__qualname__} gave {type(found).__name__}, and no settings")
        return dict(found)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """From an older version's settings to the newest."""

    name: str
    """The component's, without a version."""
    version: int
    newest: int
    steps: tuple[Migration, ...]

    def apply(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The newest settings. Raises StepError where the connector can't tell them."""
        # What a flow says, and what a message holds, belongs to others: a migration may do with a copy as it likes.
        made = {name: value if type(value) is Stream else copy.deepcopy(value) for name, value in settings.items()}
        try:
            for step in self.steps:
                made = step(made)
        except Exception as error:
            raise StepError(
                f"settings of version {self.version} of {self.name!r} can't be brought to version {self.newest}: "
                f"{type(error).__name__}: {error}",
                code="step.settings",
            ) from error
        return made


def read_migrations(of: str, version: int, migrate: Mapping[int, Migrate]) -> dict[int, Signature]:
    """The signature of each older version's settings. Raises PluginError for what can't be one, naming it."""
    if version < 1 or sorted(migrate) != list(range(1, version)):
        wanted = ", ".join(map(str, range(1, version))) or "none"
        raise PluginError(
            f"{of!r} has version {version}, and `migrate` has functions for {', '.join(map(str, migrate)) or 'none'}: "
            f"each version before it needs one ({wanted})"
        )
    return {number: read_plain_signature(migrate[number], "a migration") for number in sorted(migrate)}


def upgrade(
    of: str, number: int, version: int, migrate: Mapping[int, Migrate], read: Mapping[int, Signature]
) -> Upgrade:
    """From one version of a component's settings to its newest, `version`."""
    steps = tuple(
        Migration(migrate[each], {setting_name(name): name for name in read[each].parameters.values()})
        for each in range(number, version)
    )
    return Upgrade(of, number, version, steps)
