"""`hookline serve`."""

import os
from typing import TYPE_CHECKING

import click

from hookline.cli.command import RELOAD, Command, emit
from hookline.cli.host.sighup import ignore_hangups
from hookline.config import Settings
from hookline.secrets.masking import mask_log_fields

if TYPE_CHECKING:
    from hookline.cli.host.server import RunningServer


@click.command(
    cls=Command,
    settings=(
        "flows",
        "db",
        "queue",
        "host",
        "port",
        "workers",
        "role",
        "server",
        "public_url",
        "admin_bind",
        "grace",
        "drain_delay",
        "log_level",
        "log_format",
    ),
    remote=False,
)
@click.pass_context
def serve(ctx: click.Context, as_json: bool, settings: Settings) -> None:
    """Accept webhooks and run flows, until SIGTERM or SIGINT; a second signal stops at once. SIGHUP reloads.

    Prints the address when the server is ready. Other commands find the server by `server.json` beside the database.
    """
    ignore_hangups()
    from hookline.cli.host.server import run
    from hookline.kernel import logs
    from hookline.service.server.serving import listen

    async def ready(server: "RunningServer") -> None:
        _report(server, as_json)

    logs.set_up(settings.log_level, settings.log_format, mask_log_fields)
    logs.take_over_output()
    # First of all, so that a port in use is reported before anything is started.
    sock = listen(settings.host, settings.port)
    admin_sock = None if settings.admin_address is None else listen(*settings.admin_address)
    if not run(settings, sock, ready, ctx.meta[RELOAD], admin_sock):
        ctx.exit(1)


def _report(server: "RunningServer", as_json: bool) -> None:
    url, token_file = server.url, server.token_file

    def text() -> str:
        token = "the setting admin_token" if token_file is None else str(token_file)
        api = f"{server.admin_url}/api/v1"
        return f"Hookline listens on {url}\nhooks: {url}/hook/<flow>   admin API: {api}   its token: {token}"

    value = {
        "url": url,
        "admin_url": server.admin_url,
        "pid": os.getpid(),
        "token_file": None if token_file is None else str(token_file.absolute()),
    }
    emit(value, as_json=as_json, text=text)
