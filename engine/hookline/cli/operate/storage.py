"""`hookline storage`."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import click

from hookline.cli.command import Command, emit, table
from hookline.config import Settings


@click.command(cls=Command, settings=("flows", "db", "blobs", "retention", "disk_budget"))
def storage(as_json: bool, settings: Settings) -> None:
    """How much room database and files take, and when the oldest executions of each flow go."""
    found = asyncio.run(_asked(settings))

    def text() -> str:
        reusable = "" if found["reusable"] is None else f", of which {_size(found['reusable'])} will be filled again"
        lines = [
            f"database {_size(found['database'])}{reusable}",
            f"files {_size(found['files'])}",
            f"budget {'none' if found['budget'] is None else _size(found['budget'])}",
            f"executions about {found['executions']:,}",
        ]
        if found["full"] is not None:
            lines.append(f"no messages are taken: {found['full']}")
        rows = [
            (one["flow_id"], str(timedelta(seconds=one["age"])), _count(one["count"]), one["next_at"] or "")
            for one in found["flows"]
        ]
        return "\n".join([*lines, table(("flow", "kept for", "at most", "the oldest goes"), rows)])

    emit(found, as_json=as_json, text=text)


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


async def _asked(settings: Settings) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.storage()
