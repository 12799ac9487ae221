"""Doing something with executions from the command line: with those that are named, or with all that a filter finds."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hookline.cli.message_input import body_of
from hookline.config import Settings
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.json import decode
from hookline.kernel.time import rfc3339
from hookline.model.durations import parse_duration
from hookline.model.execution import Outcome, State

if TYPE_CHECKING:
    from hookline.cli.access import Access

_F = TypeVar("_F", bound=Callable[..., Any])

_PAGE: Final = 100


class Moment(click.ParamType[str]):
    """A time, RFC 3339, or how long ago: `2h`."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The time as RFC 3339."""
        try:
            return rfc3339(datetime.now(UTC) - parse_duration(value))
        except (ValueError, OverflowError):
            pass
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 2h", param, ctx)
        return rfc3339(at if at.tzinfo is not None else at.astimezone())


def filters(function: _F) -> _F:
    """The options that choose among executions; the function gets them as `chosen`."""
    options = (
        click.option("--flow", "flow_id", metavar="ID", help="Only those of this flow."),
        click.option("--state", type=click.Choice([one.value for one in State]), help="Only those in this state."),
        click.option("--outcome", type=click.Choice([one.value for one in Outcome]), help="Only those that ended so."),
        click.option("--code", "error_code", metavar="CODE", help="Only those that failed so, such as http.503."),
        click.option("--cause", metavar="CAUSE", help="Only dead letters of this cause: see hookline dead-letters."),
        click.option("--since", type=Moment(), help="Accepted then or later: a time, or 2h for two hours ago."),
        click.option("--until", type=Moment(), help="Accepted before."),
    )
    for option in reversed(options):
        function = option(function)
    return function


NAMES: Final = ("flow_id", "state", "outcome", "error_code", "cause", "since", "until")
"""The parameters that `filters` gives a command."""


def chosen_from(given: dict[str, Any]) -> dict[str, str]:
    """Takes the filters out of a command's parameters."""
    return {name: value for name in NAMES if (value := given.pop(name)) is not None}


def check_choice(ids: Sequence[str], chosen: Mapping[str, str], *, everything: bool) -> None:
    """Raise UsageError unless executions are named, or a filter says which and --all that each of them is meant."""
    if ids and (chosen or everything):
        raise click.UsageError("name executions, or choose them with --flow, --state and so on: not both")
    if not ids and not everything:
        what = "all that the options choose" if chosen else "all there are"
        raise click.UsageError(f"name the executions, or say --all for {what}")


def do(
    settings: Settings,
    deed: str,
    ids: Sequence[str],
    chosen: Mapping[str, str],
    *,
    total: int | None = None,
    cursor: str | None = None,
    step: str | None = None,
    version: str = "current",
    edit: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Do it with the executions of `ids`, or with all that are chosen, page by page.

    Gives `done`, `rejected`, and `next`: where to go on, after it was stopped. Raises HooklineError where the server
    can't be asked, once it was said where to go on.
    """
    result: dict[str, Any] = {"done": [], "rejected": [], "next": cursor}
    more = {"step": step, "version": version, **(edit or {})} if deed == "replay" else {}
    try:
        if ids:
            asyncio.run(_named(settings, deed, ids, more, result))
        else:
            asyncio.run(_all(settings, deed, chosen, more, result, total))
    except (HooklineError, KeyboardInterrupt) as error:
        if not ids:
            _say_where(result)
        if isinstance(error, KeyboardInterrupt):
            raise click.Abort from None
        raise
    return result


def _say_where(result: Mapping[str, Any]) -> None:
    at = f"; go on with --cursor {result['next']}" if result["next"] else ""
    click.echo(f"hookline: stopped after {len(result['done'])} executions{at}", err=True)


async def _named(
    settings: Settings, deed: str, ids: Sequence[str], more: Mapping[str, Any], result: dict[str, Any]
) -> None:
    from hookline.cli.access import access

    async with access(settings) as held:
        for execution_id in ids:
            try:
                new_id = await _one(held, deed, execution_id, more)
            except HooklineError as error:
                if len(ids) == 1:
                    raise
                code = getattr(error, "error_code", error.code)
                result["rejected"].append({"id": execution_id, "code": code, "message": error.message})
            else:
                result["done"].append({"id": execution_id, "new_id": new_id})


async def _one(held: "Access", deed: str, execution_id: str, more: Mapping[str, Any]) -> str | None:
    if deed == "replay":
        edit = {name: value for name, value in more.items() if name not in ("step", "version")}
        made: str = (await held.replay(execution_id, more["step"], more["version"], edit))["execution_id"]
        return made
    await {"retry": held.retry, "cancel": held.cancel, "discard": held.discard}[deed](execution_id)
    return None


async def _all(
    settings: Settings,
    deed: str,
    chosen: Mapping[str, str],
    more: Mapping[str, Any],
    result: dict[str, Any],
    total: int | None,
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from hookline.cli.access import access

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    # What is accepted meanwhile was not meant.
    chosen = {"until": rfc3339(datetime.now(UTC)), **chosen}
    with progress:
        task = progress.add_task(deed, total=total)
        async with access(settings) as held:
            while True:
                request = {"do": deed, **chosen, **more, "cursor": result["next"], "limit": _PAGE}
                page = await held.many({name: value for name, value in request.items() if value is not None})
                result["done"] += page["done"]
                result["rejected"] += page["rejected"]
                result["next"] = page["next"]
                progress.advance(task, len(page["done"]) + len(page["rejected"]))
                if page["next"] is None:
                    return


def told(deed: str, result: Mapping[str, Any]) -> str:
    """What came of it, as text."""
    past = {"retry": "retried", "replay": "replayed", "cancel": "cancelled", "discard": "discarded"}[deed]
    lines = []
    if len(result["done"]) <= _PAGE:
        lines += [f"{one['id']} {past}" + (f" as {one['new_id']}" if one["new_id"] else "") for one in result["done"]]
    lines += [f"{one['id']} not {past}: {one['code']}: {one['message']}" for one in result["rejected"]]
    if len(result["done"]) + len(result["rejected"]) != 1:
        lines.append(f"{len(result['done'])} {past}, {len(result['rejected'])} not")
    return "\n".join(lines)


def edits(function: _F) -> _F:
    """The options that change a message; `edit_from` takes them."""
    options = (
        click.option(
            "--edit",
            "edits",
            multiple=True,
            metavar="PATH=VALUE",
            help="A change of the message, as $.body.currency=EUR; VALUE is JSON, or else text.",
        ),
        click.option(
            "--patch",
            type=click.Path(path_type=Path, allow_dash=True),
            help="A file with a JSON merge patch of the body: what it names is replaced, null removes.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def edit_from(given: dict[str, Any]) -> dict[str, Any]:
    """Takes the changes out of a command's parameters. Raises ConfigError."""
    edit: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for text in given.pop("edits"):
        path, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--edit is written as PATH=VALUE, and not as {text!r}")
        try:
            changes[path.strip()] = decode(value.encode(), exact=True)
        except ValueError:
            changes[path.strip()] = value
    if changes:
        edit["edits"] = changes
    patch = given.pop("patch")
    if patch is not None:
        edit["merge"] = body_of(patch, exact=True)
    return edit
