"""`hookline executions list|show|resume|move|release`; those that repair and explain are in `repairs`."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.command import CommandGroup, emit, table
from hookline.cli.message_input import body_of
from hookline.cli.operate import bulk as many
from hookline.cli.operate import repairs
from hookline.config import Settings
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.json import encode
from hookline.model.execution import State

_SETTINGS: Final = ("db",)


@click.group(cls=CommandGroup)
def executions() -> None:
    """What has run, and how it went."""


for _command in (repairs.retry, repairs.replay, repairs.cancel, repairs.discard, repairs.tail, repairs.explain):
    executions.add_command(_command)


@executions.command("list", settings=_SETTINGS)
@many.filters
@click.option("--replay-of", metavar="ID", help="Only those that do this execution again.")
@click.option("--cursor", help="Where the page starts: the `next` of the page before.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many are shown.")
def list_executions(cursor: str | None, limit: int, as_json: bool, settings: Settings, **given: Any) -> None:
    """Executions, newest first."""
    chosen = many.chosen_from(given)
    page = asyncio.run(_list(settings, chosen, given["replay_of"], cursor, limit))

    def text() -> str:
        rows = [
            (one["id"], one["flow_id"], one["state"], one["outcome"] or "-", one["created_at"], _cause(one))
            for one in page["items"]
        ]
        shown = table(("id", "flow", "state", "outcome", "accepted", "cause"), rows)
        return shown if page["next"] is None else f"{shown}\nmore: --cursor {page['next']}"

    emit(page, as_json=as_json, text=text)


@executions.command("show", settings=_SETTINGS)
@click.argument("execution_id", metavar="ID")
def show_execution(execution_id: str, as_json: bool, settings: Settings) -> None:
    """An execution with its steps: their input, output, error and timing."""
    found = asyncio.run(_show(settings, execution_id))
    emit(found, as_json=as_json, text=lambda: describe(found))


@executions.command("resume", settings=_SETTINGS)
@click.argument("execution_id", metavar="ID")
@click.argument("step")
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="What the call brings: a file with JSON, or else text; - is standard input. Without it the body is null.",
)
def resume_execution(execution_id: str, step: str, input_: Path | None, as_json: bool, settings: Settings) -> None:
    """Call STEP, which waits, in place of whoever doesn't call it.

    STEP is its path, as `hookline executions show ID` gives it, or its id where only one of that id waits.
    """
    asyncio.run(_resume(settings, execution_id, step, encode(body_of(input_, exact=True))))
    emit({"id": execution_id, "step": step}, as_json=as_json, text=lambda: f"execution {execution_id} goes on")


@executions.command("move", settings=_SETTINGS)
@click.argument("execution_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--to", "to", metavar="VERSION", required=True, help="The first digits of a version, or `current`.")
@click.pass_context
def move_executions(
    ctx: click.Context, execution_ids: tuple[str, ...], to: str, as_json: bool, settings: Settings
) -> None:
    """Let waiting executions go on in another version of their flow, where what they have done fits it.

    What doesn't fit stays where it is, with the step and the reason. Exit code 1 where one wasn't moved.
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


@executions.command("release", settings=_SETTINGS)
@click.argument("execution_id", metavar="ID")
def release_execution(execution_id: str, as_json: bool, settings: Settings) -> None:
    """Let the next execution with its order key run, although this one has failed."""
    asyncio.run(_release(settings, execution_id))
    emit({"id": execution_id}, as_json=as_json, text=lambda: f"execution {execution_id} holds its order key no longer")


def describe(execution: Mapping[str, Any]) -> str:
    """An execution, as text: a line on the whole, and each step with what it took and gave."""
    lines = [
        f"execution {execution['id']} of {execution['flow_id']} (version {execution['flow_version'] or 'not bound'})",
        f"{execution['state']}{_in_brackets(execution['outcome'])}, accepted {execution['created_at']}"
        f"{_finished(execution)}",
    ]
    if parent := execution["trigger"].get("parent"):
        lines.append(f"started by execution {parent['execution_id']} of {parent['flow_id']}, at {parent['path']}")
    if cause := _cause(execution):
        lines.append(cause)
    if execution["replay_of"]:
        lines.append(f"does {execution['replay_of']} again")
    if execution["discarded_at"]:
        lines.append(f"discarded {execution['discarded_at']}")
    elif execution["cause"]:
        lines.append(f"a dead letter of the cause {execution['cause']}")
    if execution["files_removed_at"]:
        lines.append(f"its files were removed {execution['files_removed_at']} (the setting file_retention)")
    for wait in execution["waits"]:
        lines.append(f"waits at {wait['path']} since {wait['since']}{_until(wait)} for a call{_url(wait)}")
    for block in execution["items"]:
        failed = f", {block['failed']:,} of them failed" if block["failed"] else ""
        lines += ["", f"{block['path']}  foreach: {block['done']:,} of {block['total']:,} items done{failed}"]
    for step in execution["steps"]:
        attempt = "" if step["attempt"] == 1 else f", attempt {step['attempt']}"
        lines += ["", f"{step['path']}  {step['use']}: {step['state']}{_in_brackets(_signal(step))}{attempt}"]
        lines.append(f"  time   {step['started_at']} to {step['finished_at']}")
        lines += [
            f"  before {one['finished_at']}: attempt {one['attempt']} {one['state']}{_failure(one)}"
            for one in step["earlier"]
        ]
        lines += [f"  {name:<6} {_json(step[name])}" for name in ("input", "output") if step[name] is not None]
        if step["error"] is not None:
            lines.append(f"  error  {step['error']['code']}: {step['error']['message']}")
        if step["due_at"] is not None:
            lines.append(f"  again  {step['due_at']}")
    if execution["more_steps"]:
        lines += ["", "there are more steps; the admin API's executions/<id>/steps has all"]
    return "\n".join(lines)


def _failure(attempt: Mapping[str, Any]) -> str:
    error = attempt["error"]
    return f", {error['code']}: {error['message']}" if error else ""


def _until(wait: Mapping[str, Any]) -> str:
    return f", until {wait['until']}," if wait["until"] else ""


def _url(wait: Mapping[str, Any]) -> str:
    return f" to {wait['url']}" if wait["url"] else ""


def _json(value: Any) -> str:
    if isinstance(value, dict) and {"headers", "attachments", "extra"} <= value.keys():
        # A result: what is empty in it says nothing.
        value = {key: item for key, item in value.items() if item or key == "body"}
    text = encode(value).decode()
    return text if len(text) <= 500 else f"{text[:500]}… ({len(text)} characters; --json shows all)"


def _cause(execution: Mapping[str, Any]) -> str:
    error = execution["error"]
    if error is not None:
        return f"{error['code']}: {error['message']}" + (f" (at {error['step']})" if error["step"] else "")
    reason = execution["reason"]
    return f"waits: {reason}" if reason and execution["state"] == State.WAITING else ""


def _finished(execution: Mapping[str, Any]) -> str:
    return f", finished {execution['finished_at']}" if execution["finished_at"] else ""


def _signal(step: Mapping[str, Any]) -> str | None:
    # That a message passes on is what steps do.
    return None if step["signal"] == "pass" else step["signal"]


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""


async def _list(
    settings: Settings, chosen: Mapping[str, str], replay_of: str | None, cursor: str | None, limit: int
) -> Mapping[str, Any]:
    from hookline.cli.access import access

    more = {name: value for name, value in chosen.items() if name not in ("flow_id", "state")}
    state = chosen.get("state")
    async with access(settings) as held:
        return await held.executions(
            chosen.get("flow_id"), State(state) if state else None, cursor, limit, replay_of=replay_of, **more
        )


async def _show(settings: Settings, execution_id: str) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.execution(execution_id)


async def _resume(settings: Settings, execution_id: str, step: str, body: bytes) -> None:
    from hookline.cli.access import access

    async with access(settings) as held:
        await held.resume(execution_id, step, body)


async def _move(settings: Settings, execution_ids: Sequence[str], to: str) -> list[dict[str, Any]]:
    from hookline.cli.access import access

    done: list[dict[str, Any]] = []
    async with access(settings) as held:
        for execution_id in execution_ids:
            try:
                moved = await held.move(execution_id, to)
            except ConfigError:
                raise
            except HooklineError as error:
                code = getattr(error, "error_code", error.code)
                done.append({"id": execution_id, "moved": False, "code": code, "problem": error.message})
            else:
                done.append({"id": execution_id, "moved": True, "version": moved["flow_version"]})
    return done


async def _release(settings: Settings, execution_id: str) -> None:
    from hookline.cli.access import access

    async with access(settings) as held:
        await held.release(execution_id)
