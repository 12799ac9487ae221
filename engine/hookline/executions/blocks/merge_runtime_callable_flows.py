"""The flows that steps call, and those that take care of failures."""

from collections.abc import Awaitable, Callable

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.intake import Intake
from hookline.kernel.errors import ExecutionNotFound, FlowNotFound, IllegalStateChange
from hookline.model.message import Envelope
from hookline.storage.merge_ports_changes_accept import Accept


class CallableFlows:
    """Starts executions of the engine's own, and ends those that are no longer wanted."""

    def __init__(
        self, current: Callable[[str], CompiledFlow], intake: Intake, cancel: Callable[[str], Awaitable[None]]
    ) -> None:
        """`current` gives a flow's current version, `cancel` ends an execution; both raise as `Engine`'s do."""
        self._current = current
        self._intake = intake
        self._cancel = cancel

    def flow(self, flow_id: str) -> CompiledFlow:
        """Raises FlowNotFound where there is none or it is stopped, and FlowInvalid where it can't run."""
        flow = self._current(flow_id)
        if self._intake.is_stopped(flow):
            raise FlowNotFound(f"flow {flow_id!r} is stopped")
        return flow

    def emit(self, flow: CompiledFlow, envelope: Envelope) -> Accept:
        """The change that starts an execution, to be committed with what starts it. Raises SchemaViolation."""
        return self._intake.emit(flow, envelope)

    async def cancel(self, execution_id: str) -> None:
        """Let an execution end as cancelled, unless it has ended. Raises StoreError."""
        try:
            await self._cancel(execution_id)
        except (ExecutionNotFound, IllegalStateChange):
            return
