"""The admin API in this process, over an engine that is connected to the database and runs no flows and no sources."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlencode

import click

from hookline.kernel.errors import ConfigError, HooklineError
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from quart import Quart

    from hookline.engine import Engine
    from hookline.kernel.logs import Log


class NoServer(HooklineError):
    """The command takes a running server."""

    code = "server.missing"


Missing = Literal["rejected", "empty", "created"]
"""A SQLite database that doesn't exist is rejected with NoDatabase, read as an empty one, or created."""


class InProcess:
    """The API's application in this process, called through ASGI."""

    url: str | None = None

    def __init__(self, app: "Quart", token: str) -> None:
        # Quart's types are those of one framework; the protocol's are plain dictionaries.
        self._app: Any = app
        self._headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())]

    async def request(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
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
            "headers": [*self._headers, *given],
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
async def in_process(settings: Settings, missing: Missing) -> AsyncIterator[InProcess]:
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
            yield InProcess(app, token)
        finally:
            await engine.stop()


def _engine(settings: Settings, stack: contextlib.ExitStack, missing: Missing) -> "Engine":
    """An engine over the settings' database, or over an empty one in its place."""
    import tempfile
    from dataclasses import replace

    from hookline.cli.options_from_settings import engine_options, local_url
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.engine import Engine
    from hookline.secrets.encryption import generate_key, read_keys

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


def _no_log() -> "Log":
    """A log that prints nothing: results and errors are printed by the commands."""
    import structlog

    return structlog.wrap_logger(structlog.ReturnLogger(), processors=[])  # type: ignore[no-any-return]  # untyped
