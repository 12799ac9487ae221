"""`hookline backtest FLOW`."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.command import Command, emit
from hookline.kernel.json import encode
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookline.simulation.recordings.backtest import Backtest

_PAGE = 100


@click.command(cls=Command, settings=("db", "flows"))
@click.argument("flow")
@click.option("--last", type=click.IntRange(1), default=500, show_default=True, help="The number of executions.")
@click.option("--since", metavar="TIME", help="Only messages accepted at this time or later: RFC 3339.")
def backtest(flow: str, last: int, since: str | None, as_json: bool, settings: Settings) -> None:
    """Try the FLOW of the flows directory on recorded messages, and show what it would do differently.

    Nothing is sent or written: each step with effects gets the result that was recorded for it.
    """
    result = _run(settings, flow, asyncio.run(_recordings(settings, flow, last, since)))
    emit(result, as_json=as_json, text=lambda: told(result))


def told(result: "Backtest") -> str:
    """A backtest as text."""
    lines = [f"{counted(result.executions, 'execution')} of {result.flow_id}: {result.same} as before"]
    if result.unknown:
        lines.append(f"{result.unknown} make a call that isn't recorded, so the rest is unknown")
    for kind in result.kinds:
        lines.append(f"{kind.kind}{f' of {kind.step}' if kind.step else ''}: {counted(kind.count, 'execution')}")
        for example in kind.examples:
            change = f"{_short(example.before)} → {_short(example.after)}"
            lines.append(f"        {example.execution_id}  {example.place}: {change}")
    for one in result.left_out:
        what = f"{one.step} is not compared" if one.step else "not tried"
        lines.append(f"{what}, because {one.why}: {counted(one.count, 'execution')}")
        lines += [f"        {execution_id}" for execution_id in one.examples]
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= 100 else f"{text[:100]}…"


async def _recordings(settings: Settings, flow_id: str, last: int, since: str | None) -> "list[Mapping[str, Any]]":
    from hookline.cli.client import connect

    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    async with connect(settings) as client:
        while len(found) < last:
            page = await client.get("flows", flow_id, "recordings", since=since, cursor=cursor, limit=_PAGE)
            found += page["items"]
            cursor = page["next"]
            if cursor is None:
                break
    return found[:last]


def _run(settings: Settings, flow_id: str, recordings: "list[Mapping[str, Any]]") -> "Backtest":
    from rich.console import Console
    from rich.progress import track

    from hookline.cli.author.named_flow import flow_of
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.simulation.recordings.backtest import backtest

    registry = load_plugins()
    flow = flow_of(settings, registry, flow_id)
    shown = track(recordings, "backtest", console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    return backtest(flow, shown, registry, settings.flows_dir)
