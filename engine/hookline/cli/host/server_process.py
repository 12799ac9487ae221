"""A server: the engine, the Webhook Service and the admin API, until it is stopped."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hookline.access.tokens import ServerToken
from hookline.cli.host import interpreter_tuning
from hookline.cli.host.open_files import reserve_files
from hookline.cli.host.process_signals import Reloading, Stopper, ignore_hangups
from hookline.cli.host.server_setting_views import server_setting_views
from hookline.cli.host.worker_process import Ready, Worker
from hookline.cli.options_from_settings import engine_options, hook_options, local_url, make_files_folder
from hookline.cli.running_server_file import admin_token, agree_on_token, announced, token_file
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.flows.compiler.server_requirements import public_url_problems
from hookline.kernel.backoff import STORE_RETRY, Backoff
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreAway
from hookline.kernel.logs import Log
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.plugin_host.plugin_threads import DefaultThreads
from hookline.server_settings import Settings
from hookline.service.admin import blueprints
from hookline.service.admin.hosts import Hosts
from hookline.service.admin.system.health import Readiness, probes_blueprint
from hookline.service.admin.system.metrics import offered_to_workers
from hookline.service.app import create_app, create_pages
from hookline.service.hooks.sender import Senders
from hookline.service.server import serving
from hookline.service.server.stopping import Stopping
from hookline.service.site import missing_pages, sites_blueprint
from hookline.telemetry.worker_metrics import WorkerMetrics

#: The part of the grace period in which callers may get the replies of their flows, and bodies may arrive; the rest is
#: for the executions that have begun meanwhile.
_CALLERS_PART: Final = 0.75
#: Seconds for sending 504 to the callers that got no reply.
_LAST_ANSWERS: Final = 1.0
#: Seconds without a failure after which connections are accepted again.
_ACCEPTING_AGAIN: Final = 3.0
#: The most open connections to the admin API if it has an address of its own. Senders can't use them up.
_ADMIN_CONNECTIONS: Final = 100
#: Seconds in which a worker that was sent a signal learns whether its parent was sent it too.
_SIGNAL_OF_PARENT: Final = 0.2
_START_AGAIN: Final = Backoff(timedelta(seconds=0.5), timedelta(seconds=5))
"""The waits between attempts to start while the database is away."""
#: Seconds for the tasks that plugins have left running, after everything else has ended.
_TASKS_GRACE: Final = 2.0


@dataclass(frozen=True, slots=True)
class ListeningServer:
    """A server that listens."""

    engine: Engine
    url: str
    """The URL of its hooks on this machine."""
    api_url: str
    """The URL of its admin API on this machine."""
    admin_url: str
    """The URL under which people reach its admin API."""
    token: ServerToken
    token_file: Path | None
    """The file with the token; None if it came from the settings, or if only another node has it."""
    shutdown: asyncio.Event
    """Set it to stop the server."""

    def ready(self) -> Ready:
        """The addresses and the token file, for those that announce the server."""
        file = None if self.token_file is None or self.token.text is None else str(self.token_file)
        missing = missing_pages(self.engine.registry.sites.values())
        return Ready(self.url, self.api_url, self.admin_url, file, missing)


def run(
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[ListeningServer], Awaitable[None]],
    reload: Callable[[], Settings] | None = None,
    admin_sock: socket.socket | None = None,
    worker: Worker | None = None,
) -> bool:
    """Run `run_server` in its own event loop, and close the sockets. Also return False after a second signal."""
    runner = asyncio.Runner(loop_factory=serving.loop_factory())
    with contextlib.closing(sock), contextlib.closing(admin_sock) if admin_sock else contextlib.nullcontext():
        try:
            runner.get_loop().set_default_executor(DefaultThreads())
            return runner.run(run_server(settings, sock, ready, reload, admin_sock, worker))
        except asyncio.CancelledError:
            # Only the second signal cancels; its sender needs no traceback.
            return False
        finally:
            _close(runner)
            # The event loop has taken its handler with it.
            ignore_hangups()


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
    settings: Settings,
    sock: socket.socket,
    ready: Callable[[ListeningServer], Awaitable[None]],
    reload: Callable[[], Settings] | None = None,
    admin_sock: socket.socket | None = None,
    worker: Worker | None = None,
) -> bool:
    """Serve on a listening socket until a signal: the first one drains, a second one stops at once.

    `admin_sock`: the socket of the admin API, if it has an address of its own. `worker`: this process's part, if it is
    one of several.

    `ready` is awaited while the server runs; its errors are raised after the server has stopped. `reload` loads the
    settings again, on SIGHUP. Returns False if the server stopped because a part of the engine failed.
    """
    interpreter_tuning.begin()
    url = _url(sock)
    api_url = url if admin_sock is None else _url(admin_sock)
    token = ServerToken(admin_token(settings), lambda: engine.admin_token)
    registry = load_plugins(timeout=settings.plugin_timeout.total_seconds(), connectors=settings.role != "webhook")
    engine = Engine(registry, engine_options(settings, url, worker=None if worker is None else worker.number))
    make_files_folder(settings)
    for plugin in registry.failed:
        engine.log.error("a plugin can't be used", plugin=str(plugin), error=plugin.error)
    shutdown = asyncio.Event()
    shown = _admin_url(settings, api_url)
    file = None if settings.admin_token is not None else token_file(settings)
    server = ListeningServer(engine, url, api_url, shown, token, file, shutdown)
    with contextlib.suppress(StoreAway):
        await engine.start()
    left: float | None = None
    settling = asyncio.get_running_loop().call_later(interpreter_tuning.LATER, interpreter_tuning.settle)
    try:
        if engine.waits_for is None:
            with contextlib.suppress(StoreAway):
                await agree_on_token(settings, engine, token)
        reloading = Reloading(engine, settings, reload)
        _handle_signals(engine, shutdown, reloading, worker)
        report_accepting(engine.log, engine.clock)
        if engine.waits_for is None:
            _note_start(engine, settings)
        sockets = (sock, admin_sock)
        if worker is None:
            with announced(settings, api_url, file, url):
                left = await _serve(server, settings, sockets, ready, reloading)
        else:
            # The parent announces the server.
            left = await _serve_as_worker(server, settings, sockets, ready, reloading, worker)
    except asyncio.CancelledError:
        # A second signal has no time for a grace period.
        left = 0
        raise
    finally:
        settling.cancel()
        await engine.stop(left)
    return not engine.failed.is_set()


def _admin_url(settings: Settings, api_url: str) -> str:
    """The URL under which people reach the console."""
    if settings.admin_url is not None:
        return settings.admin_url
    public_url = settings.public_url
    # Under a path, a proxy passes on the hooks, and the console isn't there.
    return api_url if settings.admin_bind or not public_url or urlsplit(public_url).path else public_url


def _url(sock: socket.socket) -> str:
    return local_url(*sock.getsockname()[:2])


def _listeners(
    server: ListeningServer,
    settings: Settings,
    sock: socket.socket,
    admin_sock: socket.socket | None,
    worker: Worker | None,
    metrics: WorkerMetrics | None,
) -> tuple[serving.Listener, ...]:
    """The applications by socket: one for everything, or one for hooks and probes and one for the rest."""
    shares = (None, None) if worker is None else worker.shares
    engine, options = server.engine, hook_options(settings, server.url)
    readiness = Readiness.of(engine)
    apart = 0 if admin_sock is None else _ADMIN_CONNECTIONS
    connections = reserve_files(settings.max_connections, engine.log, apart)
    public_url = "" if settings.admin_bind else settings.public_url or ""
    hosts = Hosts((f"//{settings.host}", f"//{settings.admin_bind or ''}", public_url), server.admin_url)
    pages = (
        *blueprints(
            engine,
            server.token,
            hooks=options,
            hosts=hosts,
            metrics_public=settings.metrics_public,
            readiness=readiness,
            senders=Senders(options.trusted_proxies, options.forwarded_header),
            workers=metrics,
            settings=server_setting_views(settings),
        ),
        sites_blueprint(engine.registry.sites.values(), hosts),
    )
    # Quart's types are those of one framework; the servers take any application.
    app: Any
    if admin_sock is None:
        app = create_app(engine, options, blueprints=pages)
        return (serving.Listener(app, sock, connections, app.direct, shares[0]),)
    app = create_app(engine, options, blueprints=(probes_blueprint(engine, readiness),), explains=False)
    admin: Any = create_pages(pages)
    return (
        serving.Listener(app, sock, connections, app.direct, shares[0]),
        serving.Listener(admin, admin_sock, _ADMIN_CONNECTIONS, share=shares[1]),
    )


async def _serve_as_worker(
    server: ListeningServer,
    settings: Settings,
    sockets: tuple[socket.socket, socket.socket | None],
    ready: Callable[[ListeningServer], Awaitable[None]],
    reloading: Reloading,
    worker: Worker,
) -> float:
    metrics = WorkerMetrics(worker.folder, worker.number, worker.workers)
    try:
        async with offered_to_workers(server.engine, metrics):
            return await _serve(server, settings, sockets, ready, reloading, worker, metrics)
    finally:
        worker.leave()


async def _serve(
    server: ListeningServer,
    settings: Settings,
    sockets: tuple[socket.socket, socket.socket | None],
    ready: Callable[[ListeningServer], Awaitable[None]],
    reloading: Reloading,
    worker: Worker | None = None,
    metrics: WorkerMetrics | None = None,
) -> float:
    """Serve until the server has stopped; return the seconds that are left of the grace period."""
    engine = server.engine
    first, *further = _listeners(server, settings, *sockets, worker, metrics)
    delay = settings.drain_delay if worker is None else max(settings.drain_delay, _SIGNAL_OF_PARENT)
    stopping = Stopping(server.shutdown, delay, worker)
    callers_grace = settings.grace * _CALLERS_PART
    watchers = (
        asyncio.create_task(_stop_on_failure(engine, server.shutdown)),
        asyncio.create_task(reloading.run()),
        asyncio.create_task(_drain(engine, server.shutdown)),
        asyncio.create_task(_end_replies(engine, stopping, callers_grace)),
    )
    beside = asyncio.create_task(_beside(ready, server, settings))
    try:
        await serving.serve(
            first.app,
            direct=first.direct,
            shutdown=server.shutdown,
            sock=first.sock,
            server=settings.server,
            stopping=stopping,
            graceful_timeout=callers_grace + _LAST_ANSWERS,
            max_connections=first.max_connections,
            trusted_proxies=settings.trusted_proxies,
            further=further,
            share=first.share,
        )
    finally:
        for task in (*watchers, beside):
            task.cancel()
        await asyncio.wait((*watchers, beside))
    if not beside.cancelled():
        beside.result()
    return max(0.0, settings.grace - stopping.seconds_since_closing())


async def _beside(
    ready: Callable[[ListeningServer], Awaitable[None]], server: ListeningServer, settings: Settings
) -> None:
    try:
        if server.engine.waits_for is not None:
            await _start_later(server.engine)
            _note_start(server.engine, settings)
        while not server.token.agreed:
            try:
                await agree_on_token(settings, server.engine, server.token)
            except StoreAway:
                await asyncio.sleep(STORE_RETRY)
        await ready(server)
    except Exception:
        server.shutdown.set()
        raise


async def _start_later(engine: Engine) -> None:
    """Start an engine whose database or intake queue is away, as soon as it is back. Raises the errors that don't go by
    themselves."""
    engine.log.error("the server waits for its database or intake queue; trying again", error=engine.waits_for)
    failures = 0
    while engine.waits_for is not None:
        failures += 1
        await asyncio.sleep(_START_AGAIN.wait(failures).total_seconds())
        with contextlib.suppress(StoreAway):
            await engine.start()
    engine.log.warning("what the server waited for can be used")


def _note_start(engine: Engine, settings: Settings) -> None:
    _report_flows(engine, settings)
    interpreter_tuning.settle()


def _handle_signals(engine: Engine, shutdown: asyncio.Event, reloading: Reloading, worker: Worker | None) -> None:
    loop = asyncio.get_running_loop()
    stopper = Stopper(engine, shutdown)
    engine.membership.on_drain = stopper.drain
    if worker is not None:
        worker.follow(stopper, reloading.ask)
        return
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stopper.stop, one.name)
    loop.add_signal_handler(signal.SIGHUP, reloading.ask)


def report_accepting(log: Log, clock: Clock) -> None:
    """Log when connections can't be accepted, and when they can be again: the event loop would report each try."""
    problem = OngoingProblem(
        log, clock, "connections can't be accepted; trying again", "connections are accepted again"
    )

    def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and "accept" in context.get("message", ""):
            problem.noticed(error=str(error))
            # The event loop tries again every second, and reports it if that fails.
            loop.call_later(_ACCEPTING_AGAIN, problem.absent)
        else:
            loop.default_exception_handler(context)

    asyncio.get_running_loop().set_exception_handler(report)


async def _drain(engine: Engine, shutdown: asyncio.Event) -> None:
    """Be ready for no new connections once the server begins to stop."""
    await shutdown.wait()
    engine.draining = True


async def _end_replies(engine: Engine, stopping: Stopping, grace: float) -> None:
    """Answer the callers that still wait for a reply when most of the grace period is over."""
    await stopping.closing.wait()
    # Streams of events have no end of their own.
    engine.events.close()
    await asyncio.sleep(grace)
    engine.replies.close()


async def _stop_on_failure(engine: Engine, shutdown: asyncio.Event) -> None:
    await engine.failed.wait()
    shutdown.set()


def _report_flows(engine: Engine, settings: Settings) -> None:
    if engine.flow_storage.problem is not None:
        engine.log.warning(engine.flow_storage.problem)
    for entry in engine.catalog.entries.values():
        unknown = public_url_problems(entry.flow) if settings.public_url is None and entry.flow is not None else []
        for problem in (*entry.problems, *unknown):
            if problem.severity == "warning":
                engine.log.warning("a flow has a problem", flow=entry.id, problem=str(problem))
    engine.log.info("started", flows=len(engine.catalog.entries), pid=os.getpid())
