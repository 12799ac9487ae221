"""The flow that an argument of a command names: its document, or the compiled flow."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hookline.cli.client import connect
from hookline.kernel.errors import ConfigError, FlowInvalid, FlowNotFound, Problem
from hookline.kernel.json import encode
from hookline.kernel.suggestions_and_counts import did_you_mean
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry
    from hookline.flows.compiler.compiled_flow import CompiledFlow
    from hookline.flows.documents.read import Document


class NamedDocument(NamedTuple):
    """A document with the name and the version to show."""

    name: str
    version: str
    text: "Document"


async def document_of(settings: Settings, name: str, *, served: bool = False) -> NamedDocument:
    """Return the document of a file, an id, or FLOW@VERSION.

    `served`: an id is the version that serves, and not the flow's file. Raises ConfigError, FlowInvalid and ApiError.
    """
    from hookline.flows.documents.read import read
    from hookline.flows.documents.version import version_of

    flow_id, _, version = name.partition("@")
    is_file = name.endswith(".json") or "/" in name
    if not is_file and (version or served):
        async with connect(settings) as client:
            found = await client.get("flows", flow_id, "versions", version or "current")
        shown = f"{flow_id}@{found['version']}"
        return NamedDocument(shown, found["version"], read(encode(found["document"]), shown))
    path = Path(name) if is_file else settings.flows_dir / f"{name}.json"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    document = read(data, str(path))
    if document.problems or not isinstance(document.value, dict):
        wrong = Problem("a flow is an object", code="wrong_type", remedy="write { … }", file=str(path))
        raise FlowInvalid(document.problems or [wrong])
    return NamedDocument(str(path), version_of(document.value), document)


def flow_of(settings: Settings, registry: "Registry", flow_id: str) -> "CompiledFlow":
    """Return a flow of the flows directory. Raises FlowNotFound, and FlowInvalid if its file has errors."""
    from hookline.catalog.folder_catalog import FolderCatalog

    catalog = FolderCatalog(settings.flows_dir, registry, environment=os.environ)
    catalog.refresh()
    entry = catalog.entries.get(flow_id)
    if entry is None:
        near = did_you_mean(flow_id, catalog.entries)
        raise FlowNotFound(f"there is no flow {flow_id!r} in {settings.flows_dir}" + (f" ({near})" if near else ""))
    if entry.flow is None:
        raise FlowInvalid(entry.errors)
    return entry.flow
