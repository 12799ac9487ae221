"""`hookline executions retry|replay|cancel|discard|tail|explain`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.command import Command, emit
from hookline.cli.message_input import body_of
from hookline.cli.operate import bulk as many
from hookline.config import Settings
from hookline.kernel.json import encode

_SETTINGS: Final = ("db",)
_IDS: Final = click.argument("ids", metavar="[ID]…", nargs=-1)
_ALL: Final = click.option("--all", "everything", is_flag=True, help="Each one that the options choose.")
_CURSOR: Final = click.option("--cursor", help="Where to go on, as it was said when it was stopped.")


def _run(ctx: click.Context, deed: str, given: dict[str, Any], **more: Any) -> None:
    chosen = many.chosen_from(given)
    ids, everything, as_json = given["ids"], given["everything"], given["as_json"]
    many.check_choice(ids, chosen, everything=everything)
    result = many.do(given["settings"], deed, ids, chosen, cursor=given["cursor"], **more)
    emit(result, as_json=as_json, text=lambda: many.told(deed, result))
    if result["rejected"]:
        ctx.exit(1)


@click.command("retry", cls=Command, settings=_SETTINGS)
@_IDS
@many.filters
@_ALL
@_CURSOR
@click.pass_context
def retry(ctx: click.Context, /, **given: Any) -> None:
    """Run failed executions again: what they have done stays done.

    Names executions, or with --all means each that the options choose.
    """
    _run(ctx, "retry", given)


@click.command("cancel", cls=Command, settings=_SETTINGS)
@_IDS
@many.filters
@_ALL
@_CURSOR
@click.pass_context
def cancel(ctx: click.Context, /, **given: Any) -> None:
    """Let executions end as cancelled: what runs is cut off, and each `finally` on the way out runs."""
    _run(ctx, "cancel", given)


@click.command("discard", cls=Command, settings=_SETTINGS)
@_IDS
@many.filters
@_ALL
@_CURSOR
@click.pass_context
def discard(ctx: click.Context, /, **given: Any) -> None:
    """Let failed executions be dead letters no longer. They stay in the history."""
    _run(ctx, "discard", given)


@click.command("replay", cls=Command, settings=_SETTINGS)
@_IDS
@many.filters
@_ALL
@_CURSOR
@click.option("--from", "step", metavar="STEP", help="The path or id of the step from which on.")
@click.option(
    "--version",
    type=click.Choice(["current", "same"]),
    default="current",
    show_default=True,
    help="The version that serves, or the one on which it ran.",
)
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A body in place of the message's, or of what reaches STEP: a file with JSON, or text; - is standard input.",
)
@many.edits
@click.pass_context
def replay(ctx: click.Context, /, **given: Any) -> None:
    """Do executions again, as new ones with ids and keys of their own.

    With their messages, or with edited ones; whole, or from STEP on.
    """
    edit = many.edit_from(given)
    input_ = given.pop("input_")
    if input_ is not None:
        edit["body"] = body_of(input_, exact=True)
    _run(ctx, "replay", given, step=given.pop("step"), version=given.pop("version"), edit=edit)


@click.command("tail", cls=Command, settings=_SETTINGS)
@click.option("--flow", "flow_id", metavar="ID", help="Only those of this flow.")
@click.option("--count", type=click.IntRange(1), help="End after so many events.")
def tail(flow_id: str | None, count: int | None, as_json: bool, settings: Settings) -> None:
    """What happens on the running server, as it happens. Ends with Ctrl-C."""
    try:
        asyncio.run(_tail(settings, flow_id, count, as_json))
    except KeyboardInterrupt:
        return


async def _tail(settings: Settings, flow_id: str | None, count: int | None, as_json: bool) -> None:
    from hookline.cli.access import access

    left = count
    async with access(settings) as held:
        async for event in held.events(flow_id):
            click.echo(encode(event) if as_json else _line(event))
            if left is not None:
                left -= 1
                if left == 0:
                    return


def _line(event: Mapping[str, Any]) -> str:
    kind, data = event["event"], event["data"]
    if kind == "missed":
        return f"… {data['count']} events or more were missed"
    where = f"{data['at']}  {data['flow_id']}  {data['execution_id']}  {kind}"
    step = data.get("step")
    if step is not None:
        error = step["error"]
        attempt = f", attempt {step['attempt']}" if step["attempt"] > 1 else ""
        cause = f"  {error['code']}: {error['message']}" if error else ""
        return f"{where}  {step['path']} {step['state']}{attempt}{cause}"
    error = data.get("error")
    told = data.get("outcome") or data.get("reason") or ""
    cause = f"  {error['code']}: {error['message']}" if error else ""
    return f"{where}  {told}{cause}".rstrip()


@click.command("explain", cls=Command, settings=("db", "flows"))
@click.argument("execution_id", metavar="ID")
@click.argument("field")
def explain(execution_id: str, field: str, as_json: bool, settings: Settings) -> None:
    """Where a value comes from: the expression that made FIELD, what that read, and so on to what came in.

    FIELD is steps.<id>.body.<key>, or body.<key> of what the execution ended with. A step in a foreach is named by its
    path: lines[3]/post.body.id
    """
    found = asyncio.run(_explain(settings, execution_id, field))
    emit(found, as_json=as_json, text=lambda: "\n".join(_told(found, 0)))


def _told(origin: Mapping[str, Any], depth: int) -> list[str]:
    indent = "  " * depth
    value = _short(origin["value"]) if origin["known"] else "(not there)"
    lines = [f"{indent}{origin['field']} = {value}"]
    for maker in origin["made_by"]:
        place = f"{maker['file']}:{maker['line']}" if maker["file"] else "the version that ran"
        expression = f"  {maker['expression']}" if maker["expression"] else "  (written there)"
        lines.append(f"{indent}  made by {place} {maker['pointer']}{expression}")
    if origin["note"] and not origin["made_by"]:
        lines.append(f"{indent}  {origin['note']}" + (f" (step {origin['step']})" if origin["step"] else ""))
    for read in origin["reads"]:
        lines += _told(read, depth + 2)
    return lines


def _short(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


async def _explain(settings: Settings, execution_id: str, field: str) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.explain(execution_id, field)
