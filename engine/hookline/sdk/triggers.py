"""Triggers: what starts an execution.

Each kind says who looks after it: requests come to the Webhook Service; schedules, polls (`hookline.sdk.poll`) and what
listens to brokers (`hookline.sdk.merge_consume`) are run by the engine. A trigger of no such kind starts nothing by itself: its
flows are started by hand and by other flows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hookline.model.merge_model_schedule import Schedule, ScheduleSettings
from hookline.model.message import Attachment
from hookline.model.webhook import BodyMode, WebhookSettings
from hookline.sdk.options import Choices
from hookline.sdk.schemes import Answer


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
class ReadRequest:
    """A request that was verified and read, with what its scheme declares secret masked."""

    method: str
    headers: Sequence[tuple[str, str]]
    """As received and in order; names in lower case, bytes above 127 decoded as Latin-1."""
    content_type: str | None
    """The whole header; None where there is none."""
    media_type: str
    """Of it the type alone, in lower case; `application/octet-stream` where there is none."""
    body: Any
    """What the body became, by the settings or by the trigger's `body_mode`. Null where there is none."""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that a message brings in its body: the engine keeps it, and the message has it as an attachment."""

    name: str
    type: str
    content: bytes
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that a trigger makes of a request. It has the request's headers."""

    body: Any
    """A JSON value."""
    id: str | None = None
    """Where the flow has no `dedupe_key`: one that comes with the same id within `dedupe_window` starts nothing."""
    attachments: tuple[Attachment, ...] = ()
    """Of those that the request has."""
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True, slots=True)
class RequestTrigger(Trigger):
    """Started by HTTP requests to `/hook/<flow id>`; its settings are, or extend, those of the webhook.

    What its requests bring may have a form of its own: `read` makes messages of it. Its functions are pure, and are
    given the flow's settings.
    """

    settings: type[WebhookSettings] = WebhookSettings
    read: Callable[[ReadRequest, Any], Sequence[Incoming]] | None = None
    """The messages of a request; none where the flow wants nothing of it, which the sender takes for success.

    Raises RequestRefused: Malformed with every problem, UnsupportedMedia, TooLarge.
    """
    body_mode: Callable[[str, Any], BodyMode] | None = None
    """How a body of a media type is read before `read` is given it; by default as the flow says."""
    options: Callable[[Mapping[str, str], Any], Answer | None] | None = None
    """The answer to OPTIONS, given the headers by their names in lower case; None: as every webhook answers it.

    It is asked before any sender is verified.
    """


def _no_schedule(_settings: Any) -> Schedule:
    raise NotImplementedError("a ScheduleTrigger needs `schedule`")


@dataclass(frozen=True, slots=True)
class ScheduleTrigger(Trigger):
    """Started by the clock. Each message's body is `scheduled_at, fired_at, previous_at`."""

    settings: type[ScheduleSettings] = ScheduleSettings
    schedule: Callable[[Any], Schedule] = _no_schedule
    """The times that some settings mean. What is wrong with settings their model has said before."""
