"""`hookline plugins`, `hookline plugins doctor` and `hookline plugins describe`."""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.command import Command, CommandGroup, NotFound, emit, failure
from hookline.cli.table import table
from hookline.kernel.errors import HooklineError

if TYPE_CHECKING:
    from hookline.discovery.plugin_description import PluginDescription
    from hookline.discovery.plugin_doctor import Examination
    from hookline.discovery.registry import PluginStatus


class PluginsGroup(CommandGroup):
    """The group `hookline plugins`, which is a command too."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HooklineError as error:
            raise failure(error, as_json=ctx.params["as_json"]) from error


@click.group(cls=PluginsGroup, invoke_without_command=True, remote=False)
@click.option(
    "--no-import", "without_import", is_flag=True, help="Read the plugins' descriptions without importing the plugins."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins(ctx: click.Context, without_import: bool, as_json: bool) -> None:
    """List the installed plugins, and whether they work.

    Exit code 1 if one doesn't.
    """
    if ctx.invoked_subcommand is not None:
        if without_import or as_json:
            raise click.UsageError(f"options follow the command: hookline plugins {ctx.invoked_subcommand} …")
        return
    if without_import:
        _list_unimported(as_json)
    else:
        _list(ctx, as_json)


def _list(ctx: click.Context, as_json: bool) -> None:
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.service.views.plugins import plugin_view

    registry = load_plugins()
    views = [plugin_view(status, registry) for status in registry.plugins]

    def text() -> str:
        rows = [
            (
                view.name,
                f"{view.distribution or view.module} {view.version or ''}".strip(),
                view.error or view.warning or "works",
                ", ".join(f"{one.name}: {one.quality or 'below bronze'}" for one in view.connectors),
            )
            for view in views
        ]
        return table(("plugin", "from", "state", "connectors"), rows, texts=("state", "connectors"))

    emit(views, as_json=as_json, text=text)
    if any(view.error for view in views):
        ctx.exit(1)


def _list_unimported(as_json: bool) -> None:
    from hookline.discovery.plugin_description import file_of, read, requires_python
    from hookline.discovery.registry import GROUP
    from hookline.kernel.errors import PluginFailed

    found: list[dict[str, Any]] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        path, said, problem = file_of(point), None, None
        try:
            said = None if path is None else read(path)
        except PluginFailed as error:
            problem = error.message
        found.append(
            {
                "name": point.name,
                "module": point.value.partition(":")[0].strip(),
                "distribution": None if point.dist is None else point.dist.name,
                "version": None if point.dist is None else point.dist.version,
                "requires_python": None if point.dist is None else requires_python(point.dist),
                "requires": [] if point.dist is None else list(point.dist.requires or ()),
                "gives": said,
                "error": problem,
            }
        )

    def text() -> str:
        rows = [
            (
                one["name"],
                f"{one['distribution'] or one['module']} {one['version'] or ''}".strip(),
                one["error"] or _gives(one["gives"]),
            )
            for one in found
        ]
        return table(("plugin", "from", "gives"), rows, texts=("gives",))

    emit(found, as_json=as_json, text=text)


def _gives(said: "PluginDescription | None") -> str:
    if said is None:
        return "unknown"
    by_kind: dict[str, list[str]] = {}
    for kind, name in said.names():
        if kind != "credential type":
            by_kind.setdefault(kind, []).append(name)
    if by_kind.get("action") or by_kind.get("trigger"):
        by_kind.pop("connector", None)
    return "; ".join(f"{kind}{'s' if len(names) > 1 else ''} {', '.join(names)}" for kind, names in by_kind.items())


@plugins.command("doctor", needs_settings=False)
@click.argument("name", required=False)
@click.pass_context
def doctor(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """Find the problems of plugins and their remedies.

    NAME is the name of a plugin or a distribution; by default all plugins are examined. Exit code 1 if there is a
    problem.
    """
    from hookline.discovery.plugin_doctor import examine

    found = examine(name)
    if name is not None and not found:
        raise NotFound(_unknown(name))
    emit(found, as_json=as_json, text=lambda: "\n".join(_diagnosis(one) for one in found))
    if not all(one.ok for one in found):
        ctx.exit(1)


def _diagnosis(examined: "Examination") -> str:
    source = f" ({examined.distribution} {examined.version})" if examined.distribution else ""
    lines = [f"{examined.name}{source}: {'ok' if examined.ok else 'has problems'}"]
    for finding in examined.findings:
        lines.append(f"  {finding.severity}: {finding.message}")
        if finding.remedy:
            lines.append(f"    {finding.remedy}")
    return "\n".join(lines)


def _unknown(name: str) -> str:
    from hookline.discovery.registry import GROUP
    from hookline.kernel.suggestions_and_counts import did_you_mean

    points = entry_points(group=GROUP)
    known = {point.name for point in points} | {point.dist.name for point in points if point.dist is not None}
    return f"there is no plugin {name!r} ({did_you_mean(name, sorted(known), 'see `hookline plugins`')})"


@plugins.command("describe", cls=Command, needs_settings=False)
@click.argument("name")
@click.option("--write", is_flag=True, help="Write the description to hookline-plugin.json beside the plugin's code.")
@click.option("--check", is_flag=True, help="Exit code 1 if that file is out of date.")
@click.pass_context
def describe_plugin(ctx: click.Context, name: str, write: bool, check: bool, as_json: bool) -> None:
    """Describe the parts that plugins register, for `hookline-plugin.json`, which is read without importing them.

    NAME is the name of a plugin or a distribution.
    """
    from hookline.discovery.plugin_description import describe, file_of_module, text_of
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.kernel.errors import PluginFailed

    registry = load_plugins()
    chosen: list[PluginStatus] = [one for one in registry.plugins if name in (one.name, one.distribution)]
    if not chosen:
        raise NotFound(_unknown(name))
    described: dict[str, PluginDescription] = {}
    stale: list[str] = []
    failed = {plugin.name: plugin.error for plugin in chosen if plugin.error is not None}
    for plugin in chosen:
        if plugin.error is not None:
            continue
        described[plugin.name] = made = describe(registry, plugin)
        path = file_of_module(plugin.module)
        if path is None:
            raise PluginFailed(f"plugin {plugin} has no place for its file")
        text = text_of(made)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path))
            if write:
                try:
                    path.write_text(text, encoding="utf-8")
                except OSError as error:
                    raise PluginFailed(f"{path} can't be written: {error.strerror}") from error

    def shown() -> str:
        lines = [f"{plugin} can't be described: {error}" for plugin, error in failed.items()]
        if write or check:
            verb = "wrote" if write else "stale:"
            return "\n".join([*lines, *(f"{verb} {path}" for path in stale)] or ["up to date"])
        return "\n".join([*lines, *(f"{plugin}: {_gives(made)}" for plugin, made in described.items())])

    value: Any = {"written" if write else "stale": stale} if write or check else described
    emit(value, as_json=as_json, text=shown)
    if failed or (check and not write and stale):
        ctx.exit(1)
