"""A server: the engine, the Webhook Service and the admin API, until it is stopped."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hookline.cli.engine_setup import engine_options, hook_options, local_url
from hookline.cli.host import gc_tuning
from hookline.cli.server_file import admin_token, announced
from hookline.config import Settings
from hookline.discovery.loader import load_plugins
from hookline.engine import Engine
from hookline.flows.compiler.compiled import public_url_problems
from hookline.plugin_host.threads import DefaultThreads
from hookline.service.admin import blueprints
from hookline.service.app import create_app
from hookline.service.server import serving

#: Seconds until running requests are interrupted; executions have the setting `grace`.
_REQUESTS_GRACE: Final = 10.0
#: Seconds of these that callers wait for a flow's reply; then they get 503.
_REPLIES_GRACE: Final = 3.0
#: Seconds for the tasks that plugins have left running, after everything else has ended.
_TASKS_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens."""

    engine: Engine
    url: str
    token: str
    token_file: Path | None
    """The file with the token; None if it came from the settings."""
    shutdown: asyncio.Event
    """Set it to stop the server."""


def run(settings: Settings, sock: socket.socket, ready: Callable[[RunningServer], Awaitable[None]]) -> bool:
    """Run `run_server` in its own event loop, and close the socket. Also return False after a second signal."""
    runner = asyncio.Runner(loop_factory=serving.loop_factory())
    with contextlib.closing(sock):
        try:
            runner.get_loop().set_default_executor(DefaultThreads())
            return runner.run(run_server(settings, sock, ready))
        except asyncio.CancelledError:
            # Only the second signal cancels; its sender needs no traceback.
            return False
        finally:
            _close(runner)


def _close(runner: asyncio.Runner) -> None:
    """Close the event loop, unless a plugin's task ignores its cancellation: closing would wait for it for ever."""
    left = asyncio.all_tasks(runner.get_loop())
    for task in left:
        task.cancel()
    if left:
        _, left = runner.run(asyncio.wait(left, timeout=_TASKS_GRACE))
    if not left:
        runner.close()


async def run_server(
    settings: Settings, sock: socket.socket, ready: Callable[[RunningServer], Awaitable[None]]
) -> bool:
    """Serve on a listening socket until a signal: the first one drains, a second one stops at once.

    `ready` is awaited while the server runs; its errors are raised after the server has stopped. Returns False if the
    server stopped because a part of the engine failed.
    """
    gc_tuning.pause()
    host, port = sock.getsockname()[:2]
    url = local_url(host, port)
    token, token_file = admin_token(settings)
    registry = load_plugins(timeout=settings.plugin_timeout.total_seconds())
    engine = Engine(registry, engine_options(settings, url))
    for plugin in registry.failed:
        engine.log.error("a plugin can't be used", plugin=str(plugin), error=plugin.error)
    # Quart's types are those of one framework; the servers take any application.
    app: Any = create_app(engine, hook_options(settings, url), blueprints=blueprints(engine, token))
    shutdown = asyncio.Event()
    async with engine:
        _stop_on_signals(engine, shutdown)
        _report_flows(engine, settings)
        gc_tuning.settle()
        with announced(settings, url, token_file):
            watchers = (
                asyncio.create_task(_stop_on_failure(engine, shutdown)),
                asyncio.create_task(_end_replies(engine, shutdown)),
            )
            beside = asyncio.create_task(_beside(ready, RunningServer(engine, url, token, token_file, shutdown)))
            try:
                await serving.serve(
                    app,
                    shutdown=shutdown,
                    sock=sock,
                    server=settings.server,
                    graceful_timeout=_REQUESTS_GRACE,
                    max_connections=settings.max_connections,
                    trusted_proxies=settings.trusted_proxies,
                )
            finally:
                for task in (*watchers, beside):
                    task.cancel()
                await asyncio.wait((*watchers, beside))
            if not beside.cancelled():
                beside.result()
    return not engine.failed.is_set()


async def _beside(ready: Callable[[RunningServer], Awaitable[None]], server: RunningServer) -> None:
    try:
        await ready(server)
    except Exception:
        server.shutdown.set()
        raise


def _stop_on_signals(engine: Engine, shutdown: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()

    def stop(name: str) -> None:
        if shutdown.is_set():
            engine.log.warning("stopping at once", signal=name)
            if main is not None:
                main.cancel()
            return
        engine.log.info("stopping", signal=name, grace=engine.options.grace)
        # First the server is not ready: open connections bring no new messages.
        engine.intake.open = False
        shutdown.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop, one.name)


async def _end_replies(engine: Engine, shutdown: asyncio.Event) -> None:
    await shutdown.wait()
    # Streams of events have no end of their own.
    engine.events.close()
    await asyncio.sleep(_REPLIES_GRACE)
    engine.replies.close()


async def _stop_on_failure(engine: Engine, shutdown: asyncio.Event) -> None:
    await engine.failed.wait()
    shutdown.set()


def _report_flows(engine: Engine, settings: Settings) -> None:
    folder = engine.catalog.directory
    if not folder.is_dir():
        engine.log.warning("the folder of the flows doesn't exist, so no flow is served", flows=str(folder))
    for entry in engine.catalog.entries.values():
        unknown = public_url_problems(entry.flow) if settings.public_url is None and entry.flow is not None else []
        for problem in (*entry.problems, *unknown):
            if problem.severity == "warning":
                engine.log.warning("a flow has a problem", flow=entry.id, problem=str(problem))
    engine.log.info("started", flows=len(engine.catalog.entries), pid=os.getpid())
