"""What stands in the place of all items of a foreach, where flows are tried out."""

from typing import Any

from hookline.executions.blocks.concurrency import block_failed, known_failure
from hookline.executions.context import ExecutionRun
from hookline.executions.frame import Ending, Frame, StepFailed
from hookline.executions.steps.step import replay, take
from hookline.flows.blocks.foreach import ForeachNode
from hookline.kernel.json import encode
from hookline.model.execution import StepState
from hookline.model.merge_model_stream import STREAM, Stream
from hookline.plugin_host.results import normal
from hookline.sdk.action import Reply, Signal


async def run_stand(run: ExecutionRun, node: ForeachNode, frame: Frame, items: list[Any] | Stream) -> Ending | None:
    """Take what a trial gives in the place of the items; None where they are to run. Raises StepFailed."""
    trial, path = run.services.trial, frame.prefix + node.id
    stand = None if trial is None else trial.items(run.id, path, node, items)
    if stand is None:
        return None
    past = run.journal.past(path)
    if past is not None and past.state is StepState.SUCCEEDED:
        return replay(run, frame, node.id, past)
    if (failure := known_failure(run, frame, node.id)) is not None:
        raise failure
    try:
        with frame.interruption.interruptible():
            given = normal(await stand(), exact=run.flow.exact)
    except StepFailed as failed:
        at = run.services.clock.now()
        raise block_failed(run, frame, node.id, "foreach", StepFailed(failed.error, at)) from None
    signal = given.name if isinstance(given, Signal) else None
    view: dict[str, Any] | None = None
    if isinstance(given, Reply):
        view = take(frame, given)
        signal = STREAM if type(given.body) is Stream else None
        run.streams = run.streams or signal is not None
    now = run.services.clock.now()
    record = run.journal.add(
        effect=True,
        id=node.id,
        path=path,
        use="foreach",
        state=StepState.SUCCEEDED,
        attempt=1,
        started_at=now,
        finished_at=now,
        input=encode({"items": items.count if isinstance(items, Stream) else len(items)}),
        output=None if view is None else encode(view),
        signal=signal,
    )
    return replay(run, frame, node.id, record)
