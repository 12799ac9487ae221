"""`hookline serve`."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.command import OPTIONS, RELOAD, Command, emit
from hookline.cli.host.process_signals import ignore_hangups
from hookline.secrets.masking import mask_log_fields
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.cli.host.server_process import ListeningServer
    from hookline.cli.host.worker_process import Ready


@click.command(
    cls=Command,
    settings=(
        "flows",
        "db",
        "queue",
        "host",
        "port",
        "workers",
        "node_name",
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
@click.option("--worker", "control", type=int, hidden=True, help="The control socket of a worker.")
@click.pass_context
def serve(ctx: click.Context, as_json: bool, settings: Settings, control: int | None) -> None:
    """Accept webhooks and run flows, until SIGTERM or SIGINT; a second signal stops at once. SIGHUP reloads.

    Prints the address when the server is ready. Other commands find the server by `server.json` beside the database.
    """
    ignore_hangups()
    if control is not None:
        done = _serve_as_worker(ctx, settings, control)
    elif settings.workers > 1:
        ctx.exit(_serve_with_workers(ctx, settings, as_json))
    else:
        done = _serve_alone(ctx, settings, as_json)
    if not done:
        ctx.exit(1)


def _serve_alone(ctx: click.Context, settings: Settings, as_json: bool) -> bool:
    from hookline.cli.host.server_process import run
    from hookline.service.server.listening import listen

    async def ready(server: "ListeningServer") -> None:
        _report(server.ready(), as_json, ())

    _set_up_logs(settings, settings.node())
    # First of all, so that a port in use is reported before anything is started.
    sock = listen(settings.host, settings.port)
    admin_sock = None if settings.admin_address is None else listen(*settings.admin_address)
    return run(settings, sock, ready, ctx.meta[RELOAD], admin_sock)


def _serve_as_worker(ctx: click.Context, settings: Settings, control: int) -> bool:
    from hookline.cli.host.server_process import run
    from hookline.cli.host.worker_process import Worker

    worker = Worker(control)

    async def ready(server: "ListeningServer") -> None:
        await worker.report(server.ready())

    _set_up_logs(settings, settings.node(worker.number))
    return run(settings, worker.sock, ready, ctx.meta[RELOAD], worker.admin_sock, worker)


def _serve_with_workers(ctx: click.Context, settings: Settings, as_json: bool) -> int:
    from hookline.cli.host import workers
    from hookline.cli.running_server_file import announced
    from hookline.service.server.listening import listen

    @contextlib.contextmanager
    def serving(ready: "Ready", pids: Sequence[int]) -> Iterator[None]:
        token_file = None if ready.token_file is None else Path(ready.token_file)
        with announced(settings, ready.api_url, token_file, ready.url):
            _report(ready, as_json, pids)
            yield

    _set_up_logs(settings, settings.node())
    addresses = [(settings.host, settings.port)]
    if settings.admin_address is not None:
        addresses.append(settings.admin_address)
    config = ctx.find_root().params.get("config")
    return workers.run(
        settings,
        [listen(*address) for address in addresses],
        lambda control: _command(control, config, ctx.meta[OPTIONS], as_json),
        serving,
    )


def _command(control: int, config: str | None, options: Mapping[str, Any], as_json: bool) -> list[str]:
    """The command line of a worker with the options of its parent."""
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    before = [] if config is None else [f"--config={config}"]
    after = ["--json"] if as_json else []
    return [sys.executable, "-m", "hookline.cli.main", *before, "serve", f"--worker={control}", *given, *after]


def _set_up_logs(settings: Settings, node: str) -> None:
    from hookline.kernel import logs

    logs.set_up(settings.log_level, settings.log_format, mask_log_fields, node=node)
    logs.take_over_output()


def _report(ready: "Ready", as_json: bool, workers: Sequence[int]) -> None:
    """Print where the server listens. `workers`: the pids of the processes that serve, if there are several."""

    def text() -> str:
        token = ready.token_file or "the setting admin_token, or that of the first node"
        api = f"{ready.admin_url}/api/v1"
        console = ready.no_console or f"console: {ready.admin_url}"
        return (
            f"Hookline listens on {ready.url}\n"
            f"hooks: {ready.url}/hook/<flow>   admin API: {api}   its token: {token}\n{console}"
        )

    value = {
        "url": ready.url,
        "admin_url": ready.admin_url,
        "console": ready.no_console is None,
        "pid": os.getpid(),
        "token_file": None if ready.token_file is None else str(Path(ready.token_file).absolute()),
        "workers": list(workers),
    }
    emit(value, as_json=as_json, text=text)
