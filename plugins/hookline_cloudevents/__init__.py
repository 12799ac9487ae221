"""CloudEvents by HTTP: the trigger `cloudevents`, and `cloudevents.send`."""

from collections.abc import Sequence

from hookline.api import Connector, Trigger, hookimpl
from hookline_cloudevents.receive import cloudevents


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the connector that sends events."""
    # Imported here, because a node that only accepts messages needs the trigger alone.
    from hookline_cloudevents.send import connector

    return [connector]


@hookimpl
def register_triggers() -> Sequence[Trigger]:
    """Return the trigger that receives events."""
    return [cloudevents]
