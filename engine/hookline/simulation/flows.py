"""The flows of a simulation: the simulated flow, and those that it calls."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import FlowNotFound
from hookline.model.message import Envelope
from hookline.storage.change_declarations import Accept, Publish


class SimulatedFlows:
    """The simulated flow and the flows that it calls, each in one version."""

    def __init__(
        self,
        flow: CompiledFlow,
        others: Callable[[str], CompiledFlow | None],
    ) -> None:
        """`others` returns a flow that may be called."""
        self._flow = flow
        self._others = others
        self._flows: dict[str, CompiledFlow] = {}

    def runs(self, flow_id: str) -> bool:
        """Return true if a called flow runs in the simulation, instead of being stubbed."""
        return flow_id == self._flow.id or flow_id in self._flows

    # The methods that the runner calls.

    def current(self, flow_id: str) -> CompiledFlow:
        """Return the only version of a flow. Raises FlowNotFound."""
        flow = self._flow if flow_id == self._flow.id else self._flows.get(flow_id)
        if flow is None:
            raise FlowNotFound(f"there is no flow {flow_id!r}")
        return flow

    async def version(self, flow_id: str, version: str) -> CompiledFlow:
        """Return the only version of a flow, whatever `version` is."""
        return self.current(flow_id)

    def publish_changes(self, flow: CompiledFlow, at: datetime) -> tuple[Publish, ...]:
        """Return no changes, since versions aren't stored."""
        return ()

    # The methods with which steps call other flows.

    def flow(self, flow_id: str) -> CompiledFlow:
        """Return a flow to call. For a missing one, it is one that accepts everything and is answered from outside."""
        if flow_id == self._flow.id:
            return self._flow
        found = self._others(flow_id)
        if found is not None:
            self._flows[flow_id] = found
            return found
        settings = replace(self._flow.settings, callable_by=())
        return replace(
            self._flow,
            id=flow_id,
            settings=settings,
            schema=None,
            order_by=None,
            on_error_flow=None,
            on_error_steps=(),
        )

    async def emit(self, flow: CompiledFlow, envelope: Envelope) -> Accept:
        """Return the change that starts an execution."""
        return Accept(envelope)
