"""`hookline components [NAME]`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from hookline.cli.command import Command, emit, table
from hookline.errors import HooklineError
from hookline.jsontypes import encode

if TYPE_CHECKING:
    from hookline.service.components import ComponentView


class UnknownComponent(HooklineError):
    """There is no such component."""

    code = "component.not_found"


@click.command(cls=Command, needs_settings=False)
@click.argument("name", required=False)
def components(name: str | None, as_json: bool) -> None:
    """What flows can use: actions, triggers, schemes, mappers, types of credentials.

    With NAME, its inputs and which credentials it takes.
    """
    from hookline.discovery import discover
    from hookline.service.components import component_views

    registry = discover()
    views = component_views(registry)
    if name is None:
        rows = [(view.name, view.kind, _quality(view), view.unavailable or view.title) for view in views]
        emit(views, as_json=as_json, text=lambda: table(("name", "kind", "quality", "what it does"), rows))
        return
    found = [view for view in views if view.name == name]
    if not found:
        raise UnknownComponent(_missing(name, sorted({view.name for view in views}), registry.failure(name)))
    emit(found, as_json=as_json, text=lambda: "\n\n".join(_described(view) for view in found))


def _missing(name: str, known: Sequence[str], failure: object) -> str:
    from hookline.nearest import did_you_mean

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
            f"May be done twice: {'depends on its settings' if view.idempotent == 'depends' else view.idempotent}",
        ]
    if view.connector:
        lines += ["", f"Quality: {_quality(view)}"]
    if view.credential_types:
        lines += ["", f"Credential: {' or '.join(view.credential_types)}"]
    if view.inputs:
        rows = [
            (one.name, one.type, "required" if one.required else encode(one.default).decode(), one.description)
            for one in view.inputs
        ]
        lines += ["", table(("input", "type", "default", "meaning"), rows)]
    return "\n".join(lines)
