"""The components that no service owns: `map`, `filter`, `log`, `stop`, `fail`, and the `webhook` trigger."""

from collections.abc import Sequence

from hookline.api import Connector, RequestTrigger, Trigger, WebhookSettings, hookimpl
from hookline_generic.actions import generic

webhook = RequestTrigger(
    name="webhook",
    title="Webhook",
    settings=WebhookSettings,
    summary="Starts an execution for each request to `/hook/<flow id>`.",
)


@hookimpl
def register_connectors() -> Sequence[Connector]:
    """The generic actions."""
    return [generic]


@hookimpl
def register_triggers() -> Sequence[Trigger]:
    """The webhook."""
    return [webhook]
