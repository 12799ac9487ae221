"""Operations on many executions: on those that are named, or on all that a filter selects."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from hookline.cli.client import Client, connect
from hookline.cli.inputs import read_input
from hookline.cli.operate.shortened_execution_ids import full_id
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.json import decode
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.durations import parse_duration
from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.server_settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])

_PAGE: Final = 100


class Moment(click.ParamType[str]):
    """A time, RFC 3339, or a duration before now, such as `2h`."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the time as RFC 3339."""
        try:
            return rfc3339(datetime.now(UTC) - parse_duration(value))
        except ValueError:
            pass
        try:
            at = datetime.fromisoformat(value)
            return rfc3339(at if at.tzinfo is not None else at.astimezone())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 2h", param, ctx)


def filters(function: _F) -> _F:
    """Add the options that select executions; `filter_from` reads them."""
    options = (
        click.option("--flow", "flow_id", metavar="ID", help="Only executions of this flow."),
        click.option("--state", type=click.Choice([one.value for one in State]), help="Only executions in this state."),
        click.option(
            "--outcome", type=click.Choice([one.value for one in Outcome]), help="Only executions with this outcome."
        ),
        click.option("--code", "error_code", metavar="CODE", help="Only executions that failed with this error code."),
        click.option("--cause", metavar="CAUSE", help="Only dead letters of this cause: see hookline dead-letters."),
        click.option("--tag", metavar="NAME:VALUE", help="Only executions with this tag."),
        click.option("--order-key", metavar="KEY", help="Only executions with this value of their flow's order_by."),
        click.option("--replay-of", metavar="ID", help="Only replays of this execution."),
        click.option("--since", type=Moment(), help="Accepted at this time or later: a time, or 2h for two hours ago."),
        click.option("--until", type=Moment(), help="Accepted before this time."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def reason(function: _F) -> _F:
    """Add the option with the reason for a discard."""
    return click.option("--reason", default="", metavar="TEXT", help="The reason, for the audit.")(function)


def filter_from(given: dict[str, Any]) -> dict[str, str]:
    """Take the filter out of a command's parameters."""
    return {name: value for name in ExecutionFilter.__struct_fields__ if (value := given.pop(name)) is not None}


async def with_full_id(client: Client, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a filter with the whole id of the execution whose replays it selects."""
    if "replay_of" not in chosen:
        return chosen
    return {**chosen, "replay_of": await full_id(client, chosen["replay_of"])}


def check_selection(ids: Sequence[str], chosen: Mapping[str, str], *, everything: bool) -> None:
    """Raise UsageError unless executions are named, or `--all` confirms the filter."""
    if ids and (chosen or everything):
        raise click.UsageError("name executions, or select them with --flow, --state and so on: not both")
    if not ids and not everything:
        which = "all that the options select" if chosen else "all executions"
        raise click.UsageError(f"name the executions, or add --all for {which}")


def run(
    settings: Settings,
    operation: str,
    ids: Sequence[str],
    chosen: Mapping[str, str],
    *,
    total: int | None = None,
    cursor: str | None = None,
    step: str | None = None,
    version: str = "current",
    edit: Mapping[str, Any] | None = None,
    reason: str = "",
) -> Mapping[str, Any]:
    """Run an operation on the executions of `ids`, or page by page on all that the filter `chosen` selects.

    Returns `done`, `rejected`, and `next`: the cursor to continue at if it was stopped. Raises HooklineError if the
    API can't be called, after printing that cursor.
    """
    result: dict[str, Any] = {"done": [], "rejected": [], "next": cursor}
    more: dict[str, Any] = {}
    if operation == "replay":
        more = {"step": step, "version": version, **(edit or {})}
    elif reason:
        more = {"reason": reason}
    try:
        if ids:
            asyncio.run(_named(settings, operation, ids, more, result))
        else:
            asyncio.run(_all(settings, operation, chosen, more, result, total))
    except (HooklineError, KeyboardInterrupt) as error:
        if not ids and (result["next"] or isinstance(error, KeyboardInterrupt)):
            at = f"; continue with --cursor {result['next']}" if result["next"] else ""
            click.echo(f"hookline: stopped after {counted(len(result['done']), 'execution')}{at}", err=True)
        if isinstance(error, KeyboardInterrupt):
            raise click.Abort from None
        raise
    return result


async def _named(
    settings: Settings, operation: str, ids: Sequence[str], more: Mapping[str, Any], result: dict[str, Any]
) -> None:
    async with connect(settings) as client:
        for execution_id in ids:
            try:
                named = await full_id(client, execution_id)
                new_id = await _one(client, operation, named, more)
            except HooklineError as error:
                if len(ids) == 1:
                    raise
                code = getattr(error, "error_code", error.code)
                result["rejected"].append({"id": execution_id, "code": code, "message": error.message})
            else:
                result["done"].append({"id": named, "new_id": new_id})


async def _one(client: Client, operation: str, execution_id: str, more: Mapping[str, Any]) -> str | None:
    path = ("executions", execution_id, operation)
    if operation != "replay":
        await client.post(*path, body=more or None)
        return None
    edit = {name: value for name, value in more.items() if name not in ("step", "version")}
    new: str = (await client.post(*path, body=edit, **{"from": more["step"], "version": more["version"]}))[
        "execution_id"
    ]
    return new


async def _all(
    settings: Settings,
    operation: str,
    chosen: Mapping[str, str],
    more: Mapping[str, Any],
    result: dict[str, Any],
    total: int | None,
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    # Executions that are accepted meanwhile are not included.
    chosen = {"until": rfc3339(datetime.now(UTC)), **chosen}
    with progress:
        task = progress.add_task(operation, total=total)
        async with connect(settings) as client:
            chosen = await with_full_id(client, chosen)
            while True:
                request = {"do": operation, **chosen, **more, "cursor": result["next"], "limit": _PAGE}
                given = {name: value for name, value in request.items() if value is not None}
                page = await client.post("executions", "many", body=given)
                result["done"] += page["done"]
                result["rejected"] += page["rejected"]
                result["next"] = page["next"]
                progress.advance(task, len(page["done"]) + len(page["rejected"]))
                if page["next"] is None:
                    return


def summary(operation: str, result: Mapping[str, Any]) -> str:
    """The result of `run` as text."""
    past = {"retry": "retried", "replay": "replayed", "cancel": "cancelled", "discard": "discarded"}[operation]
    lines = []
    if len(result["done"]) <= _PAGE:
        lines += [f"{one['id']} {past}" + (f" as {one['new_id']}" if one["new_id"] else "") for one in result["done"]]
    lines += [f"{one['id']} not {past}: {one['code']}: {one['message']}" for one in result["rejected"]]
    if len(result["done"]) + len(result["rejected"]) != 1:
        lines.append(f"{len(result['done'])} {past}, {len(result['rejected'])} failed")
    return "\n".join(lines)


def edits(function: _F) -> _F:
    """Add the options that edit a message; `edit_from` reads them."""
    options = (
        click.option(
            "--edit",
            "edits",
            multiple=True,
            metavar="PATH=VALUE",
            help="An edit of the message, as $.body.currency=EUR; VALUE is JSON or text.",
        ),
        click.option(
            "--patch",
            type=click.Path(path_type=Path, allow_dash=True),
            help="A file with a JSON merge patch of the body: its keys are replaced, null removes one.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def edit_from(given: dict[str, Any]) -> dict[str, Any]:
    """Take the edits out of a command's parameters. Raises ConfigError."""
    edit: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for text in given.pop("edits"):
        path, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--edit is written as PATH=VALUE, not as {text!r}")
        try:
            changes[path.strip()] = decode(value.encode(), exact=True)
        except (ValueError, RecursionError):
            changes[path.strip()] = value
    if changes:
        edit["edits"] = changes
    patch = given.pop("patch")
    if patch is not None:
        edit["merge"] = read_input(patch, exact=True)
    return edit
