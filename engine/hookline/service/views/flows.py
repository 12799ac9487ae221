"""Flows."""

import msgspec

from hookline.catalog.catalog import CatalogEntry
from hookline.catalog.flow_states import FlowStates
from hookline.kernel.errors import Problem
from hookline.kernel.time import rfc3339
from hookline.service.views.pages import Time, time_view
from hookline.sources.source import SourceStatus


class SourceView(msgspec.Struct, frozen=True):
    """A trigger that does something by itself: a schedule, a poll, a broker's, or one that subscribes."""

    last_at: Time | None
    """When it last fired, looked, or took messages in, or was subscribed or renewed."""
    next_at: Time | None
    """When it does next, or connects again; null where it never does again, or listens."""
    error: str | None
    """Why it failed when it last looked, connected or subscribed."""
    failures: int
    """How often it has failed in a row."""
    listening: bool | None
    """Whether it is connected to its broker; null where it has none."""


class OverrideView(msgspec.Struct, frozen=True):
    """An operator's decision about a flow's state."""

    at: Time
    file_state: str
    """What its file says; once it says something else, that holds."""


class FlowView(msgspec.Struct, frozen=True):
    """A flow."""

    id: str
    title: str
    state: str
    """`active`, `paused`, `stopped`, or `broken` where no version of it can serve."""
    override: OverrideView | None
    """What an operator has decided its state to be; null where the state is the one that its file says."""
    version: str | None
    """The version that new executions get."""
    trigger: str | None
    url: str | None
    """Where its webhook is; null where requests don't start it."""
    source: SourceView | None
    """How its schedule, poll, broker or subscription is doing; null where it has none, or none that runs here now."""
    file: str
    problems: tuple[Problem, ...]
    """What is wrong with the file as it is now."""


def flow_view(entry: CatalogEntry, public_url: str, source: SourceStatus | None, states: FlowStates) -> FlowView:
    """A flow of the catalog."""
    flow = entry.flow
    override = None if flow is None else states.override(flow)
    hook = flow is not None and flow.trigger.webhook is not None
    return FlowView(
        id=entry.id,
        title="" if flow is None else flow.document.title,
        state=entry.state if flow is None else states.of(flow),
        override=None if override is None else OverrideView(rfc3339(override.at), override.file_state),
        version=None if flow is None else flow.version,
        trigger=None if flow is None else flow.trigger.use,
        url=f"{public_url}/hook/{entry.id}" if hook else None,
        source=None if source is None else _source_view(source),
        file=str(entry.file),
        problems=entry.problems,
    )


def _source_view(source: SourceStatus) -> SourceView:
    return SourceView(
        time_view(source.last_at), time_view(source.next_at), source.error, source.failures, source.listening
    )
