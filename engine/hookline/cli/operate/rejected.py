"""`hookline rejected`."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from hookline.cli.client import call
from hookline.cli.command import Command, emit_page, paged
from hookline.server_settings import Settings


@click.command(cls=Command, settings=("db",))
@click.argument("flow_id", metavar="[FLOW]", required=False)
@click.option("--code", help="Only those with this code, such as `request.not_verified`.")
@paged
def rejected(
    flow_id: str | None, code: str | None, cursor: str | None, limit: int, as_json: bool, settings: Settings
) -> None:
    """List the requests that were rejected, newest first: those of FLOW, or of all flows.

    The newest 100 of each flow are kept. Requests to flows that don't exist are listed under `-`.
    """
    path = ("rejected",) if flow_id is None else ("flows", flow_id, "rejected")
    page = call(settings, "GET", *path, code=code, cursor=cursor, limit=limit)
    columns = ("time", "flow", "status", "request", "bytes", "from", "reason")
    emit_page(page, as_json=as_json, columns=columns, row=_row, texts=("request", "reason"))


def _row(one: Mapping[str, Any]) -> Sequence[str]:
    return (
        one["at"],
        one["flow_id"],
        str(one["status"]),
        f"{one['method']} {one['path']}",
        str(one["size"]),
        one["client"] or "",
        f"{one['code']}: {one['detail']}" + (f" body: {one['body']}" if one["body"] else ""),
    )
