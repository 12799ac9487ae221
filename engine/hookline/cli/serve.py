"""`hookline serve`."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.command import Command, emit
from hookline.config import Settings

if TYPE_CHECKING:
    from hookline.runtime.engine import Engine

#: Running requests end, or are cut off after so many seconds; executions have the setting `grace`.
_REQUESTS_GRACE = 10.0


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
        "grace",
        "log_level",
        "log_format",
    ),
)
@click.pass_context
def serve(ctx: click.Context, as_json: bool, settings: Settings) -> None:
    """Accept webhooks and run flows, until SIGTERM or SIGINT; a second one stops at once.

    Prints where it listens once it is ready. Other commands find it by `server.json` beside the database.
    """
    from hookline import logs
    from hookline.service.serving import listen, loop_factory

    logs.set_up(settings.log_level, settings.log_format)
    # Before anything else is done, so that a port that is taken costs nothing.
    sock = listen(settings.host, settings.port)
    with contextlib.closing(sock), asyncio.Runner(loop_factory=loop_factory()) as runner:
        well = runner.run(_serve(settings, sock, as_json))
    if not well:
        ctx.exit(1)


async def _serve(settings: Settings, sock: socket.socket, as_json: bool) -> bool:
    """Whether it ended as it was asked to, and not because a part of the engine died."""
    from hookline.cli.options import engine_options, hook_options, local_url
    from hookline.cli.server_file import admin_token, announced
    from hookline.discovery import discover
    from hookline.runtime.engine import Engine
    from hookline.service import serving
    from hookline.service.admin import blueprints
    from hookline.service.app import create_app

    host, port = sock.getsockname()[:2]
    url = local_url(host, port)
    token, token_file = admin_token(settings)
    registry = discover()
    engine = Engine(registry, engine_options(settings, url))
    for plugin in registry.failed:
        engine.log.error("a plugin can't be used", plugin=str(plugin), error=plugin.error)
    # Quart's types are those of one framework; the servers take any application.
    app: Any = create_app(engine, hook_options(settings, url), blueprints=blueprints(engine, token))
    shutdown = asyncio.Event()
    async with engine:
        _stop_on_signals(engine, shutdown)
        watcher = asyncio.create_task(_stop_on_failure(engine, shutdown))
        _report_flows(engine)
        try:
            with announced(settings, url, token_file):
                _report(url, token_file, as_json)
                await serving.serve(
                    app, shutdown=shutdown, sock=sock, server=settings.server, graceful_timeout=_REQUESTS_GRACE
                )
        finally:
            watcher.cancel()
            await asyncio.wait((watcher,))
    return not engine.failed.is_set()


def _stop_on_signals(engine: "Engine", shutdown: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    def stop(name: str) -> None:
        if shutdown.is_set():
            engine.log.warning("stopping at once", signal=name)
            if main is not None:
                main.cancel()
            return
        engine.log.info("stopping", signal=name, grace=engine.options.grace)
        # Readiness goes first: connections that are open get no new work in.
        engine.intake.open = False
        shutdown.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop, one.name)


async def _stop_on_failure(engine: "Engine", shutdown: asyncio.Event) -> None:
    await engine.failed.wait()
    shutdown.set()


def _report_flows(engine: "Engine") -> None:
    for entry in engine.catalog.entries.values():
        for problem in entry.problems:
            write = engine.log.error if problem.severity == "error" else engine.log.warning
            write("a flow has a problem", flow=entry.id, problem=str(problem))
    engine.log.info("started", flows=len(engine.catalog.entries), pid=os.getpid())


def _report(url: str, token_file: Path | None, as_json: bool) -> None:
    def text() -> str:
        token = "the setting admin_token" if token_file is None else str(token_file)
        return f"Hookline listens on {url}\nhooks: {url}/hook/<flow>   admin API: {url}/api/v1   its token: {token}"

    value = {"url": url, "pid": os.getpid(), "token_file": None if token_file is None else str(token_file.absolute())}
    emit(value, as_json=as_json, text=text)
