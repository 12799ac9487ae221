"""`hookline schema`."""

from pathlib import Path

import click

from hookline.cli.command import Command


@click.command(cls=Command, needs_settings=False)
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The file to write to.")
@click.option("--cases", is_flag=True, help="Print the schema of case files instead.")
def schema(output: Path | None, cases: bool, as_json: bool) -> None:
    """Print the JSON Schema of flows with the installed plugins, for editors.

    A flow names its file in "$schema": "./flow.schema.json".
    """
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.flows.authoring.editor_schema import flow_schema
    from hookline.simulation.cases import cases_schema

    text = cases_schema() if cases else flow_schema(load_plugins())
    if output is None:
        click.echo(text)
    else:
        output.write_text(text, encoding="utf-8")
