"""`hookline dead-letters list|show|retry|replay|discard`."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import click

from hookline.cli.client import call, connect
from hookline.cli.command import CommandGroup, emit, emit_page, paged
from hookline.cli.operate import bulk_operations
from hookline.cli.table import table
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)
_SETTINGS_AND_FLOWS: Final = ("db", "flows")
_SHOWN: Final = 20


@click.group("dead-letters", cls=CommandGroup)
def dead_letters() -> None:
    """Failed executions that need attention, grouped by cause."""


@dead_letters.command("list", settings=_SETTINGS)
@click.option("--flow", "flow_id", metavar="ID", help="Only those of this flow.")
@paged
def list_dead_letters(flow_id: str | None, cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """List the causes; the one with the newest execution first."""
    page = call(settings, "GET", "dead-letters", flow_id=flow_id, cursor=cursor, limit=limit)
    emit_page(
        page,
        as_json=as_json,
        columns=("cause", "count", "last failed", "first failed", "step", "error"),
        row=lambda one: (
            one["cause"],
            str(one["count"]),
            one["last_at"],
            one["first_at"],
            one["error"]["step"] or "",
            f"{one['error']['code']}: {one['error']['message']}",
        ),
        texts=("first failed", "step", "error"),
    )


@dead_letters.command("show", settings=_SETTINGS)
@click.argument("cause")
def show_dead_letters(cause: str, as_json: bool, settings: Settings) -> None:
    """Show a cause and the newest executions that failed because of it."""
    group, page = asyncio.run(_show(settings, cause))

    def text() -> str:
        count, step = counted(group["count"], "execution"), group["error"]["step"] or "no step"
        lines = [
            f"{count} of {group['flow_id']} failed at {step}:",
            f"{group['error']['code']}: {group['example']}",
            f"first {group['first_at']}, last {group['last_at']}",
            "",
            table(
                ("id", "accepted", "error"),
                [(one["id"], one["created_at"], one["error"]["message"]) for one in page["items"]],
                texts=("error",),
                ids=("id",),
            ),
        ]
        return "\n".join([*lines, f"more: hookline executions list --cause {cause}"] if page["next"] else lines)

    emit({**group, "executions": page["items"]}, as_json=as_json, text=text)


async def _show(settings: Settings, cause: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    async with connect(settings) as client:
        group = await client.get("dead-letters", cause)
        return group, await client.get("executions", cause=cause, limit=_SHOWN)


@dead_letters.command("retry", settings=_SETTINGS_AND_FLOWS)
@click.argument("cause")
@click.pass_context
def retry_dead_letters(ctx: click.Context, cause: str, as_json: bool, settings: Settings) -> None:
    """Retry all executions of a cause. Steps that succeeded don't run again."""
    _run(ctx, settings, "retry", cause, as_json)


@dead_letters.command("replay", settings=_SETTINGS)
@click.argument("cause")
@bulk_operations.edits
@click.pass_context
def replay_dead_letters(ctx: click.Context, /, cause: str, as_json: bool, settings: Settings, **given: Any) -> None:
    """Replay all executions of a cause, as new executions on the version that serves, optionally with edited messages.

    Each execution is discarded together with its replay. If the command was stopped, run it again to continue.
    """
    _run(ctx, settings, "replay", cause, as_json, edit=bulk_operations.edit_from(given))


@dead_letters.command("discard", settings=_SETTINGS)
@click.argument("cause")
@bulk_operations.reason
@click.pass_context
def discard_dead_letters(ctx: click.Context, cause: str, reason: str, as_json: bool, settings: Settings) -> None:
    """Discard all dead letters of a cause. The executions stay in the history."""
    _run(ctx, settings, "discard", cause, as_json, reason=reason)


def _run(ctx: click.Context, settings: Settings, operation: str, cause: str, as_json: bool, **more: Any) -> None:
    group = call(settings, "GET", "dead-letters", cause)
    result = bulk_operations.run(settings, operation, (), {"cause": cause}, total=group["count"], **more)
    emit(result, as_json=as_json, text=lambda: bulk_operations.summary(operation, result))
    if result["rejected"]:
        ctx.exit(1)
