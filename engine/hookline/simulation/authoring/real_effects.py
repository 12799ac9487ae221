"""Trying a document with real effects: its actions run as in production, with credentials, but nothing is stored."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hookline.discovery.registry import Registry
from hookline.executions.services import Services
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import simulation_envelope
from hookline.kernel.json import encode
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Arrival, Message
from hookline.sdk.action import Action
from hookline.simulation.authoring.jobs import TryResult
from hookline.simulation.authoring.try_document import try_result
from hookline.simulation.cases import Case
from hookline.simulation.clock import RealClock
from hookline.simulation.simulation import Simulation
from hookline.simulation.stubs import CaseStubs, FinishedStub, NeverFinishedStub, PreparedStub


class PinnedStubs(CaseStubs):
    """The stubs of a run with real effects: only steps that have one are stubbed."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> PreparedStub | None:
        """The stub's result, or its error."""
        return super().call(path, attempt, action, settings) if self.has(path) else None

    def items(self, path: str, block: CompiledForeach, items: list[Any] | Stream) -> PreparedStub | None:
        """The stub's result, or its error."""
        return super().items(path, block, items) if self.has(path) else None

    def flow(self, path: str, attempt: int, flow_id: str) -> FinishedStub | NeverFinishedStub | None:
        """The stub's result, or its error."""
        return super().flow(path, attempt, flow_id) if self.has(path) else None


@dataclass(frozen=True, slots=True)
class RealEffects:
    """Tries documents on the event loop of an engine, with the engine's services."""

    services: Services
    registry: Registry
    others: Callable[[str], CompiledFlow | None]
    """Returns a flow that may be called; it has real effects, too."""
    seconds: float
    """The seconds after which running steps are cancelled."""

    async def run(self, flow: CompiledFlow, case: Case, message: Message, execution_id: str) -> TryResult:
        """Try a flow on a message, with the stubs, answers, state and vars of a case."""
        flow = replace(flow, vars={**flow.vars, **case.vars})
        clock = RealClock(self.services.clock)
        webhook = flow.trigger.webhook
        arrival = Arrival(
            use=flow.trigger.use,
            method=None if webhook is None else case.input.method or webhook.methods[0],
            path=case.input.path,
            query=dict(case.input.query),
            received_at=clock.start,
            verified_by="try",
        )
        envelope = simulation_envelope(flow, message, arrival, execution_id=execution_id, now=clock.start)
        simulation = Simulation(
            flow,
            PinnedStubs(case, self.registry),
            clock=clock,
            registry=self.registry,
            blobs=self.services.blobs,
            others=self.others,
            seed=execution_id,
            state={key: encode(value) for key, value in case.state.items() if value is not None},
            real=self.services,
        )
        try:
            ended = await simulation.run(envelope, self.seconds)
        finally:
            clock.close()
        return try_result(flow, envelope, ended, ())
