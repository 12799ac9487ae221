"""Triggers: what starts an execution."""

from dataclasses import dataclass

from pydantic import BaseModel

from hookline.model.webhook import WebhookSettings


@dataclass(frozen=True, slots=True)
class Trigger:
    """Something that starts executions; a flow names it in `trigger.use`."""

    name: str
    title: str
    settings: type[BaseModel]
    """The model of the flow's `trigger.with`."""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class RequestTrigger(Trigger):
    """Started by HTTP requests to `/hook/<flow id>`; its settings are, or extend, those of the webhook."""

    settings: type[WebhookSettings] = WebhookSettings
