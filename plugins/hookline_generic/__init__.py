"""The components that no service owns: `map`, `rename`, `pick`, `filter`, `log`, `stop`, `fail`, `state.get` and
`state.set`, and the triggers `webhook`, `schedule` and `manual`."""

from collections.abc import Sequence

from hookline.api import Connector, Trigger, hookimpl
from hookline_generic.schedule_trigger import schedule
from hookline_generic.triggers import manual, webhook


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """Return the generic actions and those on the flow state."""
    # Imported here, because a node that only accepts messages needs the triggers alone.
    from hookline_generic import actions, pick, rename  # noqa: F401 - they add to the connector
    from hookline_generic.connector import generic
    from hookline_generic.state import state

    return [generic, state]


@hookimpl
def register_triggers() -> Sequence[Trigger]:
    """Return the triggers."""
    return [webhook, schedule, manual]
