"""`hookline plugins`."""

import click

from hookline.cli.command import Command, emit, table


@click.command(cls=Command, needs_settings=False)
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """Which plugins are installed, and whether they work.

    Exit code 1 where one doesn't.
    """
    from hookline.discovery import discover
    from hookline.service.views.plugins import plugin_view

    views = [plugin_view(status) for status in discover().plugins]

    def text() -> str:
        rows = [
            (view.name, f"{view.distribution or view.module} {view.version or ''}".strip(), view.error or "works")
            for view in views
        ]
        return table(("plugin", "from", "state"), rows)

    emit(views, as_json=as_json, text=text)
    if any(view.error for view in views):
        ctx.exit(1)
