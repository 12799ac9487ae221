"""Inputs of commands: the body and the headers of a message, and a flow of the flows directory."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookline.kernel.errors import ConfigError, FlowInvalid, FlowNotFound
from hookline.kernel.json import decode
from hookline.kernel.suggest import did_you_mean
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.discovery.registry import Registry
    from hookline.flows.compiler.compiled_flow import CompiledFlow


def body_of(path: Path | None, *, exact: bool, otherwise: str = "") -> Any:
    """Return the JSON value, or else the text, of a file (`-` is standard input); None without a file.

    `otherwise`: the remedy for a file that is neither. Raises ConfigError.
    """
    if path is None:
        return None
    try:
        data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise ConfigError(f"the input {path} can't be read: {error.strerror}") from error
    try:
        return decode(data, exact=exact)
    except RecursionError:
        raise ConfigError(f"the input {path} is nested too deeply") from None
    except ValueError as error:
        if path.suffix == ".json":
            raise ConfigError(f"the input {path} is not JSON: {error}") from error
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"the input {path} is neither JSON nor text{otherwise}") from None


def headers_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return headers that are written as NAME:VALUE, with their names in lower case."""
    return {name.lower(): value for name, value in header_pairs(pairs)}


def header_pairs(pairs: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return headers that are written as NAME:VALUE, as they are written."""
    headers = []
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise click.UsageError(f"a header is written as NAME:VALUE, not as {pair!r}")
        headers.append((name.strip(), value.strip()))
    return headers


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
