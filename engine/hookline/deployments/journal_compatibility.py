"""The compatibility of an execution's journal with another version of its flow.

A journal is compatible if a dry run of the version, from the top, reaches each step that has been done at the same path
and with the same `use`, before it reaches a step that hasn't been done. The dry run takes the results of finished steps
from the journal and computes pure steps again. It calls and stores nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from hookline.deployments.journal_dry_run import DryRun
from hookline.executions.blocks.on_error_steps import run_on_error
from hookline.executions.blocks.run_steps import run_steps
from hookline.executions.execution_context import Blocked, ExecutionContext, Frame, HookUrls, StepFailed
from hookline.executions.execution_progress import ExecutionProgress
from hookline.executions.interruption import Interrupted
from hookline.executions.journal.journal import Journal
from hookline.executions.journal.uncommitted import TakenWork
from hookline.executions.replay_edits import edits_in
from hookline.executions.services import Services
from hookline.flows.blocks.step_walkers import find_step
from hookline.flows.compiler.compile import ON_ERROR_PREFIX
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import IllegalStateChange
from hookline.model.execution import ErrorInfo, Execution, StepRecord, StepState
from hookline.model.message import Envelope, with_numbers
from hookline.sdk.action import Action
from hookline.storage.change_declarations import Change, CommitResult


@dataclass(frozen=True, slots=True)
class Compatibility:
    """The result of a compatibility check."""

    step: str | None = None
    """The path of the first incompatible step; None if all steps are compatible."""
    reason: str | None = None
    """The reason why that step is incompatible."""
    stops: tuple[str, ...] = ()
    """The paths of the steps at which the execution would continue or wait; empty if it would end."""

    @property
    def ok(self) -> bool:
        """True if the journal is compatible."""
        return self.reason is None


class CompatibilityChecker:
    """Check journals against versions of flows by dry runs."""

    def __init__(self, services: Services, actions: Mapping[str, Action], hook_urls: HookUrls) -> None:
        """`actions`: all installed actions."""
        self._services = services
        self._actions = actions
        self._hook_urls = hook_urls

    async def check(
        self,
        flow: CompiledFlow,
        execution: Execution,
        envelope: Envelope,
        past: Sequence[StepRecord],
        *,
        retried: bool = False,
    ) -> Compatibility:
        """Check the journal of a started execution against a version.

        `retried`: check the state after a retry by an operator. Raises StoreError, and NotReplayable and
        RedactedUnreadable if redacted values aren't available.
        """
        envelope, past, redactor = self._services.redaction.decrypt(flow.redaction_rules, envelope, past)
        reopened_after = past[-1].seq if retried and past else execution.reopened_after
        under_way = await self._services.store.progress(execution.id)
        walk = DryRun(past, under_way, self._is_pure, reopened_after)
        started_at = execution.started_at or execution.created_at
        run = ExecutionContext(
            flow=flow,
            envelope=with_numbers(envelope, exact=flow.exact),
            journal=_DryJournal(execution.id, self._services, past, (), redactor=redactor),
            services=self._services,
            progress=ExecutionProgress(partial(self._services.store.callbacks, execution.id)),
            started_at=started_at,
            attempt=execution.attempt + retried,
            vars=flow.vars,
            reopened_after=reopened_after,
            hook_urls=self._hook_urls if flow.wait_places else None,
            gate=walk,
            edited=edits_in(past),
        )
        failed = await _walk(run, started_at)
        return _judge(run, walk, failed)

    def _is_pure(self, use: str) -> bool:
        action = self._actions.get(use)
        return action is not None and action.pure


async def _walk(run: ExecutionContext, started_at: datetime) -> ErrorInfo | str | None:
    """Run as far as possible; return the error, or the text that says what is missing."""
    frame = Frame(run.envelope.message, {}, started_at, interruption=run.interruption)
    try:
        await run_steps(run, run.flow.steps, frame)
    except Blocked as cause:
        return str(cause)
    except (StepFailed, Interrupted) as failure:
        try:
            await run_on_error(run, frame, failure, run_steps)
        except Blocked as cause:
            return str(cause)
        return failure.error if isinstance(failure, StepFailed) else None
    return run.progress.blocked


def _judge(run: ExecutionContext, walk: DryRun, failed: ErrorInfo | str | None) -> Compatibility:
    flow, stops = run.flow, tuple(walk.stops)
    for path, against in walk.conflicts.items():
        return Compatibility(path, f"step {path!r} doesn't fit version {flow.version}: {against}", stops)
    if not walk.unreached:
        return Compatibility(stops=stops)
    path = walk.unreached[0]
    steps = flow.on_error_steps if path.startswith(ON_ERROR_PREFIX) else flow.steps
    if find_step(steps, path.removeprefix(ON_ERROR_PREFIX)) is None:
        why = "has no such step there"
    elif (skipped := _skipped(run.journal, path)) is not None:
        why = f"skips {skipped!r}: its `when` is false"
    elif stops:
        why = f"comes to {stops[0]!r} before it"
    elif isinstance(failed, ErrorInfo):
        why = f"fails before it comes to it, at {failed.step!r}: {failed.message}"
    elif failed is not None:
        why = f"can't be computed here: {failed}"
    else:
        why = "doesn't come to it: a condition on the way there doesn't hold"
    return Compatibility(path, f"step {path!r} has been done, and version {flow.version} {why}", stops)


def _skipped(journal: Journal, path: str) -> str | None:
    """The path of the step, or of the block around it, that the dry run has skipped."""
    while path:
        record = journal.last_entry(path)
        if record is not None and record.state is StepState.SKIPPED:
            return path
        path = path.rpartition("/")[0]
    return None


class _DryJournal(Journal):
    """A journal that stores nothing."""

    async def _commit(
        self, taken: TakenWork, more: tuple[Change, ...] = (), *, once: bool = False
    ) -> Sequence[CommitResult]:
        if more:
            raise IllegalStateChange("a walk in which nothing is done has asked for a change")
        return ()
