"""The provenance of the values in recorded executions, for the admin API and the command line."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from hookline.catalog.catalog import Catalog
from hookline.catalog.versions_and_states import VersionResolver
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import lines
from hookline.flows.elements.message_scope import trigger_view
from hookline.flows.flow_provenance import Origin, Provenance
from hookline.kernel.errors import ExecutionNotFound, ProvenanceUnknown
from hookline.model.message import with_numbers
from hookline.storage.store import Store, readable_envelope


class Explained(msgspec.Struct, frozen=True):
    """A value and its origin."""

    field: str
    """The path of the value: `trigger.body.id`, `steps.invoice.body.amount`, or `body.amount` for the final message."""
    value: Any
    """Null if the value doesn't exist or was not recorded; then `known` is false."""
    known: bool
    step: str | None
    """The path of the step that gave the value."""
    use: str | None
    made_by: list["Maker"]
    """The expressions that made the value; empty if it came from outside."""
    note: str
    """The origin, if no expression names it."""
    reads: list["Explained"]
    """The values that the expressions read."""


class Maker(msgspec.Struct, frozen=True):
    """An expression of a flow."""

    pointer: str
    """JSON pointer in the flow's document."""
    expression: str
    """Empty if the document has the value itself."""
    file: str | None
    """The flow's file, if it still contains the version of the execution."""
    line: int | None


async def provenance_of(store: Store, catalog: Catalog, execution_id: str, field: str) -> Explained:
    """Return the provenance of a field of an execution.

    Raises ExecutionNotFound, ProvenanceUnknown, FlowNotFound and FlowInvalid if its version isn't available, and
    StoreError.
    """
    execution = await store.execution(execution_id)
    if execution is None:
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
    if execution.flow_version is None:
        raise ProvenanceUnknown(f"execution {execution_id} hasn't run yet")
    envelope = await readable_envelope(store, execution_id)
    if envelope is None:
        raise ProvenanceUnknown(f"the message of execution {execution_id} is no longer stored")
    flow = await VersionResolver(catalog, store).version(execution.flow_id, execution.flow_version)
    envelope = with_numbers(envelope, exact=flow.exact)
    journal = await store.journal(execution_id)
    records = {record.path: record for record in journal}
    origin = Provenance(
        flow, trigger_view(envelope.message, envelope.arrival), flow.read_vars(execution.vars), records
    ).explain(field)
    return provenance_view(origin, *_places(catalog, flow))


def _places(catalog: Catalog, flow: CompiledFlow) -> tuple[str | None, dict[str, int]]:
    """The file of a version and the line of each value, if the file still contains that version."""
    entry = catalog.entries.get(flow.id)
    if entry is None or entry.file is None or entry.flow is None or entry.flow.version != flow.version or entry.errors:
        return None, {}
    try:
        text = entry.file.read_text(encoding="utf-8")
        return str(entry.file), dict(lines(text))
    except (OSError, ValueError):
        return None, {}


def provenance_view(origin: Origin, file: str | None = None, at: Mapping[str, int] = MappingProxyType({})) -> Explained:
    """An origin as the API gives it. `file`: the flow's file, if `at` has the line of each of its values."""
    return Explained(
        field=origin.field,
        value=origin.value if origin.known else None,
        known=origin.known,
        step=origin.step,
        use=origin.use,
        made_by=[Maker(pointer, source, file, at.get(pointer)) for pointer, source in origin.expressions],
        note=origin.note,
        reads=[provenance_view(one, file, at) for one in origin.reads],
    )
