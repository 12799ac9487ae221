"""What running steps need of the engine, handed down as one frozen record."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pydantic import BaseModel

from hookline.credentials.access_tokens import AccessTokens
from hookline.executions.rate_limits import StepRates
from hookline.executions.replies import Replies
from hookline.flows.blocks.foreach import ForeachNode
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.model.items import Stream
from hookline.model.message import Envelope, Message
from hookline.plugin_host.host import PluginHost
from hookline.plugin_host.offload import Offloader
from hookline.sdk.action import Action
from hookline.sdk.context import Resources
from hookline.sdk.http import HttpClient
from hookline.secrets.redaction import Redaction
from hookline.storage.blobs import Blobs
from hookline.storage.changes import Accept
from hookline.storage.store import Store
from hookline.telemetry.events import Events
from hookline.telemetry.metrics import Metrics


class Secrets(Protocol):
    """Where credentials are looked up."""

    def get(self, name: str) -> tuple[str, BaseModel]:
        """A credential's type and its value. Raises CredentialError."""
        ...


Stub: TypeAlias = Callable[[], Awaitable[Any]]
"""Gives what an action, a foreach or a batch might return, and stands in its place. Raises StepError."""


class SimulationHooks(Protocol):
    """Takes part where flows are tried out, and does nothing outside."""

    def stub_action(self, execution_id: str, path: str, attempt: int, action: Action, settings: Any) -> Stub | None:
        """What stands in the place of an action, given its settings; None where it is to run itself."""
        ...

    def stub_for_missing_file(
        self, execution_id: str, path: str, attempt: int, action: Action, settings: Any
    ) -> Stub | None:
        """What stands in the place of an action that has asked for a file which isn't there."""
        ...

    def stub_items(self, execution_id: str, path: str, block: ForeachNode, items: list[Any] | Stream) -> Stub | None:
        """What stands in the place of all items of a foreach; None where they are to run. It may raise StepFailed."""
        ...

    def flow_started(self, execution_id: str, path: str, attempt: int) -> None:
        """A step is about to start an execution of another flow."""
        ...

    def stub_batch(self, execution_id: str, path: str, attempt: int) -> Stub | None:
        """What gives a step the Reply that it gathers, or says that it has Joined; None where it waits for others."""
        ...

    def execution_ended(self, execution_id: str, message: Message) -> None:
        """An execution is about to end with a message."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The engine, as far as a step may see it."""

    store: Store
    blobs: Blobs
    http: HttpClient
    resources: Resources
    secrets: Secrets
    replies: Replies
    find_flow: Callable[[str], CompiledFlow]
    """Gives a flow to call. Raises FlowNotFound if there is none or it is stopped, and FlowInvalid if it can't run."""
    accept: Callable[[CompiledFlow, Envelope], Accept]
    """Gives the change that starts an execution, to commit with the change that causes it. Raises SchemaViolation."""
    cancel: Callable[[str], Awaitable[None]]
    """Cancels an execution. Raises ExecutionNotFound, IllegalStateChange if it has ended, and StoreError."""
    clock: Clock
    metrics: Metrics
    log: Log
    files_root: Path | None
    plugin_host: PluginHost
    new_id: Callable[[], str]
    """Makes an id for what becomes durable."""
    offloader: Offloader = field(default_factory=Offloader)
    """Where what goes through large messages is done."""
    events: Events = field(default_factory=Events)
    """Who hears of what becomes durable."""
    redaction: Redaction | None = None
    """What encrypts redacted values; None where nothing is stored, as where flows are tried out."""
    rates: StepRates = field(default_factory=StepRates)
    """Whose turn it is at steps that have a rate."""
    tokens: AccessTokens | None = None
    """Gives access tokens of credentials; None where flows are tried out."""
    simulation: SimulationHooks | None = None
    """Answers in actions' places where flows are tried out; None where they serve."""
    step_timeout: timedelta | None = None
    """The longest time for a step whose flow says nothing of it."""
