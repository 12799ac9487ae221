"""`hookline storage`."""

from datetime import timedelta

import click

from hookline.cli.client import call
from hookline.cli.command import Command, emit
from hookline.cli.printable_text import size_text
from hookline.cli.table import table
from hookline.model.durations import format_duration
from hookline.server_settings import Settings


@click.command(cls=Command, settings=("flows", "db", "blobs", "retention", "disk_budget"))
def storage(as_json: bool, settings: Settings) -> None:
    """Show the disk space of the database and the files, by flow, and when the oldest executions are removed."""
    found = call(settings, "GET", "storage")

    def text() -> str:
        reusable = "" if found["reusable"] is None else f", of which {size_text(found['reusable'])} can be reused"
        lines = [
            f"database {size_text(found['database'])}{reusable}",
            f"files {size_text(found['files'])}",
            f"budget {'none' if found['budget'] is None else size_text(found['budget'])}",
            f"used of it {size_text(found['used'])}",
            f"executions {found['executions']:,}",
        ]
        if found["full"] is not None:
            lines.append(f"no messages are accepted: {found['full']}")
        lines += [f"{one['flow_id']} accepts no messages: {one['full']}" for one in found["flows"] if one["full"]]
        rows = [
            (
                one["flow_id"],
                size_text(one["used"]),
                size_text(one["dead_letters"]) if one["dead_letters"] else "",
                format_duration(timedelta(seconds=one["age"])),
                _count(one["count"]),
                one["next_at"] or "",
            )
            for one in found["flows"]
        ]
        return "\n".join([*lines, table(("flow", "size", "dead letters", "kept for", "at most", "next removal"), rows)])

    emit(found, as_json=as_json, text=text)


def _count(count: int | None) -> str:
    return "" if count is None else f"{count:,}"
