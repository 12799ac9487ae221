"""`hookline test --from-execution ID`: a case from what an execution did."""

import asyncio
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookline.cli.command import emit
from hookline.config import Settings
from hookline.kernel.errors import ConfigError

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry
    from hookline.simulation.recordings.recording import RecordedCase


def write_case(
    settings: Settings, execution_id: str, flow: Path | None, name: str | None, *, write: bool, as_json: bool
) -> None:
    """Print the case, or write it to the file of the flow's cases; `flow`: its id or its file."""
    from hookline.discovery.loader import load_plugins
    from hookline.flows.authoring.formatter import format_value
    from hookline.simulation.case_files import add_case, check_free

    registry = load_plugins()
    recording, document = asyncio.run(_recorded(settings, execution_id))
    name = name or f"execution {execution_id}"
    file = _case_file(settings, registry, recording["flow_id"], flow)
    if write:
        check_free(file, name)
    made = _made(registry, recording, document, name, file.parent)
    for text in made.left_out:
        click.echo(f"left out: {text}", err=True)
    if not write:
        click.echo(format_value(made.case, 0))
        return
    try:
        add_case(file, made.case)
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror}") from error
    value = {"file": file, "name": name, "left_out": made.left_out}
    emit({**value, "file": str(file)}, as_json=as_json, text=lambda: f"{file}: {name}")


async def _recorded(settings: Settings, execution_id: str) -> tuple[Mapping[str, Any], Any]:
    """The execution, and what the version of the flow said with which it ran."""
    from hookline.cli.access import access

    async with access(settings) as held:
        recording = await held.recording(execution_id)
        if recording["flow_version"] is None:
            raise ConfigError(f"execution {execution_id!r} ended before it ran, so that there is nothing to test")
        kept = await held.flow_document(recording["flow_id"], recording["flow_version"])
    return recording, kept["document"]


def _case_file(settings: Settings, registry: "Registry", flow_id: str, given: Path | None) -> Path:
    from hookline.catalog.catalog import Catalog
    from hookline.simulation.case_files import ENDING

    if given is not None and given.suffix == ".json":
        flow = given.with_name(given.name.removesuffix(ENDING).removesuffix(".json") + ".json")
        if flow.stem != flow_id or not flow.exists():
            raise ConfigError(f"the execution is one of flow {flow_id!r}, and {given} is not its file")
    elif given is not None and str(given) != flow_id:
        raise ConfigError(f"the execution is one of flow {flow_id!r}, and not of {str(given)!r}")
    else:
        catalog = Catalog(settings.flows, registry, environment=os.environ)
        catalog.refresh()
        entry = catalog.entries.get(flow_id)
        if entry is None:
            raise ConfigError(f"there is no flow {flow_id!r} in {settings.flows}; name the directory with --flows")
        flow = Path(entry.file)
    return flow.with_name(flow.stem + ENDING)


def _made(registry: "Registry", recording: Mapping[str, Any], document: Any, name: str, folder: Path) -> "RecordedCase":
    from hookline.flows.compiler.compile import compile_flow
    from hookline.flows.documents.read import read
    from hookline.kernel.json import encode
    from hookline.kernel.time import SystemClock
    from hookline.simulation.case_run import CaseRunner
    from hookline.simulation.recordings.recording import recorded_case

    flow = compile_flow(read(encode(document), recording["flow_id"]), registry, environment=os.environ)
    factory = registry.blob_stores.get("file")
    if factory is None:
        raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
    with (
        tempfile.TemporaryDirectory(prefix="hookline-test-") as scratch,
        CaseRunner(registry, factory(f"file://{scratch}", clock=SystemClock())) as runner,
    ):
        return recorded_case(flow, recording, name, runner, registry, folder)
