"""A flow as the flows directory has it, for commands that work without a server."""

import os

from hookline.catalog.catalog import Catalog
from hookline.config import Settings
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.errors import FlowInvalid, FlowNotFound
from hookline.kernel.suggest import did_you_mean


def local_flow(settings: Settings, registry: Registry, flow_id: str) -> CompiledFlow:
    """The flow. Raises FlowNotFound, and FlowInvalid with what is wrong with its file."""
    catalog = Catalog(settings.flows, registry, environment=os.environ)
    catalog.refresh()
    entry = catalog.entries.get(flow_id)
    if entry is None:
        near = did_you_mean(flow_id, catalog.entries)
        raise FlowNotFound(f"there is no flow {flow_id!r} in {settings.flows}" + (f" ({near})" if near else ""))
    if entry.flow is None:
        raise FlowInvalid(entry.errors)
    return entry.flow
