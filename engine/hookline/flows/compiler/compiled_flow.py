"""The compiled flow: its document with all names resolved and all expressions compiled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import WalkedStep, walk_steps
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.elements.message_keys import MessageKey
from hookline.flows.elements.outside_references import FlowUse
from hookline.flows.elements.tags import Tags
from hookline.flows.schemas.body_schema import BodySchema
from hookline.kernel.errors import StepError
from hookline.kernel.json import DECIMALS, FLOATS, Numbers, encode
from hookline.model.flow import FlowDocument, RetentionDocument, ServingState
from hookline.model.sources import ConsumeSettings, PollSettings, Schedule, ScheduleSettings
from hookline.model.webhook import WebhookSettings
from hookline.sdk.poll import PollTrigger
from hookline.sdk.schemes import Scheme
from hookline.sdk.triggers import ConsumeTrigger, RequestTrigger, WebhookTrigger
from hookline.secrets.credential_reach import covers
from hookline.secrets.redaction_rules import RedactionRules
from hookline.storage.change_declarations import Start


@dataclass(frozen=True, slots=True)
class WaitPlace:
    """The position of a waiting step."""

    id: str
    item_of: str | None
    """Pointer of the innermost foreach around it; None if there is none."""
    tail: str
    """Its path from that foreach: what comes after the item's prefix."""


def wait_places(steps: Sequence[CompiledStep], prefix: str = "") -> tuple[WaitPlace, ...]:
    """The positions of all waiting steps in a list of steps; their paths begin with `prefix`."""
    return tuple(_wait_place(step) for step in walk_steps(steps, prefix) if isinstance(step.compiled, CompiledWait))


def _wait_place(step: WalkedStep) -> WaitPlace:
    foreach = next((block for block in step.blocks() if isinstance(block.compiled, CompiledForeach)), None)
    if foreach is None:
        return WaitPlace(step.compiled.id, None, step.path)
    return WaitPlace(step.compiled.id, foreach.compiled.pointer, step.path.removeprefix(f"{foreach.path}/"))


@dataclass(frozen=True, slots=True)
class SubscriptionTrigger:
    """A trigger that subscribes with its provider."""

    trigger: WebhookTrigger
    given: Mapping[str, Any]
    """The JSON of the trigger's own settings."""


@dataclass(frozen=True, slots=True)
class CompiledTrigger:
    """A compiled trigger."""

    use: str
    settings: BaseModel
    webhook: WebhookSettings | None
    """The settings of its webhook, if requests start the flow."""
    scheme: Scheme[Any, Any] | None
    """None if requests aren't verified or don't start the flow."""
    scheme_settings: BaseModel | None
    credential: str | None
    """The name of the credential that verifies requests, or that a source or subscription uses."""
    dedupe_key: MessageKey | None
    schedule: Schedule | None = None
    """The times at which a schedule starts the flow."""
    request: RequestTrigger | None = None
    """The trigger, if requests start the flow."""
    poll: PollTrigger | None = None
    """The trigger, if it polls a service."""
    subscribes: SubscriptionTrigger | None = None
    """The trigger, if it subscribes with a provider. The engine keeps the secret that signs the requests."""
    consumer: ConsumeTrigger | None = None
    """The trigger, if it consumes messages of a broker."""

    @property
    def one_at_a_time(self) -> bool:
        """The flow's executions run one at a time, because its schedule doesn't let them overlap."""
        return isinstance(self.settings, ScheduleSettings) and not self.settings.overlap


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """The settings in a flow's document, without its trigger and its steps, which are compiled.

    The document itself isn't kept: its models and values would take as much memory as all else of a flow.
    """

    title: str
    state: ServingState
    concurrency: int
    concurrency_set: bool
    """The document says how many run side by side, so that it holds over all nodes."""
    timeout: timedelta | None
    order_on_failure: Literal["release", "hold"]
    rate: str | None
    max_queued: int | None
    retention: RetentionDocument | None
    callable_by: tuple[str, ...]
    """Patterns of the ids of the flows that may call it; none for all."""

    @staticmethod
    def of(document: FlowDocument) -> "FlowSettings":
        """The settings in a document."""
        return FlowSettings(
            title=document.title,
            state=document.state,
            concurrency=document.concurrency,
            concurrency_set="concurrency" in document.model_fields_set,
            timeout=document.timeout,
            order_on_failure=document.order_on_failure,
            rate=document.rate,
            max_queued=document.max_queued,
            retention=document.retention,
            callable_by=document.callable_by,
        )


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    """One version of a flow."""

    id: str
    version: str
    """A hash of the document's canonical JSON without `$schema` and `title`."""
    settings: FlowSettings
    source: bytes
    """The document's JSON, as it is published. Its keys keep their order, because the objects that a `map` gives have
    it."""
    trigger: CompiledTrigger
    vars: Mapping[str, Any]
    declared_vars: Mapping[str, Any]
    """Its vars as the document has them; the same object as `vars` if the server's environment overrides none."""
    steps: tuple[CompiledStep, ...]
    schema: BodySchema | None
    credentials: frozenset[str]
    """The names of all credentials that it uses."""
    order_by: MessageKey | None = None
    """Executions with an equal key run one at a time."""
    tags: Tags | None = None
    on_error_steps: tuple[CompiledStep, ...] = ()
    """The steps that run after a failure, before the execution ends."""
    on_error_flow: str | None = None
    """The flow that is started after an execution has failed."""
    calls: tuple[FlowUse, ...] = ()
    """The places where it names other flows."""
    waits: Mapping[str, CompiledWait] = field(default_factory=dict)
    """Its steps that wait for callbacks, by id."""
    wait_places: tuple[WaitPlace, ...] = ()
    redaction_rules: RedactionRules | None = None
    """The values that no view may show."""
    missing_actions: frozenset[str] = frozenset()
    """The names of its actions that aren't installed here. If there are any, it accepts messages but can't run."""
    exact: bool = field(init=False)
    """Its executions read fractions as Decimals."""
    numbers: Numbers = field(init=False)
    """Decodes JSON for its executions."""
    direct: bool = field(init=False)
    """A small JSON message needs no check except those of its media type, its size, its syntax and the schema, and
    nothing is waited for before it is stored."""

    def __post_init__(self) -> None:
        settings = self.trigger.webhook or self.trigger.settings
        kinds = WebhookSettings | PollSettings | ConsumeSettings
        object.__setattr__(self, "exact", isinstance(settings, kinds) and settings.numbers == "exact")
        object.__setattr__(self, "numbers", DECIMALS if self.exact else FLOATS)
        object.__setattr__(self, "direct", self._is_direct())

    def _is_direct(self) -> bool:
        webhook, trigger = self.trigger.webhook, self.trigger.request
        if webhook is None or self.trigger.scheme is not None:
            return False
        own_format = trigger is not None and (trigger.read is not None or trigger.body_mode is not None)
        checks_senders = webhook.cors or webhook.client_rate or webhook.allow_from is not None or webhook.media_types
        own_answer = webhook.respond != "accepted" or webhook.accepted is not None or webhook.keep_rejected_bodies
        keyed = self.order_by is not None or self.tags is not None
        stored_otherwise = self.waits or keyed or self.redaction_rules is not None
        return not (own_format or checks_senders or own_answer or stored_otherwise)

    def check_caller(self, flow_id: str) -> None:
        """Raise StepError unless a flow may call this one."""
        if flow_id != self.id and not covers(self.settings.callable_by, flow_id):
            raise StepError(
                f"flow {flow_id!r} may not call flow {self.id!r}: it isn't in the `callable_by` of that flow",
                code="flow.not_callable",
            )

    def start(self, execution_id: str, at: datetime) -> Start:
        """The change that starts an execution on this version, if it serves the flow."""
        return Start(execution_id, self.version, at, self.vars_to_store(), self.deadline(at), serving=True)

    def vars_to_store(self) -> bytes | None:
        """JSON of the vars with which an execution starts; None if they are those of the document."""
        return None if self.vars is self.declared_vars else encode(self.vars)

    def read_vars(self, stored: bytes | None) -> dict[str, Any]:
        """The vars with which an execution started, from what `vars_to_store` gave then."""
        if stored is None:
            return dict(self.declared_vars)
        return self.numbers.read_object(stored)

    def deadline(self, started_at: datetime) -> datetime | None:
        """The end of the time limit of an execution."""
        return None if self.settings.timeout is None else started_at + self.settings.timeout
