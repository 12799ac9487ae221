"""The runner: run one delivery, from its start or from its journal, to its end or until it waits."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final, Protocol

from hookline.executions.blocks.on_error_steps import run_on_error
from hookline.executions.blocks.run_steps import run_steps
from hookline.executions.delivery.loading import (
    BlockedAtLoad,
    ExecutionLoader,
    LoadedExecution,
    LoadFailed,
    Versions,
)
from hookline.executions.delivery.unrunnable import LeavingQueue, Unrunnable
from hookline.executions.ending import end, is_patient, park, record_final_reply, tell_caller
from hookline.executions.execution_context import (
    Blocked,
    Ending,
    ExecutionContext,
    Frame,
    HookUrls,
    StepFailed,
)
from hookline.executions.execution_progress import ExecutionProgress
from hookline.executions.interruption import CANCELLED, Interrupted, with_deadline
from hookline.executions.journal.journal import Journal
from hookline.executions.replay_edits import edits_in
from hookline.executions.services import Services
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.cancellation import kept
from hookline.kernel.clocks import jumps_of
from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange, StoreError, VersionOutdated
from hookline.model.execution import ErrorInfo, State
from hookline.model.message import Envelope
from hookline.plugin_host.engine_failures import is_engine_failure
from hookline.plugin_host.plugin_loggers import StepLog
from hookline.secrets.redaction import NO_REDACTOR
from hookline.storage.change_declarations import Change, End, Park
from hookline.storage.queue import Delivery

_ADOPTED: Final = 0.5
"""Seconds until an execution whose flow another node has deployed is tried again: by then, this node may have adopted
the deployment."""


class Waker(Protocol):
    """The part of a Queue that delivers ready executions."""

    async def wake(self, flow_id: str, execution_id: str) -> None:
        """Deliver a parked execution that is ready."""
        ...


class TimerNotifier(Protocol):
    """The part of Timers that learns of new times."""

    def notice(self, at: datetime) -> None:
        """Note that an execution was parked until a time."""
        ...


class Runner:
    """Run executions. Between deliveries, the runner keeps nothing of an execution."""

    def __init__(
        self,
        services: Services,
        versions: Versions,
        queue: Waker,
        timers: TimerNotifier,
        leaving_queue: LeavingQueue,
        hook_urls: HookUrls,
    ) -> None:
        self._services = services
        self._loader = ExecutionLoader(services, versions)
        self._queue = queue
        self._timers = timers
        self._leaving_queue = leaving_queue
        self._hook_urls = hook_urls
        self._unrunnable = Unrunnable(services, versions, self._loader, leaving_queue, self._wake_parent)
        self._cause_epoch = 0
        """Counts the changes that may have ended causes of blocked executions."""
        self._running: dict[str, ExecutionContext | None] = {}
        """The delivered executions; None until the journal is read."""
        self._cancelled: set[str] = set()
        """Executions that must be cancelled as soon as their journal is read."""

    def causes_changed(self) -> None:
        """Note that causes of blocked executions may be gone; to be called at once after such a change."""
        self._cause_epoch += 1

    def cancel(self, execution_id: str) -> None:
        """Interrupt an execution that runs here; its cancellation is already durable."""
        if execution_id not in self._running:
            return
        run = self._running[execution_id]
        if run is None:
            self._cancelled.add(execution_id)
        else:
            run.interruption.interrupt(CANCELLED)
            run.on_error_interruption.interrupt(CANCELLED)

    async def run(self, delivery: Delivery, flow: CompiledFlow | None = None) -> None:
        """Run a delivery until its execution ends or waits, and acknowledge it, or have it delivered again.

        Raises only CancelledError.

        `flow`: given only if the execution was started by its acceptance (`Dispatcher.place`); otherwise the loader
        finds the version.
        """
        self._running[delivery.execution_id] = None
        try:
            await self._run(delivery, flow)
        except StoreError as error:
            await delivery.redeliver(STORE_RETRY)
            self._services.store_problem.report(error, execution_id=delivery.execution_id)
        except VersionOutdated:
            # Another node has deployed the flow. Nothing has happened yet, and this node is about to adopt it.
            await delivery.redeliver(_ADOPTED)
        except (IllegalStateChange, ExecutionNotFound) as error:
            # The execution was ended by someone else, or a failed commit had taken place. The stored state counts:
            # another delivery continues from there, and an ended execution gets none.
            self._services.replies.may_be_stored(delivery.execution_id)
            await delivery.redeliver(STORE_RETRY)
            self._services.log.info(
                "the execution was ended or changed by someone else, or a commit in doubt was stored",
                execution_id=delivery.execution_id,
                error=error.message,
            )
        except Exception as error:  # noqa: BLE001 - it is reported, and the execution ends as failed
            await self._failed(delivery, error)
        finally:
            del self._running[delivery.execution_id]
            self._cancelled.discard(delivery.execution_id)

    async def _failed(self, delivery: Delivery, error: Exception) -> None:
        """Run the execution again if the engine lacks something now; end it as failed after a defect."""
        execution_id, said = delivery.execution_id, f"{type(error).__name__}: {error}"
        if is_engine_failure(error):
            await delivery.redeliver(STORE_RETRY)
            self._services.engine_failures.noticed(execution_id=execution_id, flow_id=delivery.flow_id, error=said)
            return
        run = self._running[execution_id]
        redactor = NO_REDACTOR if run is None else run.redactor
        info = ErrorInfo("engine.defect", f"the engine has a defect: {said}")
        log = StepLog(self._services.log, execution_id, delivery.flow_id, "", redactor)
        log.error("defect of the engine", exc_info=True)
        try:
            await self._unrunnable.end(delivery, redactor.mask_error(info))
        except Exception:
            log.error("the execution can't be ended because of another defect", exc_info=True)
            await delivery.redeliver(STORE_RETRY)

    async def _run(self, delivery: Delivery, flow: CompiledFlow | None) -> None:
        # Both are noted before the journal is read: what changes from here on is noticed.
        epoch, clock_jumps = self._cause_epoch, jumps_of(self._services.clock)
        try:
            found = await self._loader.load(delivery, flow)
        except BlockedAtLoad as cause:
            await self._unrunnable.park(delivery, cause)
            await self._acknowledge(delivery, again=epoch != self._cause_epoch)
            return
        except LoadFailed as failure:
            await self._unrunnable.end(delivery, failure.error)
            return
        if found is None:
            # It had ended before: only the acknowledgement was missing.
            await delivery.ack()
            return
        with self._leaving_queue(found.flow.id) if found.leaves_queue else nullcontext() as on_dequeued:
            run = self._begin(found, on_dequeued, clock_jumps)
            try:
                closing = await self._run_and_commit(run)
            finally:
                # The batches that this run has filled are closed durably, however it ends.
                await self._wake_batches(run)
        blocked = run.progress.blocked is not None and isinstance(closing, Park)
        # If the cause went away while the execution was being parked, nothing else wakes it.
        again = blocked and epoch != self._cause_epoch
        await self._acknowledge(delivery, again=again)
        if not again:
            await self._tell_others(run, closing)

    async def _acknowledge(self, delivery: Delivery, *, again: bool) -> None:
        if again:
            await delivery.redeliver(0)
        else:
            await delivery.ack()

    def _begin(
        self, found: LoadedExecution, on_dequeued: Callable[[], None] | None, clock_jumps: int
    ) -> ExecutionContext:
        """Make the context of a run, register it for `cancel`, and interrupt it if it is to be cancelled."""
        services, flow, execution, envelope = self._services, found.flow, found.execution, found.envelope
        now, deadline = services.clock.now(), found.deadline(services.clock.now())
        reopened_after = 0 if execution is None else execution.reopened_after
        journal = Journal(
            envelope.execution_id,
            services,
            found.journal_entries,
            self._loader.first_changes(found, now),
            on_dequeued,
            flow.id,
            found.redactor,
            reopened_after,
        )
        run = ExecutionContext(
            flow=flow,
            envelope=envelope,
            journal=journal,
            services=services,
            progress=ExecutionProgress(partial(services.store.callbacks, envelope.execution_id)),
            started_at=found.started_at(now),
            attempt=1 if execution is None else execution.attempt,
            vars=found.vars,
            deadline=deadline,
            reopened_after=reopened_after,
            clock_jumps=clock_jumps,
            hook_urls=self._hook_urls if flow.wait_places else None,
            edited=edits_in(found.journal_entries) if envelope.arrival.replay_of is not None else {},
        )
        self._running[run.id] = run
        cancelled_at = self._cancelled_at(found, now)
        if cancelled_at is not None:
            run.on_error_interruption.interrupt(CANCELLED)
        # A time limit that was over before decides how the execution ends.
        if cancelled_at is not None and (deadline is None or cancelled_at < deadline):
            run.interruption.interrupt(CANCELLED)
        return run

    def _cancelled_at(self, found: LoadedExecution, now: datetime) -> datetime | None:
        """The time at which its cancellation was asked for; None if it is not to be cancelled."""
        if found.execution is not None and found.execution.cancel_asked_at is not None:
            return found.execution.cancel_asked_at
        return now if found.envelope.execution_id in self._cancelled else None

    async def _run_and_commit(self, run: ExecutionContext) -> End | Park:
        """Run the steps, and commit how that ended."""
        try:
            if run.deadline is None:
                closing, follow_up = await self._run_flow(run)
            else:
                async with with_deadline(run.interruption, self._services.clock, run.deadline):
                    closing, follow_up = await self._run_flow(run)
            if isinstance(closing, End) and not follow_up and is_patient(run):
                closing = replace(closing, patient=True)
            await run.journal.commit_closing(closing, *follow_up)
            if isinstance(closing, End) and closing.state is State.FAILED and closing.error is not None:
                self._log_failure(run, closing.error)
        except asyncio.CancelledError:
            # The engine stops, or has lost its lease. Steps that have finished must not run again.
            await kept(run.journal.try_commit_unrecomputable())
            raise
        return closing

    async def _run_flow(self, run: ExecutionContext) -> tuple[End | Park, tuple[Change, ...]]:
        """Run the flow's steps; return the change that ends or parks the execution, and the changes that follow from
        it."""
        frame = Frame(run.envelope.message, {}, run.started_at, interruption=run.interruption)
        try:
            ending, failed = await self._run_steps(run, frame)
            return await self._closing(run, frame, ending, failed)
        except (IllegalStateChange, ExecutionNotFound):
            raise
        except Exception:
            # Finished work must not be done again when the execution is repeated, also if the store couldn't be read.
            await run.journal.commit_unrecomputable()
            raise

    async def _run_steps(self, run: ExecutionContext, frame: Frame) -> tuple[Ending, StepFailed | Interrupted | None]:
        """Run the flow's steps, and its `on_error` steps if need be; return how they ended, and the failure."""
        failed: StepFailed | Interrupted | None = None
        try:
            try:
                ending = await run_steps(run, run.flow.steps, frame)
            except (StepFailed, Interrupted) as error:
                failed = error
                # `failed` decides how the execution ends; this ending counts only if the `on_error` steps wait.
                ending = await run_on_error(run, frame, error, run_steps)
        except Blocked as cause:
            run.progress.block(str(cause))
            ending = Ending.WAITING
        return ending, failed

    async def _closing(
        self, run: ExecutionContext, frame: Frame, ending: Ending, failed: StepFailed | Interrupted | None
    ) -> tuple[End | Park, tuple[Change, ...]]:
        now = self._services.clock.now()
        if ending is Ending.WAITING:
            if run.interruption.cause is None:
                run.progress.wake_by(run.deadline)
            return park(run, now), ()
        self._services.effects.execution_ended(run.id, frame.message)
        if failed is None:
            record_final_reply(run, frame, ending)
        return await end(run, frame.message, ending, failed, now)

    async def _tell_others(self, run: ExecutionContext, closing: End | Park) -> None:
        """Tell those who wait for what has happened."""
        if isinstance(closing, End):
            self._services.metrics.ended(run.flow.id, closing.state, closing.at - run.envelope.accepted_at)
            tell_caller(run, closing)
            await self._wake_parent(run.envelope)
        elif closing.ready_at is not None:
            # The time may have come during the commit; the timers only look ahead.
            if closing.ready_at <= self._services.clock.now():
                await self._queue.wake(run.flow.id, run.id)
            else:
                self._timers.notice(closing.ready_at)

    def _log_failure(self, run: ExecutionContext, error: ErrorInfo) -> None:
        self._services.log.warning(
            "execution failed",
            execution_id=run.id,
            flow_id=run.flow.id,
            step=error.step,
            code=error.code,
            error=error.message,
        )

    async def _wake_batches(self, run: ExecutionContext) -> None:
        """Wake the executions that lead the batches that this run has closed."""
        for leader in run.progress.wakes:
            await self._queue.wake(run.flow.id, leader)

    async def _wake_parent(self, envelope: Envelope) -> None:
        """Wake the execution whose step waits for the end of this one."""
        parent = envelope.arrival.parent
        if parent is not None and parent.waits_at is not None:
            await self._queue.wake(parent.flow_id, parent.execution_id)
