"""Steps that wait for calls, as the outside names them: by the token in their URL."""

from collections.abc import Callable
from dataclasses import dataclass

from hookline.catalog.version_resolver import FlowVersions
from hookline.flows.blocks.webhook_wait import WaitNode
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.kernel.cancellation import uninterrupted
from hookline.kernel.errors import CannotTake, FlowInvalid, FlowNotFound, TokenUnknown, WaitOver
from hookline.model.execution import FINAL, Execution
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.storage.merge_ports_changes_callbacks import CallBack, CallbackOutcome, Called
from hookline.storage.queue import Queue
from hookline.storage.store import Store


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step of an execution that waits, will wait, or has waited."""

    flow: CompiledFlow
    """The version that the execution runs on, or would."""
    node: WaitNode
    execution_id: str
    path: str
    over: bool
    """The execution has ended."""


class WaitingSteps:
    """Finds steps that wait, and hands them what comes for them."""

    def __init__(
        self, store: Store, queue: Queue, versions: FlowVersions, tokens: ResumeTokens, is_open: Callable[[], bool]
    ) -> None:
        """`is_open`: whether anything is taken now."""
        self._store = store
        self._queue = queue
        self._versions = versions
        self._tokens = tokens
        self._is_open = is_open

    async def named(self, token: str) -> WaitingStep:
        """The step of a token.

        Raises TokenUnknown, CannotTake where the version that its execution runs on can't be had now, WaitOver where
        it can't be had and isn't needed any more, and StoreError.
        """
        named = self._tokens.read(token)
        if named is None:
            raise TokenUnknown
        if not self._is_open():
            raise CannotTake("the server is starting or stopping", retry_after=5)
        execution_id, path = named
        execution = await self._store.execution(execution_id)
        if execution is None:
            raise TokenUnknown
        flow = await self._flow(execution)
        node = flow.waits.get(path.rpartition("/")[2])
        if node is None:
            raise TokenUnknown
        return WaitingStep(flow, node, execution_id, path, execution.state in FINAL)

    async def call_back(self, callback: CallBack) -> CallbackOutcome:
        """Make what came for a step that waits durable, and let its execution go on. Raises StoreError."""
        # Whoever called may hang up meanwhile: what is durable must wake its execution all the same.
        return await uninterrupted(self._call_back(callback))

    async def _call_back(self, callback: CallBack) -> CallbackOutcome:
        (outcome,) = await self._store.commit((callback,))
        assert isinstance(outcome, CallbackOutcome)  # noqa: S101 - a CallBack gives no other
        if isinstance(outcome, Called) and outcome.execution_id is not None:
            await self._queue.wake(callback.flow_id, outcome.execution_id)
        return outcome

    async def _flow(self, execution: Execution) -> CompiledFlow:
        try:
            if execution.flow_version is None:
                return self._versions.current(execution.flow_id)
            return await self._versions.version(execution.flow_id, execution.flow_version)
        except (FlowNotFound, FlowInvalid) as error:
            if execution.state in FINAL:
                raise WaitOver from error
            raise CannotTake(
                f"flow {execution.flow_id!r} can't run now; the server's log says why",
                retry_after=60,
                flow_id=execution.flow_id,
            ) from error
