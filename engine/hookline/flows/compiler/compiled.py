"""A flow ready to run: its document with every name resolved and every expression compiled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hookline.flows.blocks.block import Node
from hookline.flows.blocks.webhook_wait import WaitNode
from hookline.flows.compiler.body_schema import BodySchema
from hookline.flows.compiler.merge_flows_waits import WaitPlace
from hookline.flows.compiler.redaction import Redaction
from hookline.flows.elements.message_keys import Key
from hookline.kernel.errors import SchemaViolation
from hookline.model.flow import FlowDocument
from hookline.model.merge_model_consume import ConsumeSettings
from hookline.model.merge_model_schedule import Schedule, ScheduleSettings
from hookline.model.sources import PollSettings
from hookline.model.webhook import WebhookSettings
from hookline.sdk.merge_consume import ConsumeTrigger
from hookline.sdk.merge_subscription import WebhookTrigger
from hookline.sdk.poll import PollTrigger
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import RequestTrigger


@dataclass(frozen=True, slots=True)
class Subscribes:
    """How a flow's trigger subscribes with its provider."""

    trigger: WebhookTrigger
    given: Mapping[str, Any]
    """JSON of the settings that are the trigger's own."""


@dataclass(frozen=True, slots=True)
class CompiledTrigger:
    """What starts the flow, with its scheme resolved."""

    use: str
    settings: BaseModel
    webhook: WebhookSettings | None
    """The settings of its webhook, where requests start the flow."""
    scheme: Scheme[Any, Any] | None
    """None where nothing is verified, or requests don't start the flow."""
    scheme_settings: BaseModel | None
    credential: str | None
    """The name of the one that verifies, or that a trigger uses which the engine runs or subscribes."""
    dedupe_key: Key | None
    schedule: Schedule | None = None
    """When it fires, where the clock starts the flow."""
    request: RequestTrigger | None = None
    """What reads requests, where they start the flow."""
    poll: PollTrigger | None = None
    """What looks, where what it finds starts the flow."""
    subscribes: Subscribes | None = None
    """What lets a provider send, where its requests start the flow; their secret is the engine's to know."""
    consumer: ConsumeTrigger | None = None
    """What listens to a broker, where its messages start the flow."""

    @property
    def one_at_a_time(self) -> bool:
        """Its flow's executions run one at a time, since its schedule doesn't let them overlap."""
        return isinstance(self.settings, ScheduleSettings) and not self.settings.overlap


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    """One version of a flow."""

    id: str
    version: str
    """Hash of the document's canonical JSON without `$schema`, `title` and layout."""
    document: FlowDocument
    source: bytes
    """The document's JSON, as it is published: its keys in the order in which they were written, which is that of what
    a mapping gives."""
    trigger: CompiledTrigger
    vars: Mapping[str, Any]
    steps: tuple[Node, ...]
    schema: BodySchema | None
    credentials: frozenset[str]
    """Names of all the credentials that it uses."""
    order_by: Key | None = None
    """Executions with an equal key run one at a time."""
    on_error_steps: tuple[Node, ...] = ()
    """What runs where an execution fails, before it ends."""
    on_error_flow: str | None = None
    """The flow that is started where an execution has failed."""
    waits: Mapping[str, WaitNode] = field(default_factory=dict)
    """Its steps that wait for calls, by id."""
    wait_places: tuple[WaitPlace, ...] = ()
    redaction: Redaction | None = None
    """What no view may show."""

    def check_body(self, body: Any) -> None:
        """Raise SchemaViolation, with every problem, where a body doesn't satisfy the flow's schema."""
        if self.schema is not None and (problems := self.schema.problems(body)):
            raise SchemaViolation(problems=problems)

    @property
    def exact(self) -> bool:
        """Fractions are Decimals wherever its executions see one."""
        settings = self.trigger.webhook or self.trigger.settings
        kinds = WebhookSettings | PollSettings | ConsumeSettings
        return isinstance(settings, kinds) and settings.numbers == "exact"
