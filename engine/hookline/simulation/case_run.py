"""Running the cases of flows, one after the other: as in production, with nothing outside, and with time that leaps."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar

from hookline.catalog.folder_catalog import FolderCatalog
from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import simulation_envelope
from hookline.kernel.clocks import SystemClock
from hookline.kernel.errors import ConfigError, FlowInvalid, HooklineError
from hookline.kernel.ids import derived_id
from hookline.kernel.json import encode
from hookline.model.execution import ErrorInfo, Outcome, StepRecord
from hookline.model.message import Arrival, Attachment, CallerReply, Envelope, Message
from hookline.simulation.cases import Case, InputAttachment
from hookline.simulation.clock import START, CaseClock, CaseLoop
from hookline.simulation.expectations import compare_with_case
from hookline.simulation.result import SimulatedCall, SimulationResult
from hookline.simulation.simulation import Simulation
from hookline.simulation.stubs import CaseStubs, Outside
from hookline.storage.blobs import Blobs

T = TypeVar("T", bound=Outside)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """The result of a case; it passed if nothing differs."""

    flow_id: str
    name: str
    outcome: Outcome | None
    body: Any
    error: ErrorInfo | None
    reply: CallerReply | None
    steps: Mapping[str, Sequence[StepRecord]]
    """All entries that the journal ever held, by path."""
    path: tuple[str, ...]
    calls: tuple[SimulatedCall, ...]
    took: timedelta
    """The simulated duration."""
    ran: float
    """Seconds that running it took."""
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True if everything was as expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class CaseRun:
    """A simulated flow: the message that it got, and the result."""

    envelope: Envelope
    result: SimulationResult


@contextmanager
def open_runner(registry: Registry) -> Iterator["CaseRunner"]:
    """Open a runner whose files are in a temporary folder. Raises ConfigError if no plugin can store files there."""
    factory = registry.blob_stores.get("file")
    if factory is None:
        raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
    with (
        tempfile.TemporaryDirectory(prefix="hookline-simulation-") as folder,
        CaseRunner(registry, factory(f"file://{folder}", clock=SystemClock())) as runner,
    ):
        yield runner


class CaseRunner:
    """Runs cases and other simulations on an event loop of its own; it can't be used inside another loop."""

    def __init__(self, registry: Registry, blobs: Blobs) -> None:
        self._registry = registry
        self._blobs = blobs
        self._loop = CaseLoop()
        self._runner = asyncio.Runner(loop_factory=lambda: self._loop)
        self._folders: dict[Path, FolderCatalog] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the loop and the blobs."""
        self._runner.run(self._blobs.close())
        self._runner.close()

    def run(self, flow: CompiledFlow, case: Case, folder: Path | None) -> CaseResult:
        """Run a case; `folder` has its files, and the flows that its flow calls, if there are any."""
        return self._runner.run(self._case(flow, case, folder))

    def simulate(self, flow: CompiledFlow, case: Case, stubs: CaseStubs) -> CaseRun:
        """Run a flow on the input of a case, whatever the case expects; `stubs` give the results of steps with effects.

        There are no files except those in the input, and no flows to call.
        """
        return self._runner.run(self._simulate(flow, case, stubs, None))

    def replay(
        self,
        flow: CompiledFlow,
        envelope: Envelope,
        outside: Callable[[CaseClock], T],
        folder: Path | None,
    ) -> tuple[SimulationResult, T]:
        """Run a flow on a message from `accepted_at` on, against a recording; `outside` makes its answers."""
        clock = CaseClock(envelope.accepted_at)
        answers = outside(clock)
        simulation = self._simulation(flow, answers, clock, folder, envelope.execution_id)
        return self._runner.run(simulation.run(envelope)), answers

    async def _case(self, flow: CompiledFlow, case: Case, folder: Path | None) -> CaseResult:
        began, stubs = monotonic(), CaseStubs(case, self._registry)
        ended = (await self._simulate(flow, case, stubs, folder)).result
        return CaseResult(
            flow.id,
            case.name,
            ended.outcome,
            ended.body,
            ended.error,
            ended.reply,
            ended.steps,
            ended.path,
            ended.calls,
            ended.took,
            monotonic() - began,
            compare_with_case(case, ended),
        )

    async def _simulate(self, flow: CompiledFlow, case: Case, stubs: CaseStubs, folder: Path | None) -> CaseRun:
        clock = CaseClock(case.now or START)
        now = clock.now()
        flow = replace(flow, vars={**flow.vars, **case.vars})
        arrival = Arrival(
            use=flow.trigger.use,
            method=_method(flow, case),
            path=case.input.path,
            query=dict(case.input.query),
            received_at=now,
            verified_by="test case",
        )
        message, execution_id = await self._message(case, folder), derived_id(now, flow.id, case.name)
        envelope = simulation_envelope(flow, message, arrival, execution_id=execution_id, now=now)
        state = {key: encode(value) for key, value in case.state.items() if value is not None}
        ended = await self._simulation(flow, stubs, clock, folder, case.name, state).run(envelope)
        return CaseRun(envelope, replace(ended, missing=(*stubs.missing, *ended.missing)))

    def _simulation(
        self,
        flow: CompiledFlow,
        outside: Outside,
        clock: CaseClock,
        folder: Path | None,
        seed: str,
        state: Mapping[str, bytes] | None = None,
    ) -> Simulation:
        self._loop.clock = clock
        return Simulation(
            flow,
            outside,
            clock=clock,
            registry=self._registry,
            blobs=self._blobs,
            others=lambda flow_id: self._beside(folder, flow_id),
            seed=f"{flow.id}\n{seed}",
            state=state,
        )

    def _beside(self, folder: Path | None, flow_id: str) -> CompiledFlow | None:
        """Return another flow of the folder. Raises FlowInvalid if it is broken."""
        if folder is None:
            return None
        catalog = self._folders.get(folder)
        if catalog is None:
            catalog = self._folders[folder] = FolderCatalog(folder, self._registry)
            catalog.refresh()
        entry = catalog.entries.get(flow_id)
        if entry is not None and entry.flow is None:
            raise FlowInvalid(entry.errors)
        return None if entry is None else entry.flow

    async def _message(self, case: Case, folder: Path | None) -> Message:
        attachments = [await self._attachment(given, folder) for given in case.input.attachments]
        headers = {name.lower(): value for name, value in case.input.headers.items()}
        return Message(case.input.body, headers, tuple(attachments))

    async def _attachment(self, given: InputAttachment, folder: Path | None) -> Attachment:
        if given.file is not None:
            if folder is None:
                raise HooklineError(f"attachment {given.name!r}: no files can be read here; give its content")
            try:
                content = await asyncio.to_thread((folder / given.file).read_bytes)
            except OSError as error:
                raise HooklineError(f"attachment {given.name!r}: {error}") from error
        else:
            content = (given.content or "").encode()
        writer = await self._blobs.create()
        try:
            await writer.write(content)
            blob = await writer.commit()
        finally:
            await writer.abort()
        return Attachment(blob.id, given.name, given.filename or given.file, given.type, blob.size, blob.sha256)


def _method(flow: CompiledFlow, case: Case) -> str | None:
    webhook = flow.trigger.webhook
    if webhook is None:
        return None
    return case.input.method or ("POST" if "POST" in webhook.methods else webhook.methods[0])
