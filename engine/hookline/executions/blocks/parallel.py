"""The parallel block: concurrent branches."""

from functools import partial
from typing import Any

import msgspec

from hookline.executions.blocks.block_expressions import RunSteps
from hookline.executions.blocks.concurrent_parts import end_early, known_failure, known_stop, run_concurrently
from hookline.executions.execution_context import Blocked, Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import SUPERSEDED, Interrupted, Interruption
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.model.execution import ErrorInfo, StepState
from hookline.model.message import Message


async def run_parallel(run: ExecutionContext, step: CompiledParallel, frame: Frame, run_steps: RunSteps) -> Ending:
    """Run branches concurrently, each with the message that reached the block; the body becomes `{branch: result}`.

    A filtered branch gives no result. The first failure ends the others, unless the block has `"on_error": "continue"`:
    then the failure is in `steps.<id>.errors`. The block waits when all remaining branches wait.
    """
    branches = _Branches(run, step, frame, run_steps)
    with frame.interruption.child() as together:
        return await branches.run(together)


class _Branches:
    def __init__(self, run: ExecutionContext, step: CompiledParallel, frame: Frame, run_steps: RunSteps) -> None:
        self._run = run
        self._step = step
        self._frame = frame
        self._run_steps = run_steps
        self._endings: dict[str, Ending] = {}
        self._results: dict[str, Any] = {}
        self._errors: dict[str, ErrorInfo] = {}
        self._latest = frame.now

    async def run(self, together: Interruption) -> Ending:
        frame, step = self._frame, self._step
        failure, stopped = known_failure(self._run, frame, step.id), known_stop(self._run, frame, step.id)
        if failure is not None or stopped:
            together.interrupt(SUPERSEDED)
        left = await run_concurrently([partial(self._branch, name, together) for name in step.branches], together)
        frame.now = self._latest
        if isinstance(left, StepFailed):
            failure = failure or left
        stopped = stopped or Ending.STOPPED in self._endings.values()
        ending = failure is not None or stopped or together.cause is not None
        failed_later = await self._end_waiting(together) if ending else None
        early = end_early(
            self._run,
            frame,
            step.id,
            "parallel",
            failure=failure or failed_later,
            stopped=stopped,
            ending=ending,
            waits=Ending.WAITING in self._endings.values(),
        )
        return self._finish() if early is None else early

    async def _branch(self, name: str, together: Interruption) -> None:
        frame, step = self._frame, self._step
        inner = frame.branch(
            step.id,
            steps=dict(frame.steps),
            lenient=frame.lenient or step.on_error == "continue",
            interruption=together,
        )
        try:
            ending = await self._run_steps(self._run, step.branches[name], inner)
        except StepFailed as failed:
            if step.on_error == "fail":
                raise
            self._errors[name], ending = failed.error, Ending.FILTERED
        except Blocked as cause:
            self._run.progress.block(str(cause))
            ending = Ending.WAITING
        self._endings[name] = ending
        self._latest = max(self._latest, inner.now)
        if ending is Ending.DONE:
            self._results[name] = inner.message.body
        elif ending is Ending.STOPPED:
            together.interrupt(SUPERSEDED, cut=False)
        await self._run.journal.commit_unrecomputable()

    async def _end_waiting(self, together: Interruption) -> StepFailed | None:
        """Let the waiting branches run their `finally` steps; return the first failure."""
        together.interrupt(SUPERSEDED)
        failure: StepFailed | None = None
        for name in [name for name, ending in self._endings.items() if ending is Ending.WAITING]:
            self._endings[name] = Ending.FILTERED
            try:
                await self._branch(name, together)
            except StepFailed as failed:
                failure = failure or failed
            except Interrupted:
                continue
        return failure

    def _finish(self) -> Ending:
        frame, step = self._frame, self._step
        # In the order of the document.
        body = {name: self._results[name] for name in step.branches if name in self._results}
        frame.message = Message(body, {}, frame.message.attachments)
        view: dict[str, Any] = {"body": body}
        if self._errors:
            view["errors"] = {
                name: msgspec.to_builtins(self._errors[name]) for name in step.branches if name in self._errors
            }
        frame.steps[step.id] = view
        self._run.journal.record_computed(frame.prefix + step.id, "parallel", StepState.SUCCEEDED, output=view)
        return Ending.DONE
