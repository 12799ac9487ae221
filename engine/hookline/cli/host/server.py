"""A server from its settings: the engine, the Webhook Service and the admin API, until it is told to stop."""

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
from hookline.cli.host import gc_tuning as collector
from hookline.cli.server_file import admin_token, announced
from hookline.config import Settings
from hookline.discovery.loader import load_plugins
from hookline.engine import Engine
from hookline.flows.compiler.compiled import public_url_problems
from hookline.service.admin import blueprints
from hookline.service.app import create_app
from hookline.service.server import serving

#: Running requests end, or are cut off after so many seconds; executions have the setting `grace`.
_REQUESTS_GRACE: Final = 10.0
#: Of these, callers that wait for a flow's answer have so many: then they are told to come again.
_ANSWERS_GRACE: Final = 3.0
#: What plugins have left running has so many to end in, once everything else has ended.
_TASKS_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens."""

    engine: Engine
    url: str
    token: str
    token_file: Path | None
    """Where the token is; None where it came from the settings."""
    shutdown: asyncio.Event
    """Set it to stop the server."""


def run(settings: Settings, sock: socket.socket, ready: Callable[[RunningServer], Awaitable[None]]) -> bool:
    """`run_server` in an event loop of its own; closes the socket. Gives False too where a second signal cut in."""
    runner = asyncio.Runner(loop_factory=serving.loop_factory())
    with contextlib.closing(sock):
        try:
            return runner.run(run_server(settings, sock, ready))
        except asyncio.CancelledError:
            # Nobody but the second signal cancels, and who sent it needs no traceback.
            return False
        finally:
            _close(runner)


def _close(runner: asyncio.Runner) -> None:
    """Close the event loop, unless a plugin's task ignores its cancellation: the loop would wait for it for ever."""
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
    """Serve on a listening socket; `ready` is awaited beside it. A first signal drains, a second one stops at once.

    Raises what `ready` raises, once the server has stopped. Gives whether it ended as it was asked to, and
    not because a part of the engine died.
    """
    collector.pause()
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
        collector.settle()
        with announced(settings, url, token_file):
            watchers = (
                asyncio.create_task(_stop_on_failure(engine, shutdown)),
                asyncio.create_task(_send_callers_away(engine, shutdown)),
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
        # Readiness goes first: connections that are open get no new work in.
        engine.intake.open = False
        shutdown.set()

    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop, one.name)


async def _send_callers_away(engine: Engine, shutdown: asyncio.Event) -> None:
    await shutdown.wait()
    # Those who listen would do so for ever.
    engine.events.close()
    await asyncio.sleep(_ANSWERS_GRACE)
    engine.replies.close()


async def _stop_on_failure(engine: Engine, shutdown: asyncio.Event) -> None:
    await engine.failed.wait()
    shutdown.set()


def _report_flows(engine: Engine, settings: Settings) -> None:
    folder = engine.catalog.directory
    if not folder.is_dir():
        engine.log.warning("there is no such folder, so no flow is served until it is made", flows=str(folder))
    for entry in engine.catalog.entries.values():
        unknown = public_url_problems(entry.flow) if settings.public_url is None and entry.flow is not None else []
        for problem in (*entry.problems, *unknown):
            if problem.severity == "warning":
                engine.log.warning("a flow has a problem", flow=entry.id, problem=str(problem))
    engine.log.info("started", flows=len(engine.catalog.entries), pid=os.getpid())
