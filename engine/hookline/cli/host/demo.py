"""`hookline demo`: a webhook from its sender to a database, without any setup."""

import asyncio
import contextlib
import json
import shlex
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hookline.cli.actor import local_user
from hookline.cli.command import Command
from hookline.cli.host.process_signals import ignore_hangups
from hookline.cli.table import shortened
from hookline.kernel.errors import ConfigError, HooklineError
from hookline.kernel.suggestions_and_counts import counted
from hookline.secrets.masking import mask_log_fields
from hookline.server_settings import load

if TYPE_CHECKING:
    from hookline.cli.host.server_process import ListeningServer

FLOW: Final = "paypal-to-accounting"
EVENT: Final = "samples/paypal-payment.json"
_CREDENTIAL: Final = "paypal"
_WEBHOOK_ID: Final = "1JE4291016473214C"
_ANEW: Final = "To start over, delete the folder of the demo, or choose another one with --dir."


class DemoFailed(HooklineError):
    """The demo failed."""

    code = "demo.failed"


@click.command(cls=Command, needs_settings=False)
@click.option("--once", is_flag=True, help="Stop the server at the end. Exit code 0 if everything went as expected.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port to listen on; by default 8080, or a free one.",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("hookline-demo"),
    show_default=True,
    help="The folder of the demo's flow and databases.",
)
@click.pass_context
def demo(ctx: click.Context, once: bool, port: int | None, folder: Path, as_json: bool) -> None:
    """Send a signed PayPal event to a server, and see the payment booked in an accounting database.

    Starts a server with the flow `paypal-to-accounting`, and sends the event twice: the second one is a duplicate. The
    server keeps running, and the demo ends with a link to the execution in the console. The event is signed as PayPal
    signs it, with a certificate that the demo creates and stores in the credential.
    """
    ignore_hangups()
    from hookline.cli.host.server_process import run
    from hookline.kernel import logs

    logs.set_up("warning", "console", mask_log_fields)
    logs.take_over_output()
    _prepare(folder)
    sock = _socket(port)
    address = f"http://127.0.0.1:{sock.getsockname()[1]}"
    settings = load(
        {
            "db": f"sqlite:///{folder / 'hookline.db'}",
            "flows": str(folder / "flows"),
            "files": str(folder / "files"),
            "public_url": address,
            "admin_bind": "",
            "admin_url": "",
            # No load balancer is in front of it.
            "drain_delay": 0,
        }
    )
    ledger = settings.files_dir.absolute() / "accounting.db"
    _make_ledger(ledger)
    report: dict[str, Any] = {}

    async def ready(server: "ListeningServer") -> None:
        show = (lambda _text: None) if as_json else click.echo
        scenario = _Demo(server, settings.db, ledger, show)
        report.update(await scenario.run(stays=not once))
        report["console"] = None if once else await scenario.open_console(report["execution"]["id"])
        if as_json:
            from hookline.kernel.json import encode

            click.echo(encode(report))
        if once:
            server.shutdown.set()
        else:
            show("\nThe server is still running; stop it with Ctrl+C.")

    if not run(settings, sock, ready) or not report:
        ctx.exit(1)


def _prepare(folder: Path) -> None:
    """Write the flow's file.

    Files that are there stay: somebody may have changed them. Raises ConfigError.
    """
    from hookline.cli.host.demo import example

    try:
        for name in ("flows", "files"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in (f"{FLOW}.json", f"{FLOW}.test.json"):
            if not (folder / "flows" / name).exists():
                (folder / "flows" / name).write_bytes(example(name).read_bytes())
    except OSError as error:
        raise ConfigError(f"{folder} can't be written: {error.strerror}; choose another folder with --dir") from None


def _make_ledger(file: Path) -> None:
    """Make the database of an accounting system that knows nothing of Hookline."""
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "create table if not exists invoices (id integer primary key, reference text not null, "
            "amount numeric not null, note text)"
        )


def _socket(port: int | None) -> socket.socket:
    from hookline.kernel.errors import ConfigError
    from hookline.service.server.listening import listen

    try:
        return listen("127.0.0.1", 8080 if port is None else port)
    except ConfigError:
        if port is not None:
            raise
        # Port 8080 is in use, and any other will do.
        return listen("127.0.0.1", 0)


def _certificate() -> tuple[str, str]:
    """A private key and its self-signed certificate, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hookline demo")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def _program() -> str:
    """The program as it was called, if the shell wouldn't find this one by its name alone."""
    called = sys.argv[0]
    found = shutil.which("hookline")
    if Path(called).name != "hookline" or (found is not None and Path(found).resolve() == Path(called).resolve()):
        return "hookline"
    return shlex.quote(called)


class _Demo:
    """The scenario, over real HTTP. Raises DemoFailed if something isn't as expected."""

    def __init__(self, server: "ListeningServer", db: str, ledger: Path, show: Callable[[str], object]) -> None:
        self._server = server
        self._ledger = ledger
        self._db = shlex.quote(db)
        self._show = show

    async def run(self, *, stays: bool) -> dict[str, Any]:
        """Run the scenario and return its results. `stays`: the server runs on afterwards."""
        import aiohttp

        from hookline.cli.host.demo import example
        from hookline.cli.operate.execution_text import describe_execution

        server, body = self._server, example(EVENT).read_bytes()
        hook = f"{server.url}/hook/{FLOW}"
        private_key, certificate = await asyncio.to_thread(_certificate)
        await server.engine.credentials.put(
            _CREDENTIAL,
            "paypal",
            {"webhook_id": _WEBHOOK_ID, "certificate": certificate, "private_key": private_key},
            by=local_user(),
        )
        self._show(f"Hookline listens on {server.url}\n")
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {server.token.text}"}) as session:
            self._show(f"1. The demo sends a signed event, as PayPal would, to {hook}")
            first = await self._send(session, hook, body)
            self._show(f"   → {first['http_status']} {first['status']}, execution {first['execution_id']}")
            if first["status"] == "duplicate":
                self._show(f"   This event was already received in an earlier run. {_ANEW}")
            self._show("")
            execution = await self._ended(session, first["execution_id"])
            self._show("2. Its execution, step by step")
            self._show(_indented(describe_execution(execution)))
            rows = self._rows()
            self._show(f"\n3. The accounting database, {self._ledger}")
            for row in rows:
                self._show("   " + ", ".join(f"{name}: {value}" for name, value in row.items()))
            self._show("\n4. It sends the event again")
            second = await self._send(session, hook, body)
            self._show(f"   → {second['http_status']} {second['status']}, execution {second['execution_id']}")
        after = self._rows()
        # An earlier run may have booked it, also one that was killed before it could check.
        booked = [row for row in after if row["reference"] == json.loads(body)["resource"]["id"]]
        _hold(execution["state"] == "succeeded", f"the execution should have succeeded, and is {execution['state']}")
        _hold(second["status"] == "duplicate", f"the second event should be a duplicate, and was {second['status']}")
        _hold(second["execution_id"] == first["execution_id"], "the duplicate got the id of another execution")
        _hold(len(booked) == 1, f"the payment should be booked once, but was booked {len(booked)} times. {_ANEW}")
        _hold(after == rows, "the duplicate changed the accounting database")
        self._show(f"   → still {counted(len(after), 'row')}: nothing was booked twice\n")
        urls = {
            "hook": hook,
            "executions": f"{server.url}/api/v1/executions",
            "health": f"{server.url}/readyz",
            "metrics": f"{server.url}/metrics",
        }
        if stays:
            self._show("5. Addresses")
            for name, url in urls.items():
                self._show(f"   {name:12}{url}")
            token = server.token_file or "HOOKLINE_ADMIN_TOKEN"
            self._show(f"   {'admin token':12}{token}, for executions and metrics (Authorization: Bearer …)\n")
        self._show(f"{6 if stays else 5}. Commands that show the execution, to be run in this folder")
        (short,) = shortened([first["execution_id"]])
        program = _program()
        commands = [
            f"{program} executions list --db {self._db}",
            f"{program} executions show {short} --db {self._db}",
            f"{program} flows show {FLOW} --db {self._db} --flows {shlex.quote(str(server.engine.options.flows))}",
        ]
        for command in commands:
            self._show(f"   {command}")
        return {
            "first": first,
            "execution": execution,
            "rows": after,
            "second": second,
            "urls": urls,
            "commands": commands,
        }

    async def open_console(self, execution_id: str) -> str | None:
        """Show and return a sign-in link to an execution; None if there is no console."""
        import aiohttp

        server = self._server
        self._show("\n7. The console")
        missing = server.ready().no_console
        if missing is not None:
            self._show(_indented(missing))
            return None
        url = f"{server.api_url}/api/v1/sign-in-links"
        headers = {"Authorization": f"Bearer {server.token.text}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(url, json={"execution_id": execution_id}) as response,
        ):
            made: dict[str, str] = await response.json()
            _hold(response.status == 201, f"the server answered {response.status}: {made.get('detail')}")
        self._show(
            f"   This link signs you in and opens the execution. It works once, within 10 minutes:\n   {made['url']}"
        )
        self._show(f"   For a new link, run: {_program()} open --db {self._db}")
        return made["url"]

    async def _send(self, session: Any, hook: str, body: bytes) -> dict[str, Any]:
        headers = {**dict(self._signature(hook, body)), "Content-Type": "application/json"}
        async with session.post(hook, data=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            _hold(response.status in (200, 202), f"the server answered {response.status}: {answer.get('detail')}")
            return {"http_status": response.status, **answer}

    def _signature(self, hook: str, body: bytes) -> Any:
        from hookline.sdk.schemes import SignedRequest

        engine = self._server.engine
        scheme = engine.registry.schemes["paypal"]
        credential = engine.credentials.get(_CREDENTIAL, None).value
        request = SignedRequest("POST", hook, (), engine.clock.now(), engine.http)
        return scheme.sign(request, body, credential, scheme.settings())

    async def _ended(self, session: Any, execution_id: str) -> Mapping[str, Any]:
        url = f"{self._server.url}/api/v1/executions/{execution_id}"
        deadline = self._server.engine.clock.monotonic() + 30
        while True:
            async with session.get(url) as response:
                execution: Mapping[str, Any] = await response.json()
                _hold(response.status == 200, f"the server answered {response.status}: {execution.get('detail')}")
            if execution["state"] in ("succeeded", "failed", "cancelled"):
                return execution
            _hold(self._server.engine.clock.monotonic() < deadline, f"the execution is still {execution['state']}")
            await self._server.engine.clock.sleep(0.05)

    def _rows(self) -> list[dict[str, Any]]:
        with contextlib.closing(sqlite3.connect(self._ledger)) as connection:
            connection.row_factory = sqlite3.Row
            found = connection.execute("select reference, amount, note from invoices order by id")
            return [dict(row) for row in found]


def _hold(condition: bool, otherwise: str) -> None:
    if not condition:
        raise DemoFailed(f"the demo failed: {otherwise}")


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())


_PACKAGE: Final = Path(__file__).parents[2]


def example(name: str) -> Path:
    """The path of an example, such as `paypal-to-accounting.json`. Raises ConfigError if it isn't installed."""
    # They are in the package of a wheel, and at the top of a checkout that is installed in place.
    for folder in (_PACKAGE / "examples", _PACKAGE.parents[1] / "flows"):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(f"the example {name} isn't installed; install hookline again")
