"""Triggers: what starts an execution.

Each kind says who looks after it: requests come to the Webhook Service; schedules, polls (`hookline.poll`) and what
listens to brokers (`hookline.consume`) are run by the engine. A trigger of no such kind starts nothing by itself: its
flows are started by hand and by other flows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hookline.model.schedule import Schedule, ScheduleSettings
from hookline.model.webhook import WebhookSettings
from hookline.options import Choices


@dataclass(frozen=True, slots=True)
class Trigger:
    """Something that starts executions; a flow names it in `trigger.use`."""

    name: str
    title: str
    settings: type[BaseModel]
    """The model of the flow's `trigger.with`."""
    summary: str = ""
    description: str = ""
    """More than the summary, which it begins with; the summary where that says all."""


@dataclass(frozen=True, slots=True)
class ConnectorTrigger(Trigger):
    """One that is a connector's: it may take a credential, and may be unavailable."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """From each field of the settings that are the trigger's own to the parameter that it fills."""
    credential: type[BaseModel] | None = None
    credential_types: tuple[str, ...] = ()
    """Names of the credential types that it takes; empty where it takes none."""
    needs_credential: bool = False
    unavailable: str | None = None
    """Why it can't be used here, with the remedy; None where it can."""
    options: Mapping[str, Choices] = field(default_factory=dict)
    """What knows the choices for its settings, by setting."""


@dataclass(frozen=True, slots=True)
class OwnTrigger(ConnectorTrigger):
    """One that starts executions by a function which the engine runs."""

    run: Callable[..., Any] | None = None
    leading: tuple[str, ...] = ()
    """Which of its first parameters are no settings."""

    def arguments(self, settings: BaseModel) -> dict[str, Any]:
        """The keyword arguments for `run`, as far as they are settings."""
        return {parameter: getattr(settings, name) for name, parameter in self.parameters.items()}


@dataclass(frozen=True, slots=True)
class RequestTrigger(Trigger):
    """Started by HTTP requests to `/hook/<flow id>`; its settings are, or extend, those of the webhook."""

    settings: type[WebhookSettings] = WebhookSettings


def _no_schedule(_settings: Any) -> Schedule:
    raise NotImplementedError("a ScheduleTrigger needs `schedule`")


@dataclass(frozen=True, slots=True)
class ScheduleTrigger(Trigger):
    """Started by the clock. Each message's body is `scheduled_at, fired_at, previous_at`."""

    settings: type[ScheduleSettings] = ScheduleSettings
    schedule: Callable[[Any], Schedule] = _no_schedule
    """The times that some settings mean. What is wrong with settings their model has said before."""
