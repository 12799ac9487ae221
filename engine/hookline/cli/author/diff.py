"""`hookline diff [OLD] [NEW]`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hookline.cli.client import ApiError, connect
from hookline.cli.command import Command, emit
from hookline.config import Settings
from hookline.kernel.errors import ConfigError, FlowInvalid, FlowNotFound, Problem
from hookline.kernel.suggest import counted


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
            "old": before["name"],
            "new": after["name"],
            "old_version": before["version"],
            "new_version": after["version"],
            "differences": flow_differences(before["document"], after["document"]),
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


async def _pairs(
    settings: Settings, old: str | None, new: str | None
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    if old is not None and new is not None:
        return [(await _named(settings, old), await _named(settings, new))]
    if old is not None:
        return [await _with_current(settings, old)]
    from hookline.catalog.flow_folder import scan

    return [await _with_current(settings, file.stem) for file in scan(settings.flows_dir)]


async def _with_current(settings: Settings, name: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The version of a flow that serves, and the flow's file."""
    if "@" in name:
        return await _named(settings, name), await _named(settings, name.partition("@")[0])
    after = await _named(settings, name)
    flow_id = str(after["document"].get("id", name))
    return await _named(settings, f"{flow_id}@current"), after


async def _named(settings: Settings, name: str) -> Mapping[str, Any]:
    """A document with the name and the version to show."""
    from hookline.flows.documents.read import read
    from hookline.flows.documents.version import version_of

    flow_id, _, version = name.partition("@")
    if version:
        async with connect(settings) as client:
            found = await client.get("flows", flow_id, "versions", version)
        return {"name": f"{flow_id}@{found['version']}", "version": found["version"], "document": found["document"]}
    path = Path(name) if name.endswith(".json") or "/" in name else settings.flows_dir / f"{name}.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    document = read(data, str(path))
    if document.problems or not isinstance(document.value, dict):
        wrong = Problem("a flow is an object", code="wrong_type", remedy="write { … }", file=str(path))
        raise FlowInvalid(document.problems or [wrong])
    return {"name": str(path), "version": version_of(document.value), "document": document.value}
