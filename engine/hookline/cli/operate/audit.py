"""`hookline audit`."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import click

from hookline.cli.client import Client, connect
from hookline.cli.command import Command, emit_page, paged
from hookline.cli.operate.bulk_operations import Moment
from hookline.cli.operate.shortened_execution_ids import full_id
from hookline.cli.printable_text import json_line
from hookline.kernel.errors import ExecutionNotFound
from hookline.server_settings import Settings

_LARGEST_PAGE: Final = 200


@click.command(cls=Command, settings=("db",))
@click.option("--flow", "flow_id", metavar="ID", help="Only entries about this flow.")
@click.option("--actor", metavar="ACTOR", help="Only what this actor did, such as token:ci, local:root or folder.")
@click.option("--operation", metavar="NAME", help="Only this operation, such as execution.retry.")
@click.option(
    "--subject",
    metavar="ID",
    help="Only entries about this execution, token, deployment or credential.",
)
@click.option("--since", type=Moment(), help="From this time on: a time, or 2h for two hours ago.")
@click.option("--until", type=Moment(), help="Before this time.")
@click.option("--export", is_flag=True, help="Print all entries, not only a page, as JSON lines.")
@paged
def audit(export: bool, cursor: str | None, limit: int, as_json: bool, settings: Settings, **chosen: Any) -> None:
    """List who changed what, newest first.

    The id of an execution may be shortened, as long as the execution isn't purged.

    Each change is recorded in the same commit as the change itself. Entries are kept for 400 days, or for the time in
    the setting audit_retention.
    """
    if export:
        asyncio.run(_export(settings, chosen, cursor))
        return
    page = asyncio.run(_page(settings, chosen, cursor, limit))
    columns = ("time", "actor", "from", "operation", "flow", "version", "subject", "detail")
    emit_page(page, as_json=as_json, columns=columns, row=_row, texts=("detail",))


async def _page(settings: Settings, chosen: Mapping[str, str | None], cursor: str | None, limit: int) -> Any:
    async with connect(settings) as client:
        return await client.get("audit", **await _with_full_id(client, chosen), cursor=cursor, limit=limit)


async def _export(settings: Settings, chosen: Mapping[str, str | None], cursor: str | None) -> None:
    async with connect(settings) as client:
        chosen = await _with_full_id(client, chosen)
        while True:
            page = await client.get("audit", **chosen, cursor=cursor, limit=_LARGEST_PAGE)
            for one in page["items"]:
                click.echo(json_line(one))
            cursor = page["next"]
            if cursor is None:
                return


async def _with_full_id(client: Client, chosen: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """Return a filter with the whole id of an execution as its subject, if the subject is a part of it.

    Tokens and credentials have names, which come first.
    """
    subject = chosen["subject"]
    if subject is None or (await client.get("audit", subject=subject, limit=1))["items"]:
        return chosen
    with suppress(ExecutionNotFound):
        subject = await full_id(client, subject)
    return {**chosen, "subject": subject}


def _row(one: Mapping[str, Any]) -> Sequence[str]:
    columns = ("at", "actor", "address", "operation", "flow_id", "flow_version", "subject", "detail")
    return [one[column] or "-" for column in columns]
