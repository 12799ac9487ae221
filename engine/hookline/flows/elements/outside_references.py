"""The names in a flow that refer to something outside it: components, credentials and other flows."""

from codecs import BOM_UTF8
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from hookline.discovery.registry import Registry
from hookline.kernel.errors import Problem
from hookline.kernel.suggestions_and_counts import unknown_name


@dataclass(frozen=True, slots=True)
class CredentialUse:
    """A place where a flow names a credential."""

    name: str
    pointer: str
    types: tuple[str, ...]
    """Names of the credential types that are accepted there."""
    sent: bool = True
    """False if it only verifies a sender."""


@dataclass(frozen=True, slots=True)
class FlowUse:
    """A place where a flow names another flow."""

    id: str
    pointer: str


class KnownFlow(msgspec.Struct, frozen=True):
    """The facts about a flow by which the flows that call it are checked."""

    callable_by: tuple[str, ...] = ()
    """Patterns of the ids of the flows that may call it; none for all."""
    shown: bool = True
    """False if the one who gets the problems may not know of the flow."""

    @classmethod
    def of(cls, document: bytes, *, shown: bool = True) -> "KnownFlow":
        """The facts in a document, which may not be valid."""
        try:
            found = msgspec.json.decode(document.removeprefix(BOM_UTF8), type=_Callable).callable_by
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return cls(shown=shown)
        return cls(found, shown)


class _Callable(msgspec.Struct):
    callable_by: tuple[str, ...] = ()


def unknown_component(kind: str, name: str, known: Iterable[str], registry: Registry, pointer: str) -> Problem:
    """The problem with a name that is not registered.

    If a plugin that failed to load has this name, the problem says so.
    """
    failure = registry.failure(name)
    if failure is not None:
        return Problem(
            f"{kind} {name!r} is missing because plugin {failure} failed to load: {failure.error}",
            pointer,
            "plugin_failed",
            "repair or reinstall the plugin; `hookline plugins` lists all plugins",
        )
    remedy = "`hookline components` lists all names; install the plugin that has this one"
    if registry.failed:
        remedy += f" (failed to load: {', '.join(map(str, registry.failed))})"
    return unknown_name(f"there is no {kind} {name!r}", pointer, f"unknown_{kind}", name, known, remedy)
