"""`hookline components [NAME]`, and `hookline components options NAME SETTING`."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.client import call
from hookline.cli.client.remote_choice import remote_of
from hookline.cli.command import Command, NotFound, emit
from hookline.cli.table import table
from hookline.kernel.json import encode
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.service.views.components import ComponentView


class UnknownComponent(NotFound):
    """There is no such component."""

    code = "component.not_found"


class _Components(Command):
    """`components NAME` shows one; `components options …` is a command of its own."""

    @property
    def commands(self) -> Mapping[str, click.Command]:
        """The commands under it."""
        return {"options": options}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        inner = self.commands.get(args[0]) if args else None
        if inner is not None:
            return inner.make_context(f"{info_name} {args[0]}", args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Components, remote=True)
@click.argument("name", required=False)
def components(name: str | None, as_json: bool, settings: Settings) -> None:
    """List the components that flows can use: actions, triggers, blocks, schemes, mappers, types of credentials.

    These come from the plugins that are installed here, or on the remote server. With NAME, show its settings and its
    types of credentials. `hookline components options NAME SETTING` asks the service for the options of a setting.
    """
    views, failure_of = _known(settings)
    if name is None:
        rows = [(view.name, view.kind, _quality(view), view.unavailable or view.title) for view in views]
        emit(
            views,
            as_json=as_json,
            text=lambda: table(("name", "kind", "quality", "description"), rows, texts=("description",)),
        )
        return
    found = [view for view in views if view.name == name]
    if not found:
        raise UnknownComponent(_missing(name, sorted({view.name for view in views}), failure_of(name)))
    emit(found, as_json=as_json, text=lambda: "\n\n".join(_described(view) for view in found))


@click.command("options", cls=Command, settings=("db",))
@click.argument("name")
@click.argument("setting")
@click.option("--credential", metavar="NAME", help="The credential to ask the service with.")
@click.option("--search", default="", metavar="TEXT", help="Only options that match, if the service can be searched.")
@click.option(
    "--with",
    "chosen",
    multiple=True,
    metavar="SETTING=VALUE",
    help="Another setting that the options depend on; may be repeated.",
)
def options(
    name: str,
    setting: str,
    credential: str | None,
    search: str,
    chosen: tuple[str, ...],
    as_json: bool,
    settings: Settings,
) -> None:
    """Ask a service for the options of a setting, such as the channels of a chat."""
    given: dict[str, Any] = {}
    for pair in chosen:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{pair!r} isn't written as setting=value")
        given[key] = value
    body = {"credential": credential, "with": given, "search": search}
    found = call(settings, "POST", "components", name, "options", setting, body=body, missing="empty")

    def text() -> str:
        rows = [
            (one["value"] if isinstance(one["value"], str) else encode(one["value"]).decode(), one["label"])
            for one in found["items"]
        ]
        lines = [table(("value", "label"), rows, texts=("label",)) if rows else "there are no options"]
        return "\n".join([*lines, "there are more: use --search"] if found["more"] else lines)

    emit(found, as_json=as_json, text=text)


def _known(settings: Settings) -> "tuple[Sequence[ComponentView], Callable[[str], object]]":
    """The components of the remote server, or else of this machine, and a function that returns the failure of the
    plugin that may have a component."""
    if remote_of(settings) is not None:
        import msgspec

        from hookline.service.views.components import ComponentView

        found = call(settings, "GET", "components")["items"]
        return msgspec.convert(found, list[ComponentView]), lambda _: None
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.service.views.components import component_views

    registry = load_plugins()
    return component_views(registry), registry.failure


def _missing(name: str, known: Sequence[str], failure: object) -> str:
    from hookline.kernel.suggestions_and_counts import did_you_mean

    if failure is not None:
        return f"{name!r} may belong to the plugin {failure}, which failed; `hookline plugins` says why"
    remedy = did_you_mean(name, known, "`hookline components` lists all")
    return f"there is no component {name!r} ({remedy})"


def _quality(view: "ComponentView") -> str:
    return "" if view.connector is None else view.quality or "below bronze"


def _described(view: "ComponentView") -> str:
    source = view.plugin if view.kind == "block" else f"plugin {view.plugin}"
    lines = [f"{view.name}  ({view.kind}, from {source})"]
    if view.unavailable:
        lines += ["", f"Unavailable: {view.unavailable}"]
    if view.description or view.title:
        lines += ["", view.description or view.title]
    if view.output:
        lines += ["", f"Output: {view.output}"]
    if view.idempotent:
        lines += [
            "",
            f"Idempotent: {'depends on its settings' if view.idempotent == 'depends' else view.idempotent}",
        ]
    if view.rate:
        lines += ["", f"Rate: {view.rate}, for each credential"]
    if view.version:
        older = f"; older ones as {view.name}@1" if view.version > 1 else ""
        lines += ["", f"Version of its settings: {view.version}{older}"]
    if view.connector:
        lines += ["", f"Quality: {_quality(view)}"]
    if view.credential_types:
        lines += ["", f"Credential: {' or '.join(view.credential_types)}"]
    if view.settings:
        rows = [
            (one.name, one.type, "required" if one.required else encode(one.default).decode(), one.description)
            for one in view.settings
        ]
        lines += [
            "",
            table(("setting", "type", "default", "description"), rows, texts=("type", "default", "description")),
        ]
    lines += [_options_hint(view, one.name) for one in view.settings if one.options is not None]
    return "\n".join(lines)


def _options_hint(view: "ComponentView", setting: str) -> str:
    credential = f" --credential NAME  # of type {view.credential_types[0]}" if view.credential_types else ""
    return f"\nOptions for {setting}: hookline components options {view.name} {setting}{credential}"
