"""`hookline start FLOW`."""

from pathlib import Path

import click

from hookline.cli.client import call
from hookline.cli.command import Command, emit
from hookline.cli.inputs import headers_of, read_input
from hookline.server_settings import Settings


@click.command(cls=Command, settings=("db",))
@click.argument("flow")
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The body: a file with JSON or text; - is standard input. By default the body is null.",
)
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the message.")
@click.option(
    "--dedupe-key", metavar="KEY", help="Start nothing if a message with this key came within the last 7 days."
)
def start(
    flow: str, input_: Path | None, headers: tuple[str, ...], dedupe_key: str | None, as_json: bool, settings: Settings
) -> None:
    """Start FLOW on the running server, whatever its trigger is.

    Unlike with `hookline run`, the server runs the flow: the execution is kept, retried and shown like any other.
    """
    message = {"body": read_input(input_, exact=True), "headers": headers_of(headers), "dedupe_key": dedupe_key}
    no_server = (
        "this takes a running server: start one with `hookline serve`, or run the flow once by itself with "
        f"`hookline run {flow}`"
    )
    started = call(settings, "POST", "flows", flow, "start", body=message, server_only=no_server)
    emit(
        started,
        as_json=as_json,
        text=lambda: f"execution {started['execution_id']} of {started['flow_id']}: {started['status']}",
    )
