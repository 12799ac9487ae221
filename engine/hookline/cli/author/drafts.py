"""`hookline drafts list|show|save|delete`."""

from pathlib import Path
from typing import Final

import click

from hookline.cli.client import call
from hookline.cli.command import CommandGroup, emit, emit_page, paged
from hookline.kernel.errors import ConfigError
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)


@click.group(cls=CommandGroup)
def drafts() -> None:
    """Manage the drafts of flows, which serve nobody."""


@drafts.command("list", settings=_SETTINGS)
@paged
def list_drafts(cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """List the drafts, in the order of their flows."""
    emit_page(
        call(settings, "GET", "drafts", cursor=cursor, limit=limit),
        as_json=as_json,
        columns=("flow", "saved", "by", "bytes", "base", "version"),
        row=lambda one: (
            one["flow_id"],
            one["updated_at"],
            one["updated_by"],
            str(one["size"]),
            one["base"] or "",
            one["version"],
        ),
        texts=("by", "base"),
    )


@drafts.command("show", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def show_draft(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Print the text of the draft of FLOW."""
    found = call(settings, "GET", "drafts", flow_id)
    emit(found, as_json=as_json, text=lambda: str(found["text"]))


@drafts.command("save", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option("--base", metavar="VERSION", help="The version of the flow from which the draft was made.")
@click.option(
    "--replaces", metavar="VERSION", help="The version of the draft that it replaces; * for any. Without it, none."
)
def save_draft(
    flow_id: str, file: Path, base: str | None, replaces: str | None, as_json: bool, settings: Settings
) -> None:
    """Save FILE (- is standard input) as the draft of FLOW. It may be no JSON yet."""
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            text = opened.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the text {file} can't be read: {error}") from error
    body = {"text": text, "base": base}
    saved = call(settings, "PUT", "drafts", flow_id, body=body, if_match=replaces, missing="created")
    emit(saved, as_json=as_json, text=lambda: f"the draft of {flow_id} is saved as {saved['version']}")


@drafts.command("delete", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def delete_draft(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Delete the draft of FLOW."""
    call(settings, "DELETE", "drafts", flow_id)
    emit({"flow_id": flow_id}, as_json=as_json, text=lambda: f"the draft of {flow_id} is deleted")
