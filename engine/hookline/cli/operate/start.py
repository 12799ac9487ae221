"""`hookline start FLOW`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hookline.cli.command import Command, emit
from hookline.cli.message_input import body_of, headers_of
from hookline.config import Settings


@click.command(cls=Command, settings=("db",))
@click.argument("flow")
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The body: a file with JSON, or else text; - is standard input. Without it the body is null.",
)
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the message.")
@click.option(
    "--dedupe-key", metavar="KEY", help="Starts nothing where a message came with the same key in the last 7 days."
)
def start(
    flow: str, input_: Path | None, headers: tuple[str, ...], dedupe_key: str | None, as_json: bool, settings: Settings
) -> None:
    """Start FLOW on the running server, whatever its trigger is.

    Unlike `hookline run` it is the server that runs it: the execution is kept, retried and shown as any other.
    """
    message = {"body": body_of(input_, exact=True), "headers": headers_of(headers), "dedupe_key": dedupe_key}
    started = asyncio.run(_start(settings, flow, message))
    emit(
        started,
        as_json=as_json,
        text=lambda: f"execution {started['execution_id']} of {started['flow_id']}: {started['status']}",
    )


async def _start(settings: Settings, flow: str, message: Mapping[str, Any]) -> Mapping[str, Any]:
    from hookline.cli.access import access

    async with access(settings) as held:
        return await held.start(flow, message)
