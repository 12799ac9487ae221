"""The run of an action step, from its situation in the journal to its result."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import msgspec

from hookline.executions.execution_context import Blocked, Ending, ExecutionContext, Frame, StepFailed, next_message
from hookline.executions.interruption import Interrupted
from hookline.executions.steps.attempt import Attempt, EngineUnavailable, NormalizedResult
from hookline.executions.steps.rate_turn import take_turn
from hookline.executions.steps.recorded_result import continue_from_entry
from hookline.flows.blocks.action import CompiledAction
from hookline.kernel.backoff import LONGEST_IN_PLACE, STORE_RETRY, next_wait
from hookline.kernel.errors import StepError, StoreError
from hookline.kernel.json import encode, encode_in_pieces
from hookline.model.execution import (
    INTERRUPTED,
    NOT_BEGUN,
    OUTCOME_UNKNOWN,
    RATE,
    RETRY,
    SLEEP,
    UNTIL,
    ErrorInfo,
    StepRecord,
    StepState,
)
from hookline.model.foreach_progress_and_streams import STREAM, Stream
from hookline.model.message import CallerReply
from hookline.sdk.action import PASS, Increment, Reply, Signal, Sleep
from hookline.sdk.context_parts import check_key
from hookline.storage.change_declarations import SetState

_NO_WAIT: Final = timedelta(0)


class Situation(Enum):
    """The situation of a step when its execution reaches it, as the journal tells it."""

    FIRST_TRY = "first try"
    """Nothing, or nothing that counts: it runs. A pure step runs each time, unless its result is a stream."""
    REPLAYED = "replayed"
    """It has succeeded: its result is taken from the journal."""
    FAILED = "failed"
    """It has failed: the failure is handled again, unless an operator wants another try."""
    WAITING = "waiting"
    """It waits for its next attempt, its turn, or the end of a sleep."""
    IN_DOUBT = "in doubt"
    """It must not run twice, and was running when the engine stopped."""


def situation_of(step: CompiledAction, entry: StepRecord | None) -> Situation:
    """The situation of a step with this last journal entry."""
    if entry is None:
        return Situation.FIRST_TRY
    if step.action.pure:
        # A pure step is computed again; the items of a stream are stored.
        stored = entry.signal == STREAM and entry.state is StepState.SUCCEEDED
        return Situation.REPLAYED if stored else Situation.FIRST_TRY
    if entry.signal == NOT_BEGUN:
        return Situation.FIRST_TRY
    return SITUATIONS[entry.state]


SITUATIONS: Final[Mapping[StepState, Situation]] = {
    StepState.SUCCEEDED: Situation.REPLAYED,
    StepState.FAILED: Situation.FAILED,
    StepState.WAITING: Situation.WAITING,
    StepState.STARTED: Situation.IN_DOUBT,
    # Its condition didn't hold before; it does now.
    StepState.SKIPPED: Situation.FIRST_TRY,
}
"""The situation of a step whose action isn't pure, by the state of its last entry."""


def wait_kind(entry: StepRecord) -> str:
    """The kind of wait of a waiting entry: for its turn (RATE), the end of a sleep (SLEEP) or its next attempt (RETRY).

    Only a failed attempt has an error.
    """
    if entry.signal == RATE:
        return RATE
    return SLEEP if entry.error is None else RETRY


async def run_action(run: ExecutionContext, step: CompiledAction, frame: Frame, _: object) -> Ending:
    """Run an action, or take its result from the journal. Raises StepFailed, and Blocked.

    Before an action that is not pure starts, everything that can't be computed again is durable.
    """
    step_run = StepRun(run, step, frame)
    return await _METHODS[situation_of(step, step_run.last_entry)](step_run)


class StepRun:
    """The run of one action step. Each situation has its method, and so has each way in which an attempt ends."""

    __slots__ = ("_had_turn", "_number", "_start_recorded", "frame", "last_entry", "path", "run", "step")

    def __init__(self, run: ExecutionContext, step: CompiledAction, frame: Frame) -> None:
        self.run = run
        self.step = step
        self.frame = frame
        self.path = frame.prefix + step.id
        self.last_entry = run.journal.last_entry(self.path)
        self._number = 1
        """The number of the next attempt."""
        self._had_turn = False
        """This attempt waited for its turn under the rate limit, so it needn't ask for another one."""
        self._start_recorded = False
        """The journal says that this attempt was started, so without another entry it would be in doubt."""

    # --- Situations ----------------------------------------------------------------------------------------------

    async def first_try(self) -> Ending:
        """Run the step, from its next attempt on, until an attempt succeeds, fails for good, or has to wait."""
        pure = self.step.action.pure
        if not pure and not self.run.gate.may_act(self.path):
            return Ending.WAITING
        while True:
            if not pure and not await self._prepare_effect():
                return Ending.WAITING
            ending = await self._attempt()
            if ending is not None:
                return ending

    async def replayed(self) -> Ending:
        """Take the result from the journal."""
        return await continue_from_entry(self.run, self.frame, self.step.id, self._entry)

    async def failed(self) -> Ending:
        """Handle the failure in the journal, or try again what an operator retries. Raises Interrupted."""
        entry = self._entry
        if entry.signal == INTERRUPTED and entry.error is not None:
            self.run.progress.note_unknown(entry.error)
            self.frame.interruption.check()
        if self.step.on_error == "continue":
            return self.frame.continue_after(entry.error, self.step.id, entry.finished_at)
        unknown = self.step.once and entry.error is not None and entry.error.code == OUTCOME_UNKNOWN
        if entry.error is not None and (unknown or self.run.failure_is_final(self.frame, entry)):
            raise StepFailed(entry.error, entry.finished_at)
        return await self.first_try()

    async def waiting(self) -> Ending:
        """Wait further, or continue since the time has come. Raises Interrupted."""
        entry = self._entry
        if not self.run.gate.may_act(self.path):
            return Ending.WAITING
        kind = wait_kind(entry)
        if entry.due_at is not None and entry.due_at > self.run.services.clock.now():
            return self.run.wait(self.frame, entry.due_at, kind)
        if kind == SLEEP:
            # The steps after an interruption may have waited meanwhile.
            self.frame.interruption.check()
            return await self._finish(self._attempt_of(entry), PASS)
        self._had_turn = kind == RATE
        self._number = entry.attempt + 1 if kind == RETRY else entry.attempt
        return await self.first_try()

    async def in_doubt(self) -> Ending:
        """Fail, since nobody knows whether the step took effect. Raises Interrupted."""
        entry = self._entry
        if not self.run.gate.may_act(self.path):
            return Ending.WAITING
        interruption = self.frame.interruption
        error = self.run.error_info(_unknown(self.step, "the engine was stopped while it ran"), self.path)
        signal = None if interruption.cause is None else INTERRUPTED
        recorded_at = await self._record(self._attempt_of(entry), StepState.FAILED, error=error, signal=signal)
        if signal is not None:
            self.run.progress.note_unknown(error)
        interruption.check()
        return self.frame.end_failed_step(self.step, error, recorded_at)

    # --- One attempt ---------------------------------------------------------------------------------------------

    async def _prepare_effect(self) -> bool:
        """Return True once the step may begin: its turn has come, and what can't be computed again is durable.

        Return False if its turn comes so late that the wait is stored instead. Raises Interrupted.
        """
        services = self.run.services
        self.frame.interruption.check()
        wait = await self._take_turn()
        if wait > LONGEST_IN_PLACE:
            attempt = self._new_attempt(self._number, services.clock.now())
            due_at = attempt.started_at + wait
            await self._record(attempt, StepState.WAITING, due_at=due_at, signal=RATE)
            self.run.wait(self.frame, due_at, RATE)
            return False
        if wait:
            await services.clock.sleep(wait.total_seconds())
        self._had_turn = False
        await self.run.journal.before_effect(self.path)
        return True

    async def _take_turn(self) -> timedelta:
        if self.step.rate is None and self.step.action.rate is None:
            return _NO_WAIT
        return await take_turn(self.run, self.step, had_one=self._had_turn)

    async def _attempt(self) -> Ending | None:
        """Make one attempt; return None if the caller is to make the next one now."""
        attempt = self._new_attempt(self._number, self.run.services.clock.now())
        self._start_recorded = False
        try:
            result = await self._call(attempt)
            if isinstance(result, Increment):
                return await self._counted(attempt, result)
        except Interrupted:
            if self.step.once:
                await self._interrupted(attempt)
            raise
        except (asyncio.CancelledError, StoreError):
            # The engine stops, or has lost its lease. This entry is committed with the last ones of this run.
            if self._start_recorded and not attempt.called:
                await self._record_not_begun(attempt, "the engine stopped before it began")
            raise
        except EngineUnavailable as failure:
            await self._wait_for_engine(attempt, failure)
            return None
        except StepError as failure:
            return await self._attempt_failed(attempt, failure)
        return await self._succeeded(attempt, result)

    async def _call(self, attempt: Attempt) -> NormalizedResult:
        try:
            await attempt.prepare()
        except Blocked:
            # An interrupted execution ends, and isn't blocked first.
            self.frame.interruption.check()
            raise
        if self.step.action.pure:
            # A pure step isn't interrupted, or a `finally` after it would not be reached.
            return await attempt.call()
        self._check_lease()
        if self.step.once:
            await self._record_start(attempt)
            self._check_lease()
        with self.frame.interruption.interruptible():
            return await attempt.call()

    def _check_lease(self) -> None:
        """Raise StoreError if another node may have taken over this execution."""
        if not self.run.services.membership.held:
            raise StoreError("this node may have lost its lease: another one may run the execution")

    # --- The ends of an attempt ----------------------------------------------------------------------------------

    async def _succeeded(self, attempt: Attempt, result: Signal | Sleep | Reply | CallerReply) -> Ending:
        engine_failures = self.run.services.engine_failures
        if engine_failures.going:
            engine_failures.absent()
        if isinstance(result, Sleep):
            return await self._sleep(attempt, result)
        if isinstance(result, CallerReply):
            return await self._reply(attempt, result)
        return await self._finish(attempt, result)

    async def _counted(self, attempt: Attempt, count: Increment) -> Ending:
        """Add to a number of the flow's state, and continue with the sum. Raises StepError if it isn't a number."""
        run, attachments = self.run, self.frame.message.attachments
        changes, now = attempt.changes(count.key), run.services.clock.now()
        entry = await run.journal.count(
            run.flow.id,
            check_key(count.key),
            encode(count.by),
            now,
            *changes,
            **attempt.entry(StepState.SUCCEEDED, now),
            input=attempt.input_json(),
            output=encode({"attachments": attachments}) if attachments else None,
        )
        if entry is None:
            raise StepError(
                f"the flow's state under {count.key!r} is not a number that can be added to; set it, or remove it",
                code="state.not_a_number",
            )
        return await continue_from_entry(run, self.frame, self.step.id, entry)

    async def _sleep(self, attempt: Attempt, pause: Sleep) -> Ending:
        """Sleep through a short pause; let the execution wait for the end of a longer one.

        Both are recorded: the action has taken effect, and must not run again if the engine stops meanwhile.
        """
        until = _end_of(pause, attempt.started_at)
        left = until - self.run.services.clock.now()
        if left > _NO_WAIT:
            fixed = None if pause.until is None else UNTIL
            await self._record(attempt, StepState.WAITING, due_at=until, signal=fixed, kept=attempt.changes())
            if left > LONGEST_IN_PLACE:
                return self.run.wait(self.frame, until, SLEEP)
            await self.run.services.clock.sleep(left.total_seconds())
            attempt = self._new_attempt(attempt.number, attempt.started_at)
        return await self._finish(attempt, PASS)

    async def _reply(self, attempt: Attempt, reply: CallerReply) -> Ending:
        """Reply to the caller, once the reply is durable: a repeated request must get the same one."""
        replies = self.run.services.replies
        reply = msgspec.structs.replace(reply, delivered=replies.expected(self.run.id))
        ending = await self._finish(attempt, reply)
        await self.run.journal.flush()
        replies.deliver(self.run.id, reply)
        return ending

    async def _finish(self, attempt: Attempt, result: Signal | Reply | CallerReply) -> Ending:
        """Record the result, unless the journal has it already, and continue with it."""
        run, frame, step = self.run, self.frame, self.step
        output: Any = None
        signal: str | None = None
        if isinstance(result, Reply):
            frame.message, output = next_message(frame.message, result)
            if type(result.body) is Stream:
                # Its items are stored, so a resume takes it from the journal.
                attempt.recomputable = False
                run.progress.note_stream()
                signal = STREAM
        elif isinstance(result, Signal):
            signal = result.name
        else:
            signal, output = PASS.name, result
        recorded = step.action.pure and self.last_entry is not None and self.last_entry.state is StepState.SUCCEEDED
        if not recorded:
            kept = attempt.changes()
            recorded_at = await self._record(attempt, StepState.SUCCEEDED, output=output, signal=signal, kept=kept)
            if not attempt.recomputable:
                frame.now = recorded_at
        frame.steps[step.id] = output if isinstance(result, Reply) else {"body": frame.message.body}
        return Ending.after(signal)

    async def _attempt_failed(self, attempt: Attempt, failure: StepError) -> Ending | None:
        """Fail, or wait for the next attempt; return None after a short wait, for the caller to make it now."""
        run, step = self.run, self.step
        error = _unknown(step, failure.message) if step.once and failure.outcome_unknown else failure
        info = run.error_info(error, self.path)
        if step.action.pure:
            return await self._pure_failed(attempt, info)
        wait = next_wait(step.retry, self._number, error, f"{run.id}\n{self.path}")
        if wait is None:
            return self.frame.end_failed_step(
                self.step, info, await self._record(attempt, StepState.FAILED, error=info)
            )
        due_at = run.services.clock.now() + wait
        await self._record(attempt, StepState.WAITING, error=info, due_at=due_at)
        if wait > LONGEST_IN_PLACE:
            return run.wait(self.frame, due_at, RETRY)
        await run.services.clock.sleep(wait.total_seconds())
        self._number += 1
        return None

    async def _pure_failed(self, attempt: Attempt, error: ErrorInfo) -> Ending:
        """Handle the failure of a pure step.

        `frame.now` doesn't change: on a resume the step is computed again, and expressions must see the same time.
        """
        entry, continues = self.last_entry, self.step.on_error == "continue"
        known = entry is not None and entry.state is StepState.FAILED
        if entry is None or not known or not (continues or self.run.failure_is_final(self.frame, entry)):
            await self._record(attempt, StepState.FAILED, error=error)
        if continues:
            return self.frame.continue_after(error, self.step.id, self.frame.now)
        raise StepFailed(error)

    async def _interrupted(self, attempt: Attempt) -> None:
        """Record that a step which must not run twice was interrupted: while it ran, or before it began."""
        if not attempt.called:
            await self._record_not_begun(attempt, "it was interrupted before it began")
            return
        error = self.run.error_info(_unknown(self.step, "it was interrupted while it ran"), self.path)
        self.run.progress.note_unknown(error)
        await self._record(attempt, StepState.FAILED, error=error, signal=INTERRUPTED)

    async def _wait_for_engine(self, attempt: Attempt, failure: EngineUnavailable) -> None:
        """Wait for the engine. It counts as no attempt: an at-most-once step is recorded as not begun.

        Raises Interrupted.
        """
        services = self.run.services
        services.engine_failures.noticed(
            execution_id=self.run.id, flow_id=self.run.flow.id, step=self.path, error=str(failure)
        )
        if self.step.once:
            await self._record_not_begun(attempt, "a failure of the engine interrupted it before it took effect")
        self.frame.interruption.check()
        await services.clock.sleep(STORE_RETRY)

    async def _record_not_begun(self, attempt: Attempt, why: str) -> None:
        error = ErrorInfo("interrupted", why, self.path)
        await self._record(attempt, StepState.FAILED, error=error, signal=NOT_BEGUN)

    async def _record(
        self,
        attempt: Attempt,
        state: StepState,
        *,
        output: Any = None,
        signal: str | None = None,
        error: ErrorInfo | None = None,
        due_at: datetime | None = None,
        kept: Sequence[SetState] = (),
    ) -> datetime:
        """Add the entry of an attempt that ended or waits to the journal, which commits it later; return its time.

        `due_at`: the time of the next attempt, or the end of a sleep. `kept`: the changes of the flow's state.
        """
        journal, finished_at = self.run.journal, self.run.services.clock.now()
        entry = attempt.entry(state, finished_at)
        entry |= {"signal": signal, "error": error, "due_at": due_at}
        recomputable = attempt.recomputable
        if attempt.entry_is_large(output):
            await journal.add_large(
                lambda: (attempt.input_json(encode_in_pieces), _json_of(output, encode_in_pieces)),
                kept,
                recomputable=recomputable,
                **entry,
            )
        else:
            journal.add(recomputable=recomputable, input=attempt.input_json(), output=_json_of(output), **entry)
            journal.set_state(*kept)
        return finished_at

    async def _record_start(self, attempt: Attempt) -> None:
        """Commit that an action which must not run twice is about to run."""
        journal, entry = self.run.journal, attempt.entry(StepState.STARTED, attempt.started_at)
        self._start_recorded = True
        if attempt.entry_is_large(None):
            await journal.add_large(lambda: (attempt.input_json(encode_in_pieces), None), recomputable=False, **entry)
        else:
            journal.add(recomputable=False, input=attempt.input_json(), **entry)
        await journal.flush()

    def _attempt_of(self, entry: StepRecord) -> Attempt:
        """The attempt of an entry, which was waiting or running then."""
        return self._new_attempt(entry.attempt, entry.started_at)

    def _new_attempt(self, number: int, started_at: datetime) -> Attempt:
        return Attempt(
            self.run, self.step, self.frame, self.path, number, started_at, first_time=self.last_entry is None
        )

    @property
    def _entry(self) -> StepRecord:
        assert self.last_entry is not None  # noqa: S101 - only a first try has no entry
        return self.last_entry


_METHODS: Final[Mapping[Situation, Callable[[StepRun], Awaitable[Ending]]]] = {
    Situation.FIRST_TRY: StepRun.first_try,
    Situation.REPLAYED: StepRun.replayed,
    Situation.FAILED: StepRun.failed,
    Situation.WAITING: StepRun.waiting,
    Situation.IN_DOUBT: StepRun.in_doubt,
}


def _unknown(step: CompiledAction, why: str) -> StepError:
    """The error of a step for which it isn't known whether it took effect."""
    return StepError(f"it isn't known whether {step.action.name} took effect: {why}", code=OUTCOME_UNKNOWN)


def _end_of(pause: Sleep, started_at: datetime) -> datetime:
    if pause.until is not None:
        return pause.until
    try:
        return started_at + timedelta(seconds=pause.seconds or 0)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def _json_of(output: Any, encode: Callable[[Any], bytes] = encode) -> bytes | None:
    return None if output is None else encode(output)
