"""What the server benchmarks measure, each a process of its own: `python served.py WHAT SERVER FOLDER PORT [DB]`."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from hookline.cli.host import interpreter_tuning
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions, Role
from hookline.secrets.encryption import generate_key, read_keys
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.server.serving import Server, loop_factory, serve

ACCEPTED = b'{"status":"queued"}'


async def noop(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """The least that an application can do: read the body and answer."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ACCEPTED)).encode())]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": ACCEPTED})


def quart_noop() -> Any:
    """The same as a Quart route."""
    from quart import Quart, Response, request

    app = Quart("noop")

    @app.post("/")
    async def accept() -> Response:
        await request.get_data()
        return Response(ACCEPTED, 202, content_type="application/json")

    return app


def key_of(folder: Path) -> str:
    """The secret key of a folder, whose database may be served several times."""
    file = folder / "secret.key"
    if not file.exists():
        file.write_text(generate_key())
    return file.read_text()


async def run(what: str, server: Server, folder: Path, port: int, db: str) -> None:
    """Serve until SIGTERM."""
    shutdown = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, shutdown.set)
    if what in ("noop", "sink", "quart"):
        await serve(
            quart_noop() if what == "quart" else noop, host="127.0.0.1", port=port, server=server, shutdown=shutdown
        )
        return
    # As `hookline serve` does.
    interpreter_tuning.begin()
    role: Role = "webhook" if what == "accept" else "all"
    options = EngineOptions(
        db=db,
        blobs=f"file://{folder}/blobs",
        flows=folder / "flows",
        secret_keys=read_keys(key_of(folder)),
        role=role,
        egress_allow=("127.0.0.0/8",),
        grace=1,
        max_backlog=10_000_000,
    )
    async with Engine(load_plugins(), options) as engine:
        app = create_app(engine, HookOptions(public_url="http://127.0.0.1"))
        interpreter_tuning.settle()
        asyncio.get_running_loop().call_later(interpreter_tuning.LATER, interpreter_tuning.settle)
        await serve(app, direct=app.direct, host="127.0.0.1", port=port, server=server, shutdown=shutdown)


if __name__ == "__main__":
    _, what, server, folder, port, *db = sys.argv
    assert server in ("hypercorn", "uvicorn")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            run(
                what,
                "hypercorn" if server == "hypercorn" else "uvicorn",
                Path(folder),
                int(port),
                *(db or [f"sqlite:///{folder}/bench.db"]),
            )
        )
