"""`hookline graph FLOW`."""

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Final

import click

from hookline.cli.author.named_flow import document_of
from hookline.cli.client.remote_choice import remote_of
from hookline.cli.command import Command, emit
from hookline.kernel.errors import ConfigError
from hookline.server_settings import Settings

_FORMATS: Final = ("tree", "mermaid", "svg")


@click.command(cls=Command, settings=("flows", "db"))
@click.argument("flow")
@click.option("--format", "format_", type=click.Choice(_FORMATS), default="tree", show_default=True, help="The format.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file instead of printing."
)
def graph(flow: str, format_: str, output: Path | None, as_json: bool, settings: Settings) -> None:
    """Draw a flow: its steps, branches, loops, and the flows that it calls.

    FLOW is a file, an id, or FLOW@VERSION. An id names the file in the flows directory; with --remote, it names the
    version that the server serves. `tree` is text for a terminal, `mermaid` text for Markdown, and `svg` an image.
    """
    from hookline.flows.graph.chart_contents import chart_of

    remote = remote_of(settings) is not None
    document = asyncio.run(document_of(settings, flow, served=remote))
    chart = chart_of(document.text)
    if format_ == "tree":
        from hookline.flows.graph.tree import chart_tree

        to_terminal = sys.stdout.isatty() and output is None and not as_json
        drawn = chart_tree(chart, shutil.get_terminal_size().columns if to_terminal else None)
    elif format_ == "mermaid":
        from hookline.flows.graph.mermaid import chart_mermaid

        drawn = chart_mermaid(chart)
    else:
        from hookline.flows.graph.svg import chart_svg

        drawn = chart_svg(chart)
    value = {"flow_id": chart.id, "version": document.version, "format": format_}
    if output is None:
        emit({**value, "drawing": drawn}, as_json=as_json, text=lambda: drawn)
        return
    try:
        output.write_text(f"{drawn}\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{output} can't be written: {error.strerror}") from error
    emit({**value, "file": str(output)}, as_json=as_json, text=lambda: f"{output}: flow {chart.id} as {format_}")
