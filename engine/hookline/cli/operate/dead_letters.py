"""`hookline dead-letters list|show|retry|replay|discard`."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import click

from hookline.cli.command import CommandGroup, emit, table
from hookline.cli.operate import bulk as many
from hookline.config import Settings

_SETTINGS: Final = ("db",)
_SHOWN: Final = 20


@click.group("dead-letters", cls=CommandGroup)
def dead_letters() -> None:
    """What failed and wasn't taken care of, grouped by cause."""


@dead_letters.command("list", settings=_SETTINGS)
@click.option("--flow", "flow_id", metavar="ID", help="Only those of this flow.")
@click.option("--cursor", help="Where the page starts: the `next` of the page before.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many are shown.")
def list_dead_letters(flow_id: str | None, cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """The causes; the one with the newest execution first."""
    page = asyncio.run(_list(settings, flow_id, cursor, limit))

    def text() -> str:
        rows = [
            (one["cause"], str(one["count"]), one["error"]["step"] or "", _error(one), one["first_at"], one["last_at"])
            for one in page["items"]
        ]
        shown = table(("cause", "count", "step", "error", "first failed", "last failed"), rows)
        return shown if page["next"] is None else f"{shown}\nmore: --cursor {page['next']}"

    emit(page, as_json=as_json, text=text)


@dead_letters.command("show", settings=_SETTINGS)
@click.argument("cause")
def show_dead_letters(cause: str, as_json: bool, settings: Settings) -> None:
    """A cause, and the newest executions that failed for it."""
    group, page = asyncio.run(_show(settings, cause))

    def text() -> str:
        lines = [
            f"{group['count']} executions of {group['flow_id']} failed at {group['error']['step'] or 'no step'}:",
            f"{group['error']['code']}: {group['example']}",
            f"first {group['first_at']}, last {group['last_at']}",
            "",
            *(f"{one['id']}  {one['created_at']}  {one['error']['message']}" for one in page["items"]),
        ]
        return "\n".join([*lines, f"more: hookline executions list --cause {cause}"] if page["next"] else lines)

    emit({**group, "executions": page["items"]}, as_json=as_json, text=text)


@dead_letters.command("retry", settings=_SETTINGS)
@click.argument("cause")
@click.pass_context
def retry_dead_letters(ctx: click.Context, cause: str, as_json: bool, settings: Settings) -> None:
    """Run all of a cause again: what they have done stays done."""
    _run(ctx, settings, "retry", cause, as_json)


@dead_letters.command("replay", settings=_SETTINGS)
@click.argument("cause")
@many.edits
@click.pass_context
def replay_dead_letters(ctx: click.Context, /, cause: str, as_json: bool, settings: Settings, **given: Any) -> None:
    """Do all of a cause again, as new executions on the version that serves; with edited messages, if you like.

    Each one that is done again is discarded with that: after it was stopped, the same command goes on.
    """
    _run(ctx, settings, "replay", cause, as_json, edit=many.edit_from(given))


@dead_letters.command("discard", settings=_SETTINGS)
@click.argument("cause")
@click.pass_context
def discard_dead_letters(ctx: click.Context, cause: str, as_json: bool, settings: Settings) -> None:
    """Let all of a cause be dead letters no longer. They stay in the history."""
    _run(ctx, settings, "discard", cause, as_json)


def _run(ctx: click.Context, settings: Settings, deed: str, cause: str, as_json: bool, **more: Any) -> None:
    group = asyncio.run(_group(settings, cause))
    result = many.do(settings, deed, (), {"cause": cause}, total=group["count"], **more)
    emit(result, as_json=as_json, text=lambda: many.told(deed, result))
    if result["rejected"]:
        ctx.exit(1)


def _error(group: Mapping[str, Any]) -> str:
    return f"{group['error']['code']}: {group['error']['message']}"


async def _list(settings: Settings, flow_id: str | None, cursor: str | None, limit: int) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.dead_letters(flow_id, cursor, limit)


async def _group(settings: Settings, cause: str) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.dead_letter(cause)


async def _show(settings: Settings, cause: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    from hookline.cli.access import access

    async with access(settings) as held:
        group = await held.dead_letter(cause)
        return group, await held.executions(None, None, None, _SHOWN, cause=cause)
