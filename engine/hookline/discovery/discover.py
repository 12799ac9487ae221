"""Finding and loading plugins.

Entry points are walked here and not by pluggy, which stops at the first that fails: a plugin that can't be used is
recorded with its cause, and stops nothing else. A plugin is taken whole or not at all.
"""

import inspect
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from time import perf_counter
from types import MappingProxyType
from typing import Any, Final

import pluggy
from pydantic import BaseModel

from hookline.discovery.registry import Kind, PluginStatus, Registry
from hookline.kernel.errors import DuplicateName, PluginError, PluginFailed, UnknownHook
from hookline.kernel.suggest import did_you_mean
from hookline.kernel.time_limit import TimeLimitExceeded, call_with_time_limit
from hookline.sdk import hookspecs
from hookline.sdk.action import Action
from hookline.sdk.connector import Connector
from hookline.sdk.mappers import Mapper
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import Trigger

GROUP: Final = "hookline"
"""The entry-point group; also the project's name in pluggy."""

LONGEST: Final = 30.0
"""Seconds that a plugin may take to load."""

_NAME: Final = re.compile(r"[a-z][A-Za-z0-9_]*([.+-][A-Za-z0-9_]+)*\Z")

HOOKS: Final[Mapping[str, tuple[Kind, type | None]]] = {
    "register_connectors": ("connector", Connector),
    "register_mappers": ("mapper", Mapper),
    "register_triggers": ("trigger", Trigger),
    "register_schemes": ("scheme", Scheme),
    "register_backends": ("backend", None),
    "register_blob_stores": ("blob store", None),
    "register_template_filters": ("template filter", None),
}
"""What each hook gives: the kind of thing, and its type where the hook gives a list of them."""


@dataclass(frozen=True, slots=True)
class _Component:
    kind: Kind
    name: str
    thing: Any


@dataclass(slots=True)
class _Found:
    status: PluginStatus
    load: Callable[[], object]


@dataclass(slots=True)
class _Collected:
    plugins: list[PluginStatus] = field(default_factory=list)
    components: dict[tuple[Kind, str], tuple[Any, PluginStatus]] = field(default_factory=dict)
    lost: dict[str, PluginStatus] = field(default_factory=dict)


def discover(
    found: Iterable[EntryPoint] | None = None,
    *,
    extra_plugins: Iterable[object] = (),
    longest: float = LONGEST,
) -> Registry:
    """Load the installed plugins and collect what they give.

    `found`: the entry points to load instead of the installed ones. `extra_plugins`: modules or objects with hooks,
    loaded last, without being installed. `longest`: seconds that a plugin which isn't Hookline's own may take to load,
    and then to say what it gives. Never raises for a plugin's fault: its status says what went wrong.
    """
    points = entry_points(group=GROUP) if found is None else found
    candidates = sorted(map(_installed, points), key=_order)
    candidates += [_passed(plugin) for plugin in extra_plugins]
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    collected = _Collected()
    for candidate in candidates:
        _take(manager, candidate, collected, longest)
    return _registry(collected)


def _installed(point: EntryPoint) -> _Found:
    distribution = point.dist
    status = PluginStatus(
        name=point.name,
        module=point.value.partition(":")[0].strip(),
        distribution=distribution.name if distribution is not None else None,
        version=distribution.version if distribution is not None else None,
    )
    return _Found(status, point.load)


def _passed(plugin: object) -> _Found:
    of = plugin if inspect.ismodule(plugin) or inspect.isclass(plugin) else type(plugin)
    name = of.__name__
    module = name if inspect.ismodule(plugin) else of.__module__
    return _Found(PluginStatus(name.rpartition(".")[2], module, None, None), lambda: plugin)


def _order(found: _Found) -> tuple[bool, str, str]:
    # Ours come first, so that no installed package can take a name away from them; the rest in an order that
    # doesn't depend on the file system's.
    status = found.status
    return status.distribution != GROUP, status.name, status.distribution or ""


def _take(manager: pluggy.PluginManager, found: _Found, collected: _Collected, longest: float) -> None:
    status, began = found.status, perf_counter()
    # Our own are imported where everything else is: what is imported in a thread finds itself in one.
    ours = status.distribution == GROUP
    components: list[_Component] = []
    plugin: object = None
    try:
        _check_plugin_name(status, collected)
        plugin = found.load() if ours else call_with_time_limit(found.load, longest)
        _register(manager, plugin, status.name)
        for hook, function in _implementations(manager, plugin):
            components += _read(hook, function() if ours else call_with_time_limit(function, longest))
        _check_duplicates(components, status, collected)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a plugin raises is its status, not our end
        status = replace(status, error=_describe(error), cause=error)
        for component in components:
            collected.lost.setdefault(component.name, status)
        if plugin is not None and manager.has_plugin(status.name):
            manager.unregister(name=status.name)
    else:
        for component in components:
            collected.components.setdefault((component.kind, component.name), (component.thing, status))
    collected.plugins.append(replace(status, seconds=perf_counter() - began))


def _check_plugin_name(status: PluginStatus, collected: _Collected) -> None:
    for other in collected.plugins:
        if other.name == status.name:
            raise DuplicateName(f"plugin {status} is rejected: there is plugin {other} already; uninstall one of them")


def _register(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Register with pluggy, which checks the hooks' signatures, and reject what would silently do nothing."""
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
                raise PluginFailed(f"{caller.name} is a wrapper; a plugin can't change what others give")
            yield caller.name, implementation.function


def _read(hook: str, result: object) -> list[_Component]:
    """What a hook gave, checked. Raises PluginFailed, naming what is wrong."""
    kind, expected = HOOKS[hook]
    if expected is None:
        return _read_factories(hook, kind, result)
    if isinstance(result, (str, bytes)) or not isinstance(result, Sequence):
        raise PluginFailed(f"{hook} returned {_kind_of(result)}; it must return a list of {expected.__name__} objects")
    components: list[_Component] = []
    for position, thing in enumerate(result):
        if inspect.isclass(thing) and issubclass(thing, expected):
            raise PluginFailed(f"{hook} returned the class {thing.__name__}; return an instance: {thing.__name__}()")
        if not isinstance(thing, expected):
            raise PluginFailed(
                f"{hook}: item {position} is {_kind_of(thing)}; each must be a {expected.__name__} object"
            )
        components += _components(hook, kind, thing)
    return components


def _read_factories(hook: str, kind: Kind, result: object) -> list[_Component]:
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
    return [_Component(kind, name, factory) for name, factory in result.items()]


def _components(hook: str, kind: Kind, thing: Any) -> list[_Component]:
    """A registered object, with the things that it brings along."""
    name = _check_name(hook, getattr(thing, "name", None))
    components = [_Component(kind, name, thing)]
    if kind == "connector":
        if thing.options_functions.missing:
            raise PluginFailed(f"{hook}: {'; '.join(thing.options_functions.missing)}")
        components += [_Component("action", _check_name(hook, key), action) for key, action in thing.actions.items()]
        components += [_Component("trigger", _check_name(hook, key), each) for key, each in thing.triggers.items()]
        components += [
            _Component("action" if isinstance(one, Action) else "trigger", key, one)
            for key, one in thing.pinned.items()
        ]
        for key, webhook in thing.webhooks.items():
            if webhook.unsubscribe is None:
                raise PluginFailed(f"{hook}: trigger {key!r} never unsubscribes: say how with its `unsubscribe`")
    credential = getattr(thing, "credential", None)
    if kind in ("connector", "scheme") and credential is not None:
        if not (inspect.isclass(credential) and issubclass(credential, BaseModel)):
            raise PluginFailed(f"{hook}: the credential of {name!r} must be a pydantic model's class")
        type_name = _check_name(hook, getattr(thing, "credential_type", name))
        components.append(_Component("credential type", type_name, credential))
    return components


def _check_name(hook: str, name: object) -> str:
    if not isinstance(name, str) or not _NAME.match(name):
        raise PluginFailed(
            f"{hook}: {name!r} can't be a name; names are letters, digits, '_', '-', '+' and '.', a small letter first"
        )
    return name


def _check_duplicates(components: Sequence[_Component], status: PluginStatus, collected: _Collected) -> None:
    own: dict[tuple[Kind, str], Any] = {}
    faults: list[str] = []
    for component in components:
        key = component.kind, component.name
        if key in own and own[key] is not component.thing:
            faults.append(f"it gives two {component.kind}s named {component.name!r}")
        own[key] = component.thing
        thing, owner = collected.components.get(key, (component.thing, None))
        # One and the same object may be given twice: a connector that shares its scheme's credential type.
        if owner is not None and (thing is not component.thing or component.kind != "credential type"):
            faults.append(f"the {component.kind} {component.name!r} is given by plugin {owner} already")
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
    # The innermost frame is where its author has to look; frames of the import system aren't files.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    inner = frames[-1] if frames and frames[-1].filename != __file__ else None
    if inner is None or isinstance(error, SyntaxError):
        return text
    return f"{text} ({inner.filename}, line {inner.lineno})"


def _registry(collected: _Collected) -> Registry:
    def of(kind: Kind) -> Mapping[str, Any]:
        return MappingProxyType(
            {
                name: thing
                for (its_kind, name), (thing, _) in sorted(collected.components.items(), key=lambda item: item[0])
                if its_kind == kind
            }
        )

    filters = of("template filter")
    origins = {key: status for key, (_, status) in collected.components.items()}
    return Registry(
        connectors=of("connector"),
        actions=of("action"),
        mappers=MappingProxyType({name: each.with_filters(filters) for name, each in of("mapper").items()}),
        triggers=of("trigger"),
        schemes=of("scheme"),
        credential_types=of("credential type"),
        backends=of("backend"),
        blob_stores=of("blob store"),
        template_filters=filters,
        plugins=tuple(collected.plugins),
        origins=MappingProxyType(origins),
        lost=MappingProxyType(collected.lost),
    )
