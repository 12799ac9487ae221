"""The triggers `webhook` and `manual`, which belong to no service."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from hookline.api import RequestTrigger, Trigger, WebhookSettings


class NoSettings(BaseModel):
    """A trigger without settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)


webhook: Final = RequestTrigger(
    name="webhook",
    title="Webhook",
    settings=WebhookSettings,
    summary="Starts an execution for each request to `/hook/<flow id>`.",
)

manual: Final = Trigger(
    name="manual",
    title="By hand",
    settings=NoSettings,
    summary="Starts nothing by itself: `hookline start`, the admin API and other flows do.",
)
