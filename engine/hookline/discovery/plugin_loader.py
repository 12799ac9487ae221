"""Loading the installed plugins into a registry.

This module goes through the entry points itself, because pluggy stops at the first one that fails. Here a plugin that
fails is recorded with its cause, and the others are loaded. Either all parts of a plugin are registered or none.

A node that only accepts messages loads no connectors. Of a plugin that has nothing else, it reads the metadata file
instead; of other plugins, it doesn't call the hook `register_connectors`.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final

import pluggy
from pydantic import BaseModel

from hookline.discovery.connector_placeholders import unloaded_triggers
from hookline.discovery.plugin_description import PluginDescription, file_of_module, read
from hookline.discovery.registry import GROUP, PartKind, PluginStatus, Registry
from hookline.discovery.time_limit import TimeLimitExceeded, call_with_time_limit
from hookline.kernel.errors import DuplicateName, PluginError, PluginFailed, UnknownHook
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.sdk import hookspecs
from hookline.sdk.action import Action
from hookline.sdk.connector import Connector
from hookline.sdk.mappers import Mapper
from hookline.sdk.schemes import Scheme
from hookline.sdk.site_pages import Site
from hookline.sdk.triggers import Trigger

LOAD_TIMEOUT: Final = 30.0
"""Seconds that loading a plugin may take."""

_NAME: Final = re.compile(r"[a-z][A-Za-z0-9_]*([.+-][A-Za-z0-9_]+)*\Z")

HOOKS: Final[Mapping[str, tuple[PartKind, type | None]]] = {
    "register_connectors": ("connector", Connector),
    "register_mappers": ("mapper", Mapper),
    "register_triggers": ("trigger", Trigger),
    "register_schemes": ("scheme", Scheme),
    "register_backends": ("backend", None),
    "register_blob_stores": ("blob store", None),
    "register_intake_queues": ("intake queue", None),
    "register_template_filters": ("template filter", None),
    "register_pages": ("site", Site),
}
"""The kind of part that each hook returns, and its type if the hook returns a list of them."""


@dataclass(frozen=True, slots=True)
class _Part:
    kind: PartKind
    name: str
    value: Any


@dataclass(slots=True)
class _Candidate:
    status: PluginStatus
    load: Callable[[], object]
    description: PluginDescription | None = None
    """The content of its metadata file, if its connectors aren't loaded."""


@dataclass(slots=True)
class _Collected:
    plugins: list[PluginStatus] = field(default_factory=list)
    parts: dict[tuple[PartKind, str], tuple[Any, PluginStatus]] = field(default_factory=dict)
    unregistered: dict[str, PluginStatus] = field(default_factory=dict)


def load_plugins(
    points: Iterable[EntryPoint] | None = None,
    *,
    extra_plugins: Iterable[object] = (),
    timeout: float = LOAD_TIMEOUT,
    connectors: bool = True,
) -> Registry:
    """Load the installed plugins and return the registry of their parts.

    `points`: the entry points to load instead of the installed ones. `extra_plugins`: modules or objects with hooks
    that are loaded last and need not be installed. `timeout`: the seconds that the import of a plugin, and each of its
    hooks, may take; plugins of Hookline's own distribution have no limit. `connectors`: false for a node that runs no
    executions; then only plugins without a metadata file are loaded with their connectors. Never raises for a fault of
    a plugin: the status of the plugin has the error.
    """
    candidates = sorted(map(_installed, entry_points(group=GROUP) if points is None else points), key=_order)
    if not connectors:
        candidates = [replace(each, description=_described(each.status)) for each in candidates]
    candidates += [_passed(plugin) for plugin in extra_plugins]
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    collected = _Collected()
    for candidate in candidates:
        _load(manager, candidate, collected, timeout)
    return _registry(collected, has_connectors=connectors)


def _described(status: PluginStatus) -> PluginDescription | None:
    """The content of a plugin's metadata file; None if there is none that says enough. Then the plugin is loaded."""
    file = file_of_module(status.module)
    with suppress(PluginFailed):
        description = None if file is None else read(file)
        return description if description is not None and description.tells_triggers else None
    return None


@lru_cache(maxsize=8)
def _named(distribution: Distribution | None) -> tuple[str | None, str | None]:
    """The name and the version of a distribution, kept because a distribution parses its metadata at each access."""
    return (None, None) if distribution is None else (distribution.name, distribution.version)


def _installed(point: EntryPoint) -> _Candidate:
    distribution, version = _named(point.dist)
    status = PluginStatus(
        name=point.name,
        module=point.value.partition(":")[0].strip(),
        distribution=distribution,
        version=version,
    )
    return _Candidate(status, point.load)


def _passed(plugin: object) -> _Candidate:
    of = plugin if inspect.ismodule(plugin) or inspect.isclass(plugin) else type(plugin)
    name = of.__name__
    module = name if inspect.ismodule(plugin) else of.__module__
    return _Candidate(PluginStatus(name.rpartition(".")[2], module, None, None), lambda: plugin)


def _order(found: _Candidate) -> tuple[bool, str, str]:
    # Hookline's own plugins come first, so that no other package can take one of their names. The others come in an
    # order that doesn't depend on the file system.
    status = found.status
    return status.distribution != GROUP, status.name, status.distribution or ""


def _load(manager: pluggy.PluginManager, found: _Candidate, collected: _Collected, timeout: float) -> None:
    status, began = found.status, perf_counter()
    # Hookline's own plugins are imported without a time limit, and so without a thread of their own.
    ours = status.distribution == GROUP
    parts: list[_Part] = []
    plugin: object = None
    try:
        _check_plugin_name(status, collected)
        described = found.description
        if described is not None:
            parts += [_Part("trigger", one.name, one) for one in unloaded_triggers(described)]
        if described is None or described.has_more_than_connectors:
            plugin = found.load() if ours else call_with_time_limit(found.load, timeout)
            _register(manager, plugin, status.name)
            for hook, function in _implementations(manager, plugin):
                if described is None or HOOKS[hook][0] != "connector":
                    parts += _read(hook, function() if ours else call_with_time_limit(function, timeout))
        _check_duplicates(parts, status, collected)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - any exception of a plugin becomes its status
        status = replace(status, error=_describe(error), cause=error)
        for part in parts:
            collected.unregistered.setdefault(part.name, status)
        if plugin is not None and manager.has_plugin(status.name):
            manager.unregister(name=status.name)
    else:
        for part in parts:
            collected.parts.setdefault((part.kind, part.name), (part.value, status))
    collected.plugins.append(replace(status, seconds=perf_counter() - began))


def _check_plugin_name(status: PluginStatus, collected: _Collected) -> None:
    for other in collected.plugins:
        if other.name == status.name:
            raise DuplicateName(f"plugin {status} is rejected: there is already plugin {other}; uninstall one of them")


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register the plugin with pluggy, which checks the signatures of hooks. Reject functions that would be ignored."""
    manager.register(plugin, name)
    callers = manager.get_hookcallers(plugin) or []
    unknown = [caller.name for caller in callers if not caller.has_spec()]
    if unknown:
        known = ", ".join(sorted(HOOKS))
        raise UnknownHook(
            "; ".join(
                f"there is no hook {hook!r}: {did_you_mean(hook, HOOKS, f'the hooks are {known}')}" for hook in unknown
            )
        )
    marked = {caller.name for caller in callers}
    unmarked = [hook for hook in HOOKS if hook not in marked and callable(getattr(plugin, hook, None))]
    if unmarked:
        raise PluginFailed(f"{', '.join(unmarked)} lacks its decorator: put @hookimpl above it")
    if not marked:
        raise PluginFailed(f"it implements no hook: define one of {', '.join(sorted(HOOKS))}, with @hookimpl above")


def _implementations(manager: pluggy.PluginManager, plugin: object) -> Iterable[tuple[str, Callable[[], object]]]:
    for caller in manager.get_hookcallers(plugin) or []:
        for implementation in caller.get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            if implementation.wrapper or implementation.hookwrapper:
                raise PluginFailed(f"{caller.name} is a hook wrapper: a plugin can't change the parts of other plugins")
            yield caller.name, implementation.function


def _read(hook: str, result: object) -> list[_Part]:
    """Check the result of a hook and return its parts. Raises PluginFailed."""
    kind, expected = HOOKS[hook]
    if expected is None:
        return _read_factories(hook, kind, result)
    if isinstance(result, (str, bytes)) or not isinstance(result, Sequence):
        raise PluginFailed(f"{hook} returned {_kind_of(result)}; it must return a list of {expected.__name__} objects")
    parts: list[_Part] = []
    for position, thing in enumerate(result):
        if inspect.isclass(thing) and issubclass(thing, expected):
            raise PluginFailed(f"{hook} returned the class {thing.__name__}; return an instance: {thing.__name__}()")
        if not isinstance(thing, expected):
            raise PluginFailed(
                f"{hook}: item {position} is {_kind_of(thing)}; each must be a {expected.__name__} object"
            )
        parts += _parts(hook, kind, thing)
    return parts


def _read_factories(hook: str, kind: PartKind, result: object) -> list[_Part]:
    if not isinstance(result, Mapping):
        wanted = "names to functions" if kind == "template filter" else "URL schemes to factories"
        raise PluginFailed(f"{hook} returned {_kind_of(result)}; it must return a dict from {wanted}")
    for name, factory in result.items():
        _check_name(hook, name)
        if kind == "template filter" and not name.isidentifier():
            raise PluginFailed(f"{hook}: {name!r} can't be a filter's name; it has letters, digits and '_'")
        if not callable(factory):
            wanted = "a function of a value" if kind == "template filter" else "a factory that takes a URL"
            raise PluginFailed(f"{hook}: {name!r} is {_kind_of(factory)}; it must be {wanted}")
    return [_Part(kind, name, factory) for name, factory in result.items()]


def _parts(hook: str, kind: PartKind, thing: Any) -> list[_Part]:
    """Return the part of a registered object and the parts that belong to it, such as the actions of a connector."""
    name = _check_name(hook, getattr(thing, "name", None))
    parts = [_Part(kind, name, thing)]
    if kind == "connector":
        if thing.options_functions.missing:
            raise PluginFailed(f"{hook}: {'; '.join(thing.options_functions.missing)}")
        parts += [_Part("action", _check_name(hook, key), action) for key, action in thing.actions.items()]
        parts += [_Part("trigger", _check_name(hook, key), each) for key, each in thing.triggers.items()]
        parts += [
            _Part("action" if isinstance(one, Action) else "trigger", key, one) for key, one in thing.pinned.items()
        ]
        for key, webhook in thing.webhooks.items():
            if webhook.unsubscribe is None:
                raise PluginFailed(
                    f"{hook}: trigger {key!r} has no function that unsubscribes: add one with its `unsubscribe`"
                )
    if kind == "site":
        # Two plugins can't have the same page.
        parts += [_Part("page", path, thing) for path in ("/", *thing.paths)]
    credential = getattr(thing, "credential", None)
    if kind in ("connector", "scheme") and credential is not None:
        if not (inspect.isclass(credential) and issubclass(credential, BaseModel)):
            raise PluginFailed(f"{hook}: the credential of {name!r} must be a pydantic model's class")
        type_name = _check_name(hook, getattr(thing, "credential_type", name))
        parts.append(_Part("credential type", type_name, credential))
    return parts


def _check_name(hook: str, name: object) -> str:
    if not isinstance(name, str) or not _NAME.match(name):
        raise PluginFailed(
            f"{hook}: {name!r} can't be a name; names are letters, digits, '_', '-', '+' and '.', a small letter first"
        )
    return name


def _check_duplicates(parts: Sequence[_Part], status: PluginStatus, collected: _Collected) -> None:
    own: dict[tuple[PartKind, str], Any] = {}
    faults: list[str] = []
    for part in parts:
        key = part.kind, part.name
        if key in own and own[key] is not part.value:
            faults.append(f"it registers two {part.kind}s named {part.name!r}")
        own[key] = part.value
        value, owner = collected.parts.get(key, (part.value, None))
        # The same object may be registered twice: a connector may share the credential type of its scheme.
        if owner is not None and (value is not part.value or part.kind != "credential type"):
            faults.append(f"the {part.kind} {part.name!r} is already registered by plugin {owner}")
    if faults:
        raise DuplicateName(f"plugin {status} is rejected: {'; '.join(faults)}; uninstall one of them")


def _kind_of(value: object) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _describe(error: BaseException) -> str:
    if isinstance(error, PluginError):
        return error.message
    if isinstance(error, TimeLimitExceeded):
        return str(error)
    if isinstance(error, pluggy.PluginValidationError):
        return " ".join(str(error).split())
    text = traceback.format_exception_only(error)[-1].strip()
    # The innermost frame is the place of the fault. Frames of the import system aren't files.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    inner = frames[-1] if frames and frames[-1].filename != __file__ else None
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{text} ({error.filename}, line {error.lineno})"
    if inner is None:
        return text
    return f"{text} ({inner.filename}, line {inner.lineno})"


def _registry(collected: _Collected, *, has_connectors: bool) -> Registry:
    def of(kind: PartKind) -> Mapping[str, Any]:
        return MappingProxyType(
            {
                name: value
                for (its_kind, name), (value, _) in sorted(collected.parts.items(), key=lambda item: item[0])
                if its_kind == kind
            }
        )

    filters = of("template filter")
    origins = {key: status for key, (_, status) in collected.parts.items()}
    return Registry(
        connectors=of("connector"),
        actions=of("action"),
        mappers=MappingProxyType({name: each.with_filters(filters) for name, each in of("mapper").items()}),
        triggers=of("trigger"),
        schemes=of("scheme"),
        credential_types=of("credential type"),
        backends=of("backend"),
        blob_stores=of("blob store"),
        intake_queues=of("intake queue"),
        template_filters=filters,
        sites=of("site"),
        plugins=tuple(collected.plugins),
        origins=MappingProxyType(origins),
        unregistered=MappingProxyType(collected.unregistered),
        has_connectors=has_connectors,
    )
