"""Checks of the installed plugins: problems and their remedies."""

import importlib.metadata
import inspect
import json
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from hookline.discovery.plugin_description import describe, file_of, read, requires_python
from hookline.discovery.plugin_loader import HOOKS, load_plugins
from hookline.discovery.quality import level_of, open_secrets, violations
from hookline.discovery.registry import GROUP, PluginStatus, Registry
from hookline.kernel.errors import PluginFailed
from hookline.kernel.suggestions_and_counts import did_you_mean

Severity = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """One problem of a plugin."""

    code: str
    severity: Severity
    message: str
    remedy: str = ""


class Examination(msgspec.Struct, frozen=True):
    """The result of the checks of one plugin."""

    name: str
    distribution: str | None
    version: str | None
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """True if there are no errors. Warnings don't count."""
        return not any(finding.severity == "error" for finding in self.findings)


def examine(name: str | None = None) -> list[Examination]:
    """Check all plugins, or only those whose entry point or distribution has this name (maybe none)."""
    distributions = list(importlib.metadata.distributions())
    points = list(importlib.metadata.entry_points(group=GROUP))
    registry = load_plugins(points)
    found = [
        _examined(status, _point(status, points), registry, distributions)
        for status in registry.plugins
        if name is None or _named(status, name)
    ]
    strays = [each for each in map(_misspelt_group, distributions) if each is not None]
    return found + [each for each in strays if name is None or canonicalize_name(name) in (_canonical(each), each.name)]


def _named(status: PluginStatus, name: str) -> bool:
    return name == status.name or canonicalize_name(name) == canonicalize_name(status.distribution or "")


def _canonical(examined: Examination) -> str:
    return canonicalize_name(examined.distribution or "")


def _point(status: PluginStatus, points: Iterable[EntryPoint]) -> EntryPoint:
    return next(
        point
        for point in points
        if point.name == status.name
        and (point.dist.name if point.dist else None, point.dist.version if point.dist else None)
        == (status.distribution, status.version)
    )


def _examined(
    status: PluginStatus,
    point: EntryPoint,
    registry: Registry,
    distributions: Iterable[Distribution],
) -> Examination:
    findings: list[Finding] = []
    if point.dist is not None:
        findings += _twice(point.dist, distributions)
        findings += _ranges(point.dist)
    if status.error is not None:
        findings.append(_failure(status, point))
    else:
        findings += _hooks(point)
        findings += _metadata(status, point, registry)
        findings += _connectors(status, registry)
        findings += _sites(status, registry)
    return Examination(status.name, status.distribution, status.version, findings)


def _sites(status: PluginStatus, registry: Registry) -> Iterator[Finding]:
    for name, site in registry.sites.items():
        if registry.origin("site", name) == status and not site.is_built:
            yield Finding("unbuilt", "warning", f"there are no files in {site.folder}", site.remedy)


def _misspelt_group(distribution: Distribution) -> Examination | None:
    for point in distribution.entry_points:
        group = point.group
        near = group.lower() != GROUP and get_close_matches(group.lower(), [GROUP], n=1, cutoff=0.8)
        if near or (group != GROUP and re.match(rf"{GROUP}s?([._-]|\Z)", group.lower())):
            finding = Finding(
                "group",
                "error",
                f"its entry point {point.name!r} is in the group {group!r}, which Hookline doesn't read",
                f"write [project.entry-points.{GROUP}] in its pyproject.toml, and install it again",
            )
            return Examination(point.name, distribution.name, distribution.version, [finding])
    return None


def _twice(distribution: Distribution, distributions: Iterable[Distribution]) -> Iterator[Finding]:
    name = canonicalize_name(distribution.name)
    places: dict[str, str] = {}
    for one in distributions:
        if one.name and canonicalize_name(one.name) == name:
            places.setdefault(str(_place(one)), one.version)
    if len(places) > 1:
        listed = ", ".join(f"{version} in {place}" for place, version in places.items())
        yield Finding(
            "twice",
            "error",
            f"{distribution.name} is installed {len(places)} times: {listed}; only the first is used",
            f"pip uninstall {distribution.name}, until none is left; then install it once",
        )
    folder = _editable_folder(distribution)
    if folder is not None and not folder.is_dir():
        yield Finding(
            "leftover",
            "error",
            f"{distribution.name} was installed for editing from {folder}, which no longer exists",
            f"pip uninstall {distribution.name}",
        )


def _place(distribution: Distribution) -> Path:
    return Path(str(distribution.locate_file(""))).resolve()


def _editable_folder(distribution: Distribution) -> Path | None:
    """Return the folder of the source of an editable install."""
    try:
        said: Any = json.loads(distribution.read_text("direct_url.json") or "{}")
        if said.get("dir_info", {}).get("editable"):
            return Path(url2pathname(urlsplit(str(said.get("url", ""))).path))
    except (ValueError, AttributeError):
        return None
    return None


def _ranges(distribution: Distribution) -> Iterator[Finding]:
    name = distribution.name
    wanted = requires_python(distribution)
    running = ".".join(map(str, sys.version_info[:3]))
    if wanted and not _allows(wanted, running):
        yield Finding(
            "python",
            "error",
            f"{name} {distribution.version} needs Python {wanted}, and this is Python {running}",
            f"use such a Python, or a version of {name} for this one: pip install --upgrade {name}",
        )
    for requirement in _requirements(distribution):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if canonicalize_name(requirement.name) == GROUP and str(requirement.specifier):
            installed = _version(GROUP)
            if installed is not None and not _allows(str(requirement.specifier), installed):
                yield Finding(
                    "hookline",
                    "error",
                    f"{name} {distribution.version} needs hookline {requirement.specifier}, and this is {installed}",
                    f"pip install --upgrade {name}, or 'hookline{requirement.specifier}'",
                )


def _allows(specifier: str, version: str) -> bool:
    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except PackageNotFoundError:
        return None


def _requirements(distribution: Distribution) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        try:
            yield Requirement(text)
        except InvalidRequirement:
            continue


def _failure(status: PluginStatus, point: EntryPoint) -> Finding:
    """Return the reason why the plugin was not loaded, with the remedy."""
    cause, package = status.cause, status.module.partition(".")[0]
    message = status.error or ""
    if isinstance(cause, ModuleNotFoundError) and cause.name is not None:
        missing = cause.name.partition(".")[0]
        if missing == package:
            return Finding(
                "entry_point",
                "error",
                f"its entry point names {point.value!r}, but there is no module {cause.name!r}",
                _module_remedy(cause.name, point.dist),
            )
        return Finding("dependency", "error", message, _install(missing, point.dist))
    if isinstance(cause, ImportError | AttributeError) and _inner(cause, package) is None:
        return Finding(
            "entry_point", "error", f"its entry point is {point.value!r}: {message}", "write the name of the module"
        )
    frame = None if cause is None else _inner(cause, package)
    line = cause.text if isinstance(cause, SyntaxError) else None if frame is None else frame.line
    where = "" if not line else f"; its line there: {line.strip()}"
    code = {
        "DuplicateName": "clash",
        "UnknownHook": "hook",
        "PluginValidationError": "hook",
        "TimeLimitExceeded": "hangs",
    }
    remedies = {
        "clash": "uninstall one of them, or ask its author for another name",
        "hook": "docs/reference/hooks.md has the signature of each hook",
        "hangs": "importing a plugin must not do any work; move that work into its actions",
    }
    imports = frame is not None or isinstance(cause, SyntaxError)
    kind = code.get(type(cause).__name__, "import" if imports else "registers")
    return Finding(kind, "error", f"{message}{where}", remedies.get(kind, "report it to the author of the plugin"))


def _inner(error: BaseException, package: str) -> traceback.FrameSummary | None:
    """Return the innermost frame in the code of the plugin."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if package in Path(frame.filename).parts or Path(frame.filename).stem == package
    ]
    return own[-1] if own else None


def _module_remedy(module: str, distribution: Distribution | None) -> str:
    top = set()
    for file in (distribution.files if distribution is not None else None) or ():
        first = file.parts[0]
        if not first.endswith((".dist-info", ".egg-info", ".pth")) and first != "__pycache__":
            top.add(first.removesuffix(".py"))
    listed = f"the distribution has {', '.join(sorted(top))}" if top else "install the distribution again"
    return did_you_mean(module, sorted(top), listed)


def _install(missing: str, distribution: Distribution | None) -> str:
    """Return the command that installs a missing module."""
    wanted = canonicalize_name(missing)
    for requirement in () if distribution is None else _requirements(distribution):
        if canonicalize_name(requirement.name) != wanted:
            continue
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", str(requirement.marker or ""))
        if extra is not None and distribution is not None:
            return f"pip install '{distribution.name}[{extra[1]}]'"
        return f"pip install '{requirement.name}{requirement.specifier}'"
    name = "the plugin" if distribution is None else distribution.name
    return f"pip install {missing}, if that is its distribution: it is not a dependency of {name}"


def _hooks(point: EntryPoint) -> Iterator[Finding]:
    yield from unknown_hooks(point.load())


def unknown_hooks(plugin: object) -> Iterator[Finding]:
    """Find functions whose names are similar to those of hooks."""
    own = getattr(plugin, "__name__", None)
    for name, value in vars(plugin).items() if inspect.ismodule(plugin) else ():
        if name in HOOKS or not inspect.isfunction(value) or value.__module__ != own or hasattr(value, f"{GROUP}_impl"):
            continue
        if near := get_close_matches(name, HOOKS, n=1, cutoff=0.8):
            yield Finding(
                "hook",
                "error",
                f"{name} is not the name of a hook and is never called",
                f"did you mean {near[0]!r}, with @hookimpl above it?",
            )


def _metadata(status: PluginStatus, point: EntryPoint, registry: Registry) -> Iterator[Finding]:
    path = file_of(point)
    write = f"hookline plugins describe {status.name} --write"
    try:
        said = None if path is None else read(path)
    except PluginFailed as error:
        yield Finding("metadata", "error", error.message, write)
        return
    if said is None:
        yield Finding("metadata", "warning", "it has no metadata file that describes its parts", write)
        return
    true = describe(registry, status)
    if said == true:
        return
    stated, real = set(said.names()), set(true.names())
    parts = [f"it lacks the {kind} {name}" for kind, name in sorted(real - stated)]
    parts += [f"it names the {kind} {name}, which doesn't exist" for kind, name in sorted(stated - real)]
    yield Finding(
        "metadata", "error", f"{path} is out of date: {'; '.join(parts) or 'titles or levels have changed'}", write
    )


def _connectors(status: PluginStatus, registry: Registry) -> Iterator[Finding]:
    for (kind, name), origin in sorted(registry.origins.items()):
        if origin != status:
            continue
        if kind == "credential type":
            for field in open_secrets(registry.credential_types[name]):
                yield Finding(
                    "secret",
                    "error",
                    f"the field {field} of the credential type {name!r} is not declared secret",
                    f"make {field} a SecretStr",
                )
        if kind != "connector":
            continue
        connector = registry.connectors[name]
        if connector.unavailable is not None:
            yield Finding("unavailable", "warning", f"the connector {name!r} is unavailable", connector.unavailable)
        if level_of(connector) is None:
            for rule, text in violations(connector, "bronze"):
                if rule.code != "secrets":
                    yield Finding("quality", "error", f"the connector {name!r} is below bronze: {text}", rule.text)
