"""`hookline run FLOW`."""

import asyncio
import contextlib
import mimetypes
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from hookline.catalog.flow_folder import scan
from hookline.cli.command import Command, emit
from hookline.cli.inputs import headers_of, read_input
from hookline.kernel.errors import FlowInvalid, FlowNotFound, HooklineError
from hookline.kernel.json import decode
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.secrets.masking import mask_log_fields
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from structlog.typing import EventDict

    from hookline.engine import Engine
    from hookline.model.message import Attachment
    from hookline.storage.backend import Backend, BackendFactory
    from hookline.storage.change_declarations import Change, CommitResult
    from hookline.storage.store import StoredCredential

_CHUNK: Final = 1 << 20
_POLL: Final = 0.05
"""Seconds between two reads of the execution."""


@click.command(cls=Command, settings=("flows", "db", "log_level"), remote=False)
@click.argument("flow")
@click.option(
    "--input",
    "-i",
    "input_",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The body: a file with JSON or text; - is standard input. By default the body is null.",
)
@click.option("--header", "-H", "headers", multiple=True, metavar="NAME:VALUE", help="A header of the message.")
@click.option(
    "--attach", "attachments", multiple=True, type=click.Path(path_type=Path, exists=True), help="A file to attach."
)
@click.pass_context
def run(
    ctx: click.Context,
    flow: str,
    input_: Path | None,
    headers: tuple[str, ...],
    attachments: tuple[Path, ...],
    as_json: bool,
    settings: Settings,
) -> None:
    """Run FLOW (an id in the flows directory, or a file) once, on an input.

    Its effects are real: requests are sent, files and tables are written. Its trigger verifies no signature. The
    execution isn't kept. The credentials are read from the database, if no server has it open. Exit code 1 if the
    execution fails.
    """
    from hookline.cli.operate.execution_text import describe_execution
    from hookline.kernel import logs

    logs.set_up(settings.log_level, settings.log_format, mask_log_fields)
    execution = asyncio.run(_run(settings, flow, input_, headers_of(headers), attachments))
    emit(execution, as_json=as_json, text=lambda: describe_execution(execution))
    if execution["state"] != "succeeded":
        ctx.exit(1)


async def _run(
    settings: Settings, flow: str, input_: Path | None, headers: dict[str, str], attachments: tuple[Path, ...]
) -> Mapping[str, Any]:
    from hookline.cli.options_from_settings import make_files_folder
    from hookline.intake.envelope_creation import manual_envelope
    from hookline.model.message import Message

    path = _file_of(settings, flow)
    async with _scratch_engine(settings, path.parent, _credential_store(settings)) as engine:
        entry = next((entry for entry in engine.catalog.entries.values() if entry.file == path), None)
        if entry is None or entry.flow is None:
            raise FlowInvalid([] if entry is None else entry.errors)
        body = read_input(input_, exact=entry.flow.exact, otherwise=f"; attach it: --attach {input_}")
        envelope = manual_envelope(
            entry.flow,
            Message(body, headers, tuple([await _attached(engine, file) for file in attachments])),
            execution_id=engine.ids.new(),
            now=engine.clock.now(),
            verified_by="hookline run",
            use=entry.flow.trigger.use,
        )
        make_files_folder(settings)
        await engine.intake.accept(entry.flow, envelope)
        return await _ended(engine, envelope.execution_id)


def _file_of(settings: Settings, flow: str) -> Path:
    """Return the file of a flow. Raises FlowNotFound."""
    path = Path(flow) if flow.endswith(".json") else settings.flows_dir / f"{flow}.json"
    if not path.is_file():
        near = did_you_mean(path.stem, [one.stem for one in scan(path.parent)])
        raise FlowNotFound(f"there is no flow {path}" + (f" ({near})" if near else ""))
    return path


@contextlib.asynccontextmanager
async def _scratch_engine(
    settings: Settings, flows: Path, credentials: "_CredentialStore | None"
) -> "AsyncIterator[Engine]":
    """An engine over a temporary database. Credentials stay in their own database, since tokens may be renewed."""
    from hookline.cli.options_from_settings import engine_options, local_url
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.engine import Engine
    from hookline.secrets.encryption import generate_key, read_keys
    from hookline.storage.store import Store

    # Without credentials there is nothing to decrypt, so no key file is made.
    keys = read_keys(generate_key()) if credentials is None else None
    options = engine_options(settings, local_url(settings.host, settings.port), secret_keys=keys)
    with tempfile.TemporaryDirectory(prefix="hookline-run-") as folder:
        engine = Engine(
            load_plugins(),
            replace(
                options,
                db=f"sqlite:///{folder}/run.db",
                blobs=f"file://{folder}/blobs",
                keep_new_key=None,
                flows=flows,
                watch=False,
                triggers=False,
            ),
            credential_store=cast("Store | None", credentials),
            log=_log(),
        )
        async with engine:
            yield engine


def _log() -> Any:
    """The log, without the problems of flows: those of this flow are printed, and the others don't matter here."""
    import structlog

    from hookline.deployments.version_switch import BROKEN

    def drop(_logger: object, _method: str, event: "EventDict") -> "EventDict":
        if event["event"] == BROKEN:
            raise structlog.DropEvent
        return event

    return structlog.wrap_logger(None, processors=[drop, *structlog.get_config()["processors"]])


async def _attached(engine: "Engine", path: Path) -> "Attachment":
    from hookline.model.message import Attachment

    writer = await engine.blobs.create()
    try:
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                await writer.write(chunk)
        blob = await writer.commit()
    finally:
        await writer.abort()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Attachment(blob.id, path.stem, path.name, kind, blob.size, blob.sha256)


async def _ended(engine: "Engine", execution_id: str) -> Mapping[str, Any]:
    """Return the execution once it has ended, or waits for something that isn't there."""
    from hookline.kernel.json import encode
    from hookline.model.execution import FINAL
    from hookline.service.views.executions import execution_view

    while True:
        execution = await engine.store.execution(execution_id)
        if execution is None or engine.failed.is_set():
            raise HooklineError("the engine failed; the log says why")
        blocked = execution.reason is not None and execution.reason.startswith("blocked")
        if execution.state in FINAL or blocked:
            view: Mapping[str, Any] = decode(encode(await execution_view(engine.store, execution_id)), exact=True)
            return view
        await engine.clock.sleep(_POLL)


class _CredentialStore:
    """The credentials of a database that is open only while they are read or written: others may use it in between."""

    def __init__(self, factory: "BackendFactory", url: str) -> None:
        self._factory = factory
        self._url = url

    async def credentials(self) -> "Sequence[StoredCredential]":
        async with self._opened() as backend:
            return await backend.store.credentials()

    async def commit(self, changes: "Sequence[Change]") -> "Sequence[CommitResult]":
        async with self._opened() as backend:
            return await backend.store.commit(changes)

    @contextlib.asynccontextmanager
    async def _opened(self) -> "AsyncIterator[Backend]":
        from hookline.kernel.clocks import SystemClock

        backend = self._factory(self._url, clock=SystemClock())
        await backend.open()
        try:
            yield backend
        finally:
            await backend.close()


def _credential_store(settings: Settings) -> _CredentialStore | None:
    """Return the credentials of the settings' database; None if there is no database, or a server has it open."""
    from hookline.cli.running_server_file import find
    from hookline.discovery.plugin_loader import load_plugins

    if settings.sqlite_file is not None and not settings.sqlite_file.exists():
        return None
    if find(settings) is not None:
        click.echo("hookline: a server has the credentials, so this run has none", err=True)
        return None
    factory = load_plugins().backends.get(settings.db.partition(":")[0])
    return None if factory is None else _CredentialStore(factory, settings.db)
