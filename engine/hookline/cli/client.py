"""The client of the admin API: over HTTP if a server runs, otherwise of the same API in this process.

In process, the API uses an engine that is connected to the database, and runs no flows and no sources.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from urllib.parse import quote, unquote, urlencode

import click

from hookline.config import DATABASE, Settings
from hookline.kernel.errors import ConfigError, HooklineError, Problem, StoreError
from hookline.kernel.json import decode, encode

if TYPE_CHECKING:
    import aiohttp
    from quart import Quart

    from hookline.engine import Engine
    from hookline.kernel.logs import Log

_API: Final = "/api/v1"
_JSON: Final = {"Content-Type": "application/json"}
_RECONNECT: Final = 1.0
"""Seconds until a broken stream of events is opened again."""
_ATTEMPTS: Final = 30
_SILENCE: Final = 60.0
"""Seconds of silence after which a stream is taken for dead; the server sends something every 15."""


class NoServer(HooklineError):
    """The command takes a running server."""

    code = "server.missing"


class NoDatabase(ConfigError):
    """There is no database where the settings say."""

    code = "database.missing"


Missing = Literal["rejected", "empty", "created"]
"""A SQLite database that doesn't exist is rejected with NoDatabase, read as an empty one, or created."""


class ApiError(HooklineError):
    """The admin API rejected the request."""

    def __init__(self, message: str, code: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.error_code = code
        self.problems = problems


class _Transport(Protocol):
    async def request(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        """Return the status and the body of the response. Raises StoreError if there is none."""
        ...

    def events(self, query: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]: ...


class Client:
    """Sends requests to the admin API.

    A path is given in parts, which are quoted; keyword arguments are the query, in which None is left out. Values are
    JSON, with exact numbers. Raises ApiError if the API rejects a request, and StoreError if no response comes.
    """

    def __init__(self, transport: _Transport) -> None:
        self._transport = transport

    async def get(self, *path: str, **query: object) -> Any:
        return await self.request("GET", *path, **query)

    async def post(self, *path: str, body: Any = None, **query: object) -> Any:
        return await self.request("POST", *path, body=body, **query)

    async def request(self, method: str, *path: str, body: Any = None, **query: object) -> Any:
        url = _API + "".join(f"/{quote(part, safe='')}" for part in path)
        data = None if body is None else encode(body)
        status, content = await self._transport.request(method, url, _given(query), data)
        if status >= 400:
            raise _error(status, content)
        return decode(content, exact=True) if content else None

    def events(self, **query: object) -> AsyncIterator[Mapping[str, Any]]:
        """The server's events from now on, each as `{"event", "data"}`, across breaks of the connection."""
        return self._transport.events(_given(query))


@contextlib.asynccontextmanager
async def connect(
    settings: Settings, *, missing: Missing = "rejected", server_only: str | None = None
) -> AsyncIterator[Client]:
    """Connect to the running server of the settings' database, or else open the database in this process.

    `missing`: what becomes of a SQLite database that doesn't exist. `server_only`: the message of NoServer if no server
    runs. Raises ConfigError and StoreError.
    """
    from hookline.cli.server_file import find

    running = find(settings)
    if running is not None:
        import aiohttp

        server, token = running
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            yield Client(_Http(session, server.url))
        return
    if server_only is not None:
        raise NoServer(server_only)
    file = settings.sqlite_file
    if missing == "rejected" and file is not None and not file.exists():
        raise NoDatabase(_nowhere(file))
    async with _in_process(settings, missing) as transport:
        yield Client(transport)


def call(
    settings: Settings,
    method: str,
    *path: str,
    body: Any = None,
    missing: Missing = "rejected",
    server_only: str | None = None,
    **query: object,
) -> Any:
    """Send one request: see `connect` and `Client`."""

    async def run() -> Any:
        async with connect(settings, missing=missing, server_only=server_only) as client:
            return await client.request(method, *path, body=body, **query)

    return asyncio.run(run())


def created_for(settings: Settings, flow_id: str) -> Missing:
    """Return that a database is created for a flow, if the flow is in the flows directory."""
    if settings.flows == DATABASE:
        return "rejected"
    return "created" if (settings.flows_dir / f"{flow_id}.json").is_file() else "rejected"


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _error(status: int, content: bytes) -> ApiError:
    try:
        document = decode(content)
        problems = tuple(
            Problem(one["detail"], one.get("pointer", ""), one.get("code", "invalid"), one.get("remedy", ""))
            for one in document.get("problems", ())
        )
        return ApiError(document["detail"], document["code"], problems)
    except (ValueError, KeyError, TypeError, AttributeError):
        return ApiError(f"the server answered {status}", f"http.{status}")


class _Http:
    """A running server."""

    def __init__(self, session: "aiohttp.ClientSession", url: str) -> None:
        """`session` sends the admin token."""
        self._session = session
        self._url = url

    async def request(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        import aiohttp
        from yarl import URL

        from hookline.outbound.connection_errors import reason_of

        url = URL(self._url + path, encoded=True)
        try:
            async with self._session.request(method, url, params=query, data=body, headers=_JSON) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise StoreError(f"the server at {self._url} doesn't answer: {reason_of(error)}") from error

    async def events(self, query: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]:
        import aiohttp

        from hookline.outbound.connection_errors import reason_of

        last: str | None = None
        failures = 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_SILENCE)
        url = f"{self._url}{_API}/events"
        while True:
            headers = {} if last is None else {"Last-Event-ID": last}
            try:
                async with self._session.get(url, params=query, headers=headers, timeout=timeout) as response:
                    if response.status != 200:
                        raise StoreError(f"the server answered {response.status} at {url}")
                    failures = 0
                    async for event in _events(response.content):
                        last = event["id"] or last
                        yield {"event": event["event"], "data": decode(event["data"].encode(), exact=True)}
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                failures += 1
                if last is None or failures > _ATTEMPTS:
                    raise StoreError(f"the server at {self._url} doesn't answer: {reason_of(error)}") from error
            await asyncio.sleep(_RECONNECT)


async def _events(content: "aiohttp.StreamReader") -> AsyncIterator[dict[str, str]]:
    """Server-sent events."""
    event = {"id": "", "event": "", "data": ""}
    async for raw in content:
        line = raw.decode().rstrip("\n")
        if not line:
            if event["event"]:
                yield event
            event = {"id": "", "event": "", "data": ""}
            continue
        name, _, value = line.partition(": ")
        if name in event:
            event[name] = value


class _InProcess:
    """The API's application in this process, called through ASGI."""

    def __init__(self, app: "Quart", token: str) -> None:
        # Quart's types are those of one framework; the protocol's are plain dictionaries.
        self._app: Any = app
        self._headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]

    async def request(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> tuple[int, bytes]:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": urlencode(query).encode(),
            "root_path": "",
            "headers": self._headers,
            "client": None,
            "server": None,
            "extensions": {},
        }
        requests = [{"type": "http.request", "body": body or b"", "more_body": False}]
        status, content, responded = 500, bytearray(), asyncio.Event()

        async def receive() -> Mapping[str, Any]:
            if requests:
                return requests.pop()
            # The client stays until it has the response; then an application may wait for it to leave.
            await responded.wait()
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                content.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    responded.set()

        await self._app(scope, receive, send)
        return status, bytes(content)

    def events(self, query: Mapping[str, str]) -> AsyncIterator[Mapping[str, Any]]:
        raise NoServer("nothing happens without a server: start one with `hookline serve`")


@contextlib.asynccontextmanager
async def _in_process(settings: Settings, missing: Missing) -> AsyncIterator[_InProcess]:
    import secrets

    from quart import Quart

    from hookline.cli.actor import local_user
    from hookline.service.admin import blueprints

    with contextlib.ExitStack() as stack:
        engine = _engine(settings, stack, missing)
        token = secrets.token_urlsafe()
        app = Quart("hookline", static_folder=None)
        # A defect ends the command with its traceback.
        app.config["PROPAGATE_EXCEPTIONS"] = True
        for blueprint in blueprints(engine, token, own=local_user()):
            app.register_blueprint(blueprint)
        try:
            await engine.connect()
        except OSError as error:
            raise ConfigError(f"the flows in {settings.flows} can't be read: {error.strerror}") from error
        try:
            yield _InProcess(app, token)
        finally:
            await engine.stop()


def _engine(settings: Settings, stack: contextlib.ExitStack, missing: Missing) -> "Engine":
    """An engine over the settings' database, or over an empty one in its place."""
    import tempfile
    from dataclasses import replace

    from hookline.cli.engine_setup import engine_options, local_url
    from hookline.discovery.loader import load_plugins
    from hookline.engine import Engine
    from hookline.secrets.vault import generate_key, read_keys

    url = local_url(settings.host, settings.port)
    file = settings.sqlite_file
    if file is None or missing == "created" or file.exists():
        options = engine_options(settings, url)
    else:
        click.echo(f"hookline: there is no database {file} yet", err=True)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="hookline-"))
        options = engine_options(settings, url, secret_keys=read_keys(generate_key()))
        options = replace(options, db=f"sqlite:///{folder}/empty.db", blobs=f"file://{folder}/blobs")
    return Engine(load_plugins(), replace(options, watch=False, triggers=False), log=_no_log())


def _nowhere(file: Path) -> str:
    """The message about a database that doesn't exist, with others that are near."""
    patterns = ("*/hookline.db", "*/.hookline/hookline.db")
    others = sorted({str(found) for pattern in patterns for found in Path().glob(pattern)})
    known = "".join(f"\n  --db sqlite:///{other}" for other in others[:5])
    return (
        f"there is no database {file} (in {Path.cwd()}), and nothing was created; run this in the directory of the "
        "server, or name its database with --db or HOOKLINE_DB, or its settings with `hookline --config FILE`"
        + (f"; there are these:{known}" if known else "")
    )


def _no_log() -> "Log":
    """A log that prints nothing: results and errors are printed by the commands."""
    import structlog

    return structlog.wrap_logger(structlog.ReturnLogger(), processors=[])  # type: ignore[no-any-return]  # untyped
