"""`hookline attention`."""

import click

from hookline.cli.client import call
from hookline.cli.command import Command, emit
from hookline.cli.table import table
from hookline.server_settings import Settings


@click.command(cls=Command, settings=("db",))
def attention(as_json: bool, settings: Settings) -> None:
    """List everything that needs somebody's attention, the errors first."""
    found = call(settings, "GET", "attention")

    def text() -> str:
        rows = [(one["severity"], one["since"] or "", one["title"], one["detail"]) for one in found["items"]]
        if not rows:
            return "nothing needs attention"
        return table(("severity", "since", "subject", "detail"), rows, texts=("subject", "detail"))

    emit(found, as_json=as_json, text=text)
