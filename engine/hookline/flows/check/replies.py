"""Rule: a caller who waits for a reply gets one, and steps reply only if a caller waits.

It doesn't use `step_walkers`, because it follows the ways through a flow, and blocks combine the results of
their lists in different ways.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.parallel import CompiledParallel
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import WalkedStep, walk_steps
from hookline.flows.blocks.switch import CompiledSwitch
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.check.type_analysis import FlowAnalysis
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.types.action_result import replies, result_classes
from hookline.flows.types.return_annotation import metadata
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import adding, removing, replacing
from hookline.model.durations import Duration
from hookline.sdk.action import EndsExecution, PassesIf, Sleep

_DURATION: Final[TypeAdapter[timedelta]] = TypeAdapter(Duration)


def reply_problems(flow: CompiledFlow, walked: FlowAnalysis) -> Iterator[Problem]:
    """Yield a warning for each reply that no caller waits for, and for a caller who may get none."""
    replying = [
        visit.compiled
        for visit in walked.visits
        if isinstance(visit.compiled, CompiledAction) and replies(visit.compiled)
    ]
    respond = None if flow.trigger.webhook is None else flow.trigger.webhook.respond
    batch = next((visit.compiled for visit in walked.visits if isinstance(visit.compiled, CompiledBatch)), None)
    if respond == "finished" and batch is not None:
        yield Problem(
            f"the caller waits for the last body, but gets none if the execution joins the batch of another at step "
            f"{batch.id!r}",
            "/trigger/with/respond",
            "reply_missing",
            'reply in a step before it, with "respond": "reply"; or remove `respond`',
            "warning",
            fix=removing("/trigger/with/respond"),
        )
    waits = respond == "reply"
    if not waits:
        remedy = (
            'add "respond": "reply" to the trigger, or remove the step'
            if flow.trigger.webhook is not None
            else "remove the step: this flow is not started by requests"
        )
        for step in replying:
            message = f"no caller waits for the reply of step {step.id!r}"
            fix = removing(step.pointer) if flow.trigger.webhook is None else adding("/trigger/with/respond", "reply")
            yield Problem(message, step.pointer, "reply_unheard", remedy, "warning", fix=fix)
    elif not replying:
        message = "the caller waits for a reply, but no step replies"
        remedy = 'add a step with "use": "reply", or write "respond": "finished"'
        fix = replacing("/trigger/with/respond", "finished")
        yield Problem(message, "/trigger/with/respond", "reply_missing", remedy, "warning", fix=fix)
    else:
        yield from _late(flow, replying)
        silent = _Ways().silent(flow.steps)
        if silent is not None:
            yield Problem(
                f"the caller waits for a reply, but gets none if {silent}",
                "/trigger/with/respond",
                "reply_missing",
                "add a step that replies in that case, or before",
                "warning",
            )


def _late(flow: CompiledFlow, replying: Sequence[CompiledAction]) -> Iterator[Problem]:
    """Yield a warning for each reply before which the flow may wait longer than the caller does."""
    assert flow.trigger.webhook is not None  # noqa: S101 - nobody else waits for a reply
    patience = flow.trigger.webhook.respond_timeout
    for step in walk_steps(flow.steps):
        if step.compiled not in replying:
            continue
        waited, longest = timedelta(), ""
        for earlier in _before(step, flow.steps):
            wait = _wait(earlier)
            if wait is not None and wait > timedelta():
                waited, longest = min(waited, timedelta.max - wait) + wait, longest or earlier.id
        if waited > patience:
            yield Problem(
                f"step {step.compiled.id!r} may reply too late: the flow waits at step {longest!r}, and after "
                f"{patience.total_seconds():g} s the caller gets 504",
                step.compiled.pointer,
                "reply_late",
                "reply before the wait, or give the caller another way to learn the result; `respond_timeout` is how "
                "long the caller waits",
                "warning",
            )


def _before(step: WalkedStep, steps: Sequence[CompiledStep]) -> Iterator[CompiledStep]:
    """Yield the steps that may run before a step on the way to it."""
    here: WalkedStep | None = step
    while here is not None:
        beside = steps if here.block is None else here.block.compiled.lists[here.list_number]
        for earlier in walk_steps(beside[: here.index]):
            yield earlier.compiled
        here = here.block


def _wait(step: CompiledStep) -> timedelta | None:
    """The longest time that a step waits by itself; None if it doesn't wait, or it isn't known how long."""
    if isinstance(step, CompiledWait):
        return step.settings.timeout or timedelta.max
    if isinstance(step, CompiledAction) and Sleep in result_classes(step.action.returns):
        length = (step.settings.fields or {}).get("for")
        if length is not None and length.constant:
            with suppress(ValidationError):
                return _DURATION.validate_python(length.value)
    return None


class _Ways:
    """The ways through a flow's steps on which no step replies."""

    def __init__(self) -> None:
        self._found: dict[str, str | None] = {}
        """The results of `_silent_step` by id: it is called for each block around a step."""

    def silent(self, steps: Sequence[CompiledStep]) -> str | None:
        """Say how a list of steps may end without a reply or a failure; None if it can't."""
        why: str | None = None
        for step in steps:
            left = self._leaves(step, filters=True)
            if left is not None:
                return left
            found = self._silent_step(step)
            if found is None:
                return None
            why = why or found or None
        return why or (f"step {steps[-1].id!r} is the last" if steps else "nothing is left to run")

    def _leaves(self, step: CompiledStep, *, filters: bool) -> str | None:
        """Say how a step may end the execution early; None if it can't. `filters`: a filter ends the execution, too."""
        inner: list[tuple[Sequence[CompiledStep], bool]] = []
        match step:
            case CompiledAction():
                marks = metadata(step.action.returns)
                if any(isinstance(mark, EndsExecution) for mark in marks) and not _fails(step):
                    return f"step {step.id!r} ends the execution"
                if filters and any(isinstance(mark, PassesIf) for mark in marks):
                    return f"step {step.id!r} filters the message out"
            case CompiledBatch():
                return f"it joins the batch of another at step {step.id!r}"
            case CompiledSwitch():
                inner = [(case.steps, False) for case in step.cases]
            case CompiledTry():
                inner = [(step.steps, filters), (step.catch_steps or (), filters)]
            case CompiledParallel():
                inner = [(steps, False) for steps in step.branches.values()]
            case CompiledForeach():
                inner = [(step.steps, False)]
        return next((why for steps, filtered in inner if (why := self._leave_first(steps, filtered)) is not None), None)

    def _leave_first(self, steps: Sequence[CompiledStep], filters: bool) -> str | None:
        for step in steps:
            left = self._leaves(step, filters=filters)
            if left is not None:
                return left
            if self._silent_step(step) is None:
                return None
        return None

    def _silent_step(self, step: CompiledStep) -> str | None:
        """Say how a step may succeed without a reply; the empty text if it always does, None if it never does."""
        if step.id not in self._found:
            self._found[step.id] = self._inside(step)
        found = self._found[step.id]
        if found is None and step.when is not None:
            return f"step {step.id!r} is skipped"
        return found

    def _inside(self, step: CompiledStep) -> str | None:
        match step:
            case CompiledAction():
                if replies(step):
                    return None
                # The caller gets an error response after a failure.
                return None if _fails(step) else ""
            case CompiledSwitch():
                whys = [
                    f"case {number} of {step.id!r} is chosen"
                    for number, case in enumerate(step.cases)
                    if self.silent(case.steps) is not None
                ]
                if len(whys) == len(step.cases):
                    return ""
                if not any(case.when is None for case in step.cases):
                    whys.append(f"no case of {step.id!r} applies")
                return whys[0] if whys else None
            case CompiledTry():
                if step.finally_steps and self.silent(step.finally_steps) is None:
                    return None
                tried = self.silent(step.steps)
                handled = self.silent(step.catch_steps) if step.catch_steps is not None else None
                if tried is not None:
                    return f"`try` of {step.id!r} succeeds"
                return f"`catch` of {step.id!r} runs" if handled is not None else None
            case CompiledParallel():
                return None if any(self.silent(steps) is None for steps in step.branches.values()) else ""
            case CompiledForeach():
                return f"{step.id!r} has no items" if self.silent(step.steps) is None else ""
            case _:
                return ""


def _fails(step: CompiledAction) -> bool:
    """Return whether the action ends the execution as failed."""
    ends = any(isinstance(mark, EndsExecution) for mark in metadata(step.action.returns))
    return ends and result_classes(step.action.returns) == [type(None)] and step.on_error == "fail"
