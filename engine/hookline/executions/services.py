"""The services of the engine that running steps use."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

from hookline.credentials.access_tokens import AccessTokens
from hookline.credentials.used_credential import CredentialAccess, CredentialLookup
from hookline.executions.rate_limits import StepRates
from hookline.executions.waiting_callers import Replies
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.body_checker import BodyChecker
from hookline.kernel.clocks import Clock
from hookline.kernel.logs import Log
from hookline.kernel.ongoing_problem import OngoingProblem
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Envelope, Message
from hookline.plugin_host.engine_failures import is_engine_failure
from hookline.plugin_host.large_value_work import Offloader
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.sdk.action import Action, ClientRate
from hookline.sdk.context_parts import Resources
from hookline.sdk.http_client import HttpClient
from hookline.secrets.redaction import NO_REDACTION, NoRedaction, Redaction
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import Accept, Accepted, Change, CommitResult
from hookline.storage.cluster import Alone, Membership
from hookline.storage.store import Store
from hookline.telemetry.live_events import Events
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.store_problem import StoreProblem

StubFunction: TypeAlias = Callable[[], Awaitable[Any]]
"""Gives the prepared result of an action, a foreach or a batch. Raises StepError."""


class Effects:
    """The effects that steps have outside the engine. These are real; those of a simulation are stubs."""

    def rate(self, action: Action) -> ClientRate | None:
        """The rate limit of the service that an action calls."""
        return action.rate

    def is_engine_failure(self, error: BaseException) -> bool:
        """Return True if an error inside an action is a failure of the engine, so that the action is tried again."""
        return is_engine_failure(error)

    def stub_action(
        self, execution_id: str, path: str, attempt: int, action: Action, settings: Any
    ) -> StubFunction | None:
        """The stub of an action with these settings; None if the action runs itself, as always in a real run."""
        return None

    def stub_for_missing_file(
        self, execution_id: str, path: str, attempt: int, action: Action, settings: Any
    ) -> StubFunction | None:
        """The stub of an action that has requested a missing file; None if it has none, as always in a real run."""
        return None

    def stub_items(
        self, execution_id: str, path: str, block: CompiledForeach, items: list[Any] | Stream
    ) -> StubFunction | None:
        """The stub for all items of a foreach; None if the items run, as always in a real run. May raise StepFailed."""
        return None

    def stub_batch(self, execution_id: str, path: str, attempt: int) -> StubFunction | None:
        """The stub of a batch, which gives a Reply or BatchJoined; None if the step waits for other executions, as
        always in a real run."""
        return None

    def flow_started(self, execution_id: str, path: str, attempt: int) -> None:
        """Note that a step is about to start an execution of another flow. Does nothing in a real run."""

    def execution_ended(self, execution_id: str, message: Message) -> None:
        """Note that an execution is about to end with a message. Does nothing in a real run."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the engine, as one frozen record."""

    store: Store
    blobs: Blobs
    http: HttpClient
    resources: Resources
    credentials: CredentialLookup
    replies: Replies
    find_flow: Callable[[str], CompiledFlow]
    """Returns the flow to call. Raises FlowNotFound, also if it is stopped, and FlowInvalid if it can't run."""
    emit: Callable[[CompiledFlow, Envelope], Awaitable[Accept]]
    """Returns the change that starts an execution, for `commit` with the change that causes it. Raises
    SchemaViolation."""
    note_emitted: Callable[[str], None]
    """Counts an execution of `emit` as queued; takes the flow's id."""
    cancel: Callable[[str], Awaitable[None]]
    """Cancels an execution. Raises ExecutionNotFound, IllegalStateChange if it has ended, and StoreError."""
    clock: Clock
    metrics: Metrics
    log: Log
    store_problem: StoreProblem
    files_root: Path | None
    plugin_calls: PluginCalls
    new_id: Callable[[], str]
    """Makes an id for stored data."""
    body_checker: BodyChecker = field(default_factory=BodyChecker)
    """Checks the bodies of messages by the schemas of their flows."""
    offloader: Offloader = field(default_factory=Offloader)
    """Runs work on large messages in a thread."""
    events: Events = field(default_factory=Events)
    """Is told about each stored change."""
    redaction: Redaction | NoRedaction = NO_REDACTION
    """Encrypts redacted values; a simulation stores nothing, and so redacts nothing."""
    engine_failures: OngoingProblem = field(init=False)
    """Failures of the engine in the middle of a step."""
    rates: StepRates = field(default_factory=StepRates)
    """The rate limits of steps."""
    tokens: AccessTokens | None = None
    """Gives access tokens of credentials; None in simulations."""
    effects: Effects = field(default_factory=Effects)
    membership: Membership = field(default_factory=Alone)
    """Tells whether this node may still run what it runs."""
    step_timeout: timedelta | None = None
    """The time limit of a step whose flow sets none."""

    @property
    def credential_access(self) -> CredentialAccess:
        """The one way to use a credential."""
        return CredentialAccess(self.credentials, self.http, self.resources, self.tokens)

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        """Commit changes as the store does, and count the executions of `emit` among them.

        They are counted only now, because a commit that fails may be repeated by a delivery that begins anew.
        """
        results = await self.store.commit(changes)
        for change, result in zip(changes, results, strict=True):
            if isinstance(change, Accept) and isinstance(result, Accepted):
                self.note_emitted(change.envelope.flow_id)
        return results

    def __post_init__(self) -> None:
        problem = OngoingProblem(
            self.log,
            self.clock,
            "the engine can't do its part of a step; trying again",
            "the engine can do its part of steps again",
        )
        object.__setattr__(self, "engine_failures", problem)
