"""The simulation of a flow: the engine's own runner over a store in memory, in simulated time, without effects."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, Final, cast

import structlog

from hookline.discovery.registry import Registry
from hookline.executions.delivery.runner import Runner
from hookline.executions.ending import parent_callback
from hookline.executions.services import Effects, Services, StubFunction
from hookline.executions.waiting_callers import Replies, read_reply
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange, StepError
from hookline.kernel.ids import Ids
from hookline.model.execution import FINAL, Outcome, State
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Envelope, Message
from hookline.outbound.client import PooledClient
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.plugin_host.resources import EngineResources
from hookline.sdk.action import Action, ClientRate
from hookline.simulation.clock import CaseClock
from hookline.simulation.flows import SimulatedFlows
from hookline.simulation.memory_store import MemoryStore, YieldingStore
from hookline.simulation.queue import SimulatedQueue
from hookline.simulation.result import SimulatedCall, SimulationRecord, SimulationResult
from hookline.simulation.simulated_callbacks import SimulatedCallbacks
from hookline.simulation.stubs import Outside
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import (
    Accept,
    AddState,
    BeginWait,
    Cancel,
    Change,
    End,
    JoinBatch,
    RecordSteps,
    SetState,
)
from hookline.storage.store import Store
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.store_problem import StoreProblem

_HOOKS: Final = "https://hookline.test/resume"
#: Log lines of a simulated flow are dropped: they would mix with the output of a command.
_LOG: Final = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


class _NoCredentials:
    def get(self, name: str, flow_id: str | None) -> Any:
        raise StepError(f"credential {name!r}: actions that use credentials don't run here", code="case.stub")


class Simulation(Effects):
    """Runs one execution, and those that it starts. It needs a `CaseLoop` with the simulation's clock."""

    def __init__(
        self,
        flow: CompiledFlow,
        outside: Outside,
        *,
        clock: CaseClock,
        registry: Registry,
        blobs: Blobs,
        others: Callable[[str], CompiledFlow | None] = lambda flow_id: None,
        seed: str = "",
        state: Mapping[str, bytes] | None = None,
        real: Services | None = None,
    ) -> None:
        """`others` returns the flows that may be called; calls of other flows are answered from outside.

        `state`: JSON of the flow state at the start, by key. `real`: the services of an engine, with which steps
        without stubs have real effects; their executions are in memory all the same. The clock is then a `RealClock`.
        """
        self._flow = flow
        self._outside = outside
        self._clock = clock
        self._store = MemoryStore(self._committed) if real is None else YieldingStore(self._committed)
        self._kept = dict(state or {})
        self._retries = outside.retries
        self._ids = Ids(clock, Random(seed).getrandbits)  # noqa: S311 - the same case has the same ids each time
        self._replies = Replies()
        self._real = real
        self._http = PooledClient(clock=clock, blobs=blobs)
        self._main = ""
        self._bodies: dict[str, Any] = {}
        self._took: timedelta | None = None
        self._record = SimulationRecord()
        self._flows = SimulatedFlows(flow, others)
        self._queue = SimulatedQueue(
            self._store, clock, self._record.knows, lambda delivery: self._runner.run(delivery)
        )
        self._answers = SimulatedCallbacks(
            outside,
            flows=self._flows,
            queue=self._queue,
            record=self._record,
            store=self._store,
            clock=clock,
            new_id=self._ids.new,
        )
        metrics = Metrics()
        services = Services(
            # It implements the part of `Store` that running executions use.
            store=cast(Store, self._store),
            blobs=blobs,
            http=self._http,
            resources=EngineResources(),
            credentials=_NoCredentials(),
            replies=self._replies,
            find_flow=self._flows.flow,
            emit=self._flows.emit,
            note_emitted=lambda flow_id: None,
            cancel=self._cancel,
            clock=clock,
            metrics=metrics,
            log=_LOG,
            store_problem=StoreProblem(cast(Store, self._store), blobs, clock, _LOG),
            files_root=None,
            plugin_calls=PluginCalls(registry, metrics, _LOG),
            new_id=self._ids.new,
            effects=self,
        )
        if real is not None:
            services = self._with_real_effects(services, real)
        self._runner = Runner(services, self._flows, self._queue, self._queue, _leaving_queue, _hook_url)

    def _with_real_effects(self, own: Services, real: Services) -> Services:
        """Return the services of an engine, except those that store executions."""
        return replace(
            own,
            blobs=real.blobs,
            http=real.http,
            resources=real.resources,
            credentials=real.credentials,
            tokens=real.tokens,
            plugin_calls=real.plugin_calls,
            files_root=real.files_root,
            offloader=real.offloader,
            body_checker=real.body_checker,
            rates=real.rates,
            step_timeout=real.step_timeout,
        )

    async def run(self, envelope: Envelope, limit: float | None = None) -> SimulationResult:
        """Run an execution until it has ended, nothing more can happen, or `limit` seconds have passed."""
        self._main = envelope.execution_id
        self._record.begin(self._main, "")
        webhook = self._flow.trigger.webhook
        with self._replies.expect(self._main):
            if webhook is None:
                self._replies.close()
            now = self._clock.now()
            kept = [SetState(self._flow.id, key, value, now) for key, value in self._kept.items()]
            await self._store.commit([*kept, Accept(envelope)])
            waits = [asyncio.ensure_future(event.wait()) for event in (self._queue.over, self._clock.stuck)]
            try:
                await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # From now on nothing is delivered, even if only the time limit was reached.
                self._queue.over.set()
                for wait in waits:
                    wait.cancel()
                await asyncio.gather(*waits, *self._queue.close(), return_exceptions=True)
        await self._http.close()
        return await self._ended()

    async def _ended(self) -> SimulationResult:
        execution = await self._store.execution(self._main)
        body = self._bodies.get(self._main)
        final = execution is not None and execution.state in FINAL
        own = self._record.own
        reply = next(
            (
                read_reply(record.output, exact=self._flow.exact)
                for path, records in self._record.steps.items()
                for record in records
                if record.use == "reply" and record.output is not None and path in own
            ),
            None,
        )
        return SimulationResult(
            outcome=execution.outcome if execution is not None and final else None,
            body=body.shown if isinstance(body, Stream) else body,
            error=execution.error if execution is not None else None,
            reason=execution.reason if execution is not None else None,
            reply=reply,
            steps=self._record.steps,
            path=tuple(self._record.done),
            calls=tuple(self._record.calls),
            took=self._took if self._took is not None else self._clock.now() - self._clock.start,
            exact=self._flow.exact,
            missing=tuple(self._record.missing),
            unanswered=tuple(self._record.unanswered),
        )

    # The effects of the steps.

    def rate(self, action: Action) -> ClientRate | None:
        """Return the limit of the service that is called; no limit if none is."""
        return None if self._real is None else super().rate(action)

    def is_engine_failure(self, error: BaseException) -> bool:
        """Return False, so that a failure ends the simulation and isn't retried forever."""
        return False

    def stub_action(
        self, execution_id: str, path: str, attempt: int, action: Action, settings: Any
    ) -> StubFunction | None:
        """Return the stub of an action, unless it runs itself."""
        full = self._record.place(execution_id, path)
        stub = self._outside.call(full, attempt, action, settings)
        if stub is not None and stub.call:
            self._record.calls.append(SimulatedCall(full, action.name, settings))
        return None if stub is None else stub.give

    def stub_for_missing_file(
        self, execution_id: str, path: str, attempt: int, action: Action, settings: Any
    ) -> StubFunction | None:
        """Return the stub of an action whose file doesn't exist."""
        stub = self._outside.without_file(self._record.place(execution_id, path), action, settings)
        return None if stub is None else stub.give

    def stub_items(
        self, execution_id: str, path: str, block: CompiledForeach, items: list[Any] | Stream
    ) -> StubFunction | None:
        """Return the stub of all items of a foreach."""
        stub = self._outside.items(self._record.place(execution_id, path), block, items)
        return None if stub is None else stub.give

    def flow_started(self, execution_id: str, path: str, attempt: int) -> None:
        """Note that a step is about to start an execution of another flow."""
        self._outside.starts(self._record.place(execution_id, path))

    def stub_batch(self, execution_id: str, path: str, attempt: int) -> StubFunction | None:
        """Return the stub of a batch; without one, each execution joins."""
        stub = self._outside.gathered(self._record.place(execution_id, path), attempt)
        return None if stub is None else stub.give

    def execution_ended(self, execution_id: str, message: Message) -> None:
        """Note the last body of an execution."""
        self._bodies[execution_id] = message.body

    async def _cancel(self, execution_id: str) -> None:
        envelope = await self._store.envelope(execution_id)
        if envelope is None:
            return
        end = End(execution_id, State.CANCELLED, Outcome.CANCELLED, self._clock.now())
        try:
            await self._store.commit(
                [Cancel(execution_id, end.at, parent_callback(envelope, end, None, self._ids.new()))]
            )
        except (ExecutionNotFound, IllegalStateChange):
            return
        self._runner.cancel(execution_id)
        self._queue.deliver(execution_id)

    # The consequences of commits.

    def _committed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case RecordSteps(id_, records):
                    self._record.note(id_, records)
                case AddState(id_, step):
                    counted = self._store.entry(id_, step.seq)
                    self._record.note(id_, () if counted is None else (counted,))
                case JoinBatch(step):
                    come = self._store.entry(change.execution_id, step.seq)
                    self._record.note(change.execution_id, () if come is None else (come,))
                case Accept(envelope):
                    self._answers.accepted(envelope)
                case BeginWait():
                    self._answers.awaited(change)
                case End(id_, state) if id_ == self._main:
                    if state is State.FAILED and self._retries > 0:
                        self._retries -= 1
                        self._answers.retried(id_)
                        continue
                    self._took = self._clock.now() - self._clock.start
                    self._queue.over.set()
                case _:
                    pass


def _hook_url(execution_id: str, path: str) -> str:
    return f"{_HOOKS}/{execution_id}/{path}"


@contextmanager
def _leaving_queue(_flow_id: str) -> Iterator[Callable[[], None]]:
    yield lambda: None
