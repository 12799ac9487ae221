"""`hookline executions list|show|retry|replay|cancel|discard|resume|move|release|tail|explain`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.client import connect
from hookline.cli.command import CommandGroup, emit, emit_page, paged
from hookline.cli.inputs import read_input
from hookline.cli.operate import bulk_operations
from hookline.cli.operate.execution_text import describe_execution, error_or_wait, event_line, origin_lines
from hookline.cli.operate.shortened_execution_ids import full_id
from hookline.cli.printable_text import json_line, printable
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)
_SETTINGS_AND_FLOWS: Final = ("db", "flows")
_IDS: Final = click.argument("ids", metavar="[ID]…", nargs=-1)
_ALL: Final = click.option("--all", "everything", is_flag=True, help="All executions that the options select.")
_CURSOR: Final = click.option("--cursor", help="Continue at this cursor, which a stopped command has printed.")


@click.group(cls=CommandGroup)
def executions() -> None:
    """List, show and repair executions."""


@executions.command("list", settings=_SETTINGS)
@bulk_operations.filters
@click.option("--text", metavar="TEXT", help="Search messages for this text; upper and lower case are the same.")
@click.option("--jsonpath", metavar="PATH", help="Search messages in which this finds a value, such as $.body.id.")
@paged
def list_executions(cursor: str | None, limit: int, as_json: bool, settings: Settings, **given: Any) -> None:
    """List executions, newest first."""
    chosen = bulk_operations.filter_from(given)
    sought = {name: given[name] for name in ("text", "jsonpath") if given[name] is not None}
    page = asyncio.run(_list(settings, chosen, sought, cursor, limit))
    emit_page(
        page,
        as_json=as_json,
        columns=("id", "flow", "state", "outcome", "accepted", "cause"),
        row=lambda one: (
            one["id"],
            one["flow_id"],
            one["state"],
            one["outcome"] or "-",
            one["created_at"],
            error_or_wait(one),
        ),
        texts=("cause",),
        ids=("id",),
    )


async def _list(
    settings: Settings,
    chosen: Mapping[str, Any],
    sought: Mapping[str, Any],
    cursor: str | None,
    limit: int,
) -> Mapping[str, Any]:
    async with connect(settings) as client:
        chosen = await bulk_operations.with_full_id(client, chosen)
        page: Mapping[str, Any]
        if sought:
            page = await client.post("executions", "search", body={**chosen, **sought, "after": cursor, "limit": limit})
        else:
            page = await client.get("executions", **chosen, cursor=cursor, limit=limit)
        return page


def _of_one(settings: Settings, execution_id: str, method: str, *path: str, **more: Any) -> tuple[str, Any]:
    """Send a request about an execution, which may be named by a shortened id; return the full one and the result."""

    async def run() -> tuple[str, Any]:
        async with connect(settings) as client:
            named = await full_id(client, execution_id)
            return named, await client.request(method, "executions", named, *path, **more)

    return asyncio.run(run())


@executions.command("show", settings=_SETTINGS)
@click.argument("execution_id", metavar="ID")
def show_execution(execution_id: str, as_json: bool, settings: Settings) -> None:
    """Show an execution with its steps: their input, output, error and time.

    ID is the id of the execution, or its last or first characters, as `hookline executions list` shows them.
    """
    _, found = _of_one(settings, execution_id, "GET")
    emit(found, as_json=as_json, text=lambda: describe_execution(found))


def _run(ctx: click.Context, operation: str, given: dict[str, Any], **more: Any) -> None:
    chosen = bulk_operations.filter_from(given)
    ids, everything, as_json = given["ids"], given["everything"], given["as_json"]
    bulk_operations.check_selection(ids, chosen, everything=everything)
    result = bulk_operations.run(given["settings"], operation, ids, chosen, cursor=given["cursor"], **more)
    emit(result, as_json=as_json, text=lambda: bulk_operations.summary(operation, result))
    if result["rejected"]:
        ctx.exit(1)


@executions.command("retry", settings=_SETTINGS_AND_FLOWS)
@_IDS
@bulk_operations.filters
@_ALL
@_CURSOR
@click.pass_context
def retry_executions(ctx: click.Context, /, **given: Any) -> None:
    """Run failed executions again. Steps that succeeded don't run again.

    Name the executions, or select them with options and --all. An execution continues in the newest version of its
    flow if its journal fits that version.
    """
    _run(ctx, "retry", given)


@executions.command("replay", settings=_SETTINGS)
@_IDS
@bulk_operations.filters
@_ALL
@_CURSOR
@click.option("--from", "step", metavar="STEP", help="The path or id of the step to start at.")
@click.option(
    "--version",
    type=click.Choice(["current", "same"]),
    default="current",
    show_default=True,
    help="The version that serves, or the one that the execution ran on.",
)
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A body that replaces the message's, or the one that reaches STEP: a file with JSON or text; - is standard "
    "input.",
)
@bulk_operations.edits
@click.pass_context
def replay_executions(ctx: click.Context, /, **given: Any) -> None:
    """Run executions again as new ones, with ids and keys of their own.

    A replay has the message of its execution, or an edited one, and runs from the start, or from STEP.
    """
    edit = bulk_operations.edit_from(given)
    input_ = given.pop("input_")
    if input_ is not None:
        edit["body"] = read_input(input_, exact=True)
    _run(ctx, "replay", given, step=given.pop("step"), version=given.pop("version"), edit=edit)


@executions.command("cancel", settings=_SETTINGS)
@_IDS
@bulk_operations.filters
@_ALL
@_CURSOR
@click.pass_context
def cancel_executions(ctx: click.Context, /, **given: Any) -> None:
    """Cancel executions: their running steps are interrupted, and the `finally` blocks around these run."""
    _run(ctx, "cancel", given)


@executions.command("discard", settings=_SETTINGS)
@_IDS
@bulk_operations.filters
@_ALL
@_CURSOR
@bulk_operations.reason
@click.pass_context
def discard_executions(ctx: click.Context, /, **given: Any) -> None:
    """Discard dead letters. The executions stay in the history."""
    _run(ctx, "discard", given, reason=given.pop("reason"))


@executions.command("resume", settings=_SETTINGS)
@click.argument("execution_id", metavar="ID")
@click.argument("step")
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The body of the callback: a file with JSON or text; - is standard input. By default the body is null.",
)
def resume_execution(execution_id: str, step: str, input_: Path | None, as_json: bool, settings: Settings) -> None:
    """Resume the waiting STEP of an execution in place of a callback that doesn't come.

    STEP is its path, as `hookline executions show ID` prints it, or its id if only one step of that id waits.
    """
    body = {"step": step, "body": read_input(input_, exact=True)}
    named, _ = _of_one(settings, execution_id, "POST", "resume", body=body)
    emit({"id": named, "step": step}, as_json=as_json, text=lambda: f"execution {named} continues")


@executions.command("move", settings=_SETTINGS_AND_FLOWS)
@click.argument("execution_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--to", "to", metavar="VERSION", required=True, help="The first digits of a version, or `current`.")
@click.pass_context
def move_executions(
    ctx: click.Context, execution_ids: tuple[str, ...], to: str, as_json: bool, settings: Settings
) -> None:
    """Move waiting executions to another version of their flow, if their journals fit that version.

    Executions that don't fit stay on their versions; the step and the reason are printed. Exit code 1 if one wasn't
    moved.
    """
    done = asyncio.run(_move(settings, execution_ids, to))

    def text() -> str:
        return "\n".join(
            f"execution {one['id']} is on {one['version']}" if one["moved"] else f"not moved: {one['problem']}"
            for one in done
        )

    emit({"items": done}, as_json=as_json, text=text)
    if not all(one["moved"] for one in done):
        ctx.exit(1)


async def _move(settings: Settings, execution_ids: Sequence[str], to: str) -> list[Mapping[str, Any]]:
    done: list[Mapping[str, Any]] = []
    async with connect(settings) as client:
        for execution_id in execution_ids:
            try:
                named = await full_id(client, execution_id)
                moved = await client.post("executions", named, "move", body={"to": to})
            except ConfigError:
                raise
            except HooklineError as error:
                code = getattr(error, "error_code", error.code)
                done.append({"id": execution_id, "moved": False, "code": code, "problem": error.message})
            else:
                done.append({"id": named, "moved": True, "version": moved["flow_version"]})
    return done


@executions.command("release", settings=_SETTINGS)
@click.argument("execution_id", metavar="ID")
def release_execution(execution_id: str, as_json: bool, settings: Settings) -> None:
    """Release the order key of a failed execution, so that the next execution with that key runs."""
    named, _ = _of_one(settings, execution_id, "POST", "release")
    emit({"id": named}, as_json=as_json, text=lambda: f"execution {named} has released its order key")


@executions.command("tail", settings=_SETTINGS)
@click.option("--flow", "flow_id", metavar="ID", help="Only events of this flow.")
@click.option("--count", type=click.IntRange(1), help="End after this many events.")
def tail(flow_id: str | None, count: int | None, as_json: bool, settings: Settings) -> None:
    """Print the events of the running server as they happen, until Ctrl+C."""
    try:
        asyncio.run(_tail(settings, flow_id, count, as_json))
    except KeyboardInterrupt:
        return


async def _tail(settings: Settings, flow_id: str | None, count: int | None, as_json: bool) -> None:
    left = count
    no_server = "this takes a running server: start one with `hookline serve`"
    async with connect(settings, server_only=no_server) as client:
        async for event in client.events(flow_id=flow_id):
            click.echo(json_line(event) if as_json else printable(event_line(event)))
            if left is not None:
                left -= 1
                if left == 0:
                    return


@executions.command("explain", settings=_SETTINGS_AND_FLOWS)
@click.argument("execution_id", metavar="ID")
@click.argument("field")
def explain(execution_id: str, field: str, as_json: bool, settings: Settings) -> None:
    """Explain the origin of a value: the expression that made FIELD, the values it read, back to the message.

    FIELD is steps.<id>.body.<key>, or body.<key> of the execution's result. A step in a foreach is named by its path:
    lines[3]/post.body.id
    """
    _, found = _of_one(settings, execution_id, "GET", "provenance", field=field)
    emit(found, as_json=as_json, text=lambda: "\n".join(origin_lines(found)))
