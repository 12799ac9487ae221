"""`hookline rejected`."""

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from hookline.cli.command import Command, emit, table
from hookline.config import Settings


@click.command(cls=Command, settings=("db",))
@click.argument("flow_id", metavar="[FLOW]", required=False)
@click.option("--cursor", help="Where the page starts: the `next` of the page before.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many are shown.")
def rejected(flow_id: str | None, cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """Requests that were rejected, newest first: of one flow, or of all.

    Of each flow the newest 100 are kept. Those to flows that there aren't are under `-`.
    """
    page = asyncio.run(_list(settings, flow_id, cursor, limit))

    def text() -> str:
        rows = [
            (
                one["at"],
                one["flow_id"],
                str(one["status"]),
                f"{one['method']} {one['path']}",
                str(one["size"]),
                one["client"] or "",
                f"{one['code']}: {one['detail']}" + (f" body: {one['body']}" if one["body"] else ""),
            )
            for one in page["items"]
        ]
        columns = ("time", "flow", "status", "request", "bytes", "from", "why")
        shown = table(columns, [[_plain(cell) for cell in row] for row in rows])
        return shown if page["next"] is None else f"{shown}\nmore: --cursor {page['next']}"

    emit(page, as_json=as_json, text=text)


def _plain(text: str) -> str:
    """Text without what a terminal would obey: whoever was rejected has written some of it."""
    return "".join(one if one.isprintable() else _escaped(ord(one)) for one in text)


def _escaped(code: int) -> str:
    """As Python writes it: each form has its number of digits, so that none that follows is taken for one."""
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


async def _list(settings: Settings, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.rejected(flow_id, cursor, limit)
