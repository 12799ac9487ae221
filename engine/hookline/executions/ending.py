"""The end of a run: the change that ends or parks the execution, and the changes that follow from it."""

from datetime import datetime
from typing import Final

from hookline.executions.completion import AttemptStart, completion_changes
from hookline.executions.context import Ending, ExecutionContext, Frame, StepFailed
from hookline.executions.interruption import CANCELLED, Interrupted
from hookline.executions.replies import FINISHED, Ended, read_reply
from hookline.model.execution import BLOCKED, OUTCOME_UNKNOWN, Outcome, State, StepState
from hookline.model.items import Stream
from hookline.model.message import CallerReply
from hookline.storage.changes import Change, End, Park

#: With this concurrency, an execution that keeps its slot a moment longer delays no other.
_ROOMY: Final = 32
_OUTCOMES: Final = {
    Ending.DONE: Outcome.COMPLETED,
    Ending.FILTERED: Outcome.FILTERED,
    Ending.STOPPED: Outcome.STOPPED,
    Ending.JOINED: Outcome.FILTERED,
}


def park(run: ExecutionContext, now: datetime) -> Park:
    """The change that parks an execution whose steps wait."""
    progress = run.progress
    progress.wait_until(run.deadline, progress.waits_for)
    reason = progress.waits_for if progress.blocked is None else f"{BLOCKED}{progress.blocked}"
    return Park(run.id, now, progress.ready_at, reason, run.interruption.cause is CANCELLED)


async def end(
    run: ExecutionContext, frame: Frame, ending: Ending, failed: StepFailed | Interrupted | None, now: datetime
) -> tuple[End, tuple[Change, ...]]:
    """The change that ends an execution, and those that follow from it."""
    run.services.effects.execution_ended(run.id, frame.message)
    if failed is not None:
        last = _failure(run, failed, now)
    else:
        _reply_when_finished(run, frame, ending)
        last = End(run.id, State.SUCCEEDED, _OUTCOMES[ending], now, waited=run.progress.waited)
    if last.state is not State.FAILED and run.envelope.arrival.parent is None:
        return last, ()
    begun = AttemptStart(run.started_at, run.attempt)
    follows = await completion_changes(run.services, last, run.envelope, run.flow, frame.message, begun, run.redactor)
    return last, follows


def tell_caller(run: ExecutionContext, last: End) -> None:
    """Release a caller that still waits: with the reply of a flow that responds when finished, or without one."""
    replies = run.services.replies
    if not replies.expected(run.id):
        return
    finished = run.journal.past(FINISHED)
    if finished is not None and finished.output is not None:
        replies.deliver(run.id, read_reply(finished.output, exact=run.flow.exact))
    else:
        replies.deliver(run.id, Ended(last.error))


def _failure(run: ExecutionContext, failed: StepFailed | Interrupted, now: datetime) -> End:
    """The end of an execution that failed or was interrupted."""
    if isinstance(failed, Interrupted):
        outcome, error = failed.cause.outcome, failed.cause.error
    else:
        unknown = failed.error.code == OUTCOME_UNKNOWN
        outcome = Outcome.OUTCOME_UNKNOWN if unknown else Outcome.FAILED
        error = run.redactor.mask_error(failed.error)
    if error is None:
        # The last step may have been interrupted, so that it isn't known whether it took effect.
        error = run.progress.unknown
        outcome = Outcome.CANCELLED if error is None else Outcome.OUTCOME_UNKNOWN
        return End(run.id, State.CANCELLED, outcome, now, error, waited=run.progress.waited)
    run.services.log.warning(
        "execution failed",
        execution_id=run.id,
        flow_id=run.flow.id,
        step=error.step,
        code=error.code,
        error=error.message,
    )
    return End(run.id, State.FAILED, outcome, now, error, waited=run.progress.waited)


def is_patient(run: ExecutionContext) -> bool:
    """Return whether the commit of the end may wait a moment: nobody waits for it, and a crash repeats no work."""
    return (
        not run.journal.effects_pending
        and run.envelope.order_key is None
        and run.flow.settings.concurrency >= _ROOMY
        and not run.services.replies.expected(run.id)
    )


def _reply_when_finished(run: ExecutionContext, frame: Frame, ending: Ending) -> None:
    """Record the reply of a flow that responds when finished: its last body, or an empty one if it ended early."""
    webhook = run.flow.trigger.webhook
    if webhook is None or webhook.respond != "finished":
        return
    body = frame.message.body if ending is Ending.DONE else None
    if isinstance(body, Stream):
        # The items and the name of their file are not given away.
        body = {"count": body.count}
    reply = CallerReply(200 if body is not None else 204, {}, body, delivered=run.services.replies.expected(run.id))
    run.note_pure(Frame(frame.message, {}, frame.now), FINISHED, "reply", StepState.SUCCEEDED, output=reply)
