"""`hookline diff [OLD] [NEW]`."""

import asyncio

import click

from hookline.cli.author.named_flow import NamedDocument, document_of
from hookline.cli.client import ApiError
from hookline.cli.command import Command, emit
from hookline.kernel.errors import ConfigError, FlowInvalid, FlowNotFound
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings


@click.command(cls=Command, settings=("flows", "db"))
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.pass_context
def diff(ctx: click.Context, old: str | None, new: str | None, as_json: bool, settings: Settings) -> None:
    """Show the differences in meaning between flows: steps, settings, mappings, triggers, vars.

    OLD and NEW are files, ids of flows, or FLOW@VERSION. An id is the flow's file; VERSION is the first digits of a
    kept version, or `current` for the version that serves. With OLD alone, its file is compared with the version that
    serves; with neither, every flow of the flows directory. Exit code 0 if there is no difference, 1 if there is one,
    2 if the flows can't be compared.
    """
    from hookline.flows.authoring.flow_difference import flow_differences

    try:
        pairs = asyncio.run(_pairs(settings, old, new))
    except (FlowInvalid, ApiError) as error:
        if isinstance(error, ApiError) and error.error_code != FlowNotFound.code:
            raise
        raise ConfigError(error.message, problems=error.problems) from None
    compared = [
        {
            "old": before.name,
            "new": after.name,
            "old_version": before.version,
            "new_version": after.version,
            "differences": flow_differences(before.text.value, after.text.value),
        }
        for before, after in pairs
    ]
    different = any(one["differences"] for one in compared)

    def text() -> str:
        lines: list[str] = []
        for one in compared:
            count = len(one["differences"])
            if count or len(compared) == 1:
                how = counted(count, "difference") if count else "no difference"
                lines.append(f"{one['old']} → {one['new']}: {how}")
                lines += [f"  {each}" for each in one["differences"]]
        return "\n".join(lines) if lines else f"{counted(len(compared), 'flow')}: no difference"

    emit({"compared": compared}, as_json=as_json, text=text)
    if different:
        ctx.exit(1)


async def _pairs(settings: Settings, old: str | None, new: str | None) -> list[tuple["NamedDocument", "NamedDocument"]]:
    if old is not None and new is not None:
        return [(await document_of(settings, old), await document_of(settings, new))]
    if old is not None:
        return [await _with_current(settings, old)]
    from hookline.catalog.flow_folder import scan

    return [await _with_current(settings, file.stem) for file in scan(settings.flows_dir)]


async def _with_current(settings: Settings, name: str) -> tuple["NamedDocument", "NamedDocument"]:
    """The version of a flow that serves, and the flow's file."""
    if "@" in name:
        return await document_of(settings, name), await document_of(settings, name.partition("@")[0])
    after = await document_of(settings, name)
    flow_id = str(after.text.value.get("id", name))
    return await document_of(settings, f"{flow_id}@current"), after
