"""Answers from a recording, each at its recorded time."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec

from hookline.discovery.registry import Registry
from hookline.executions.execution_context import StepFailed
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import USE as BATCH
from hookline.flows.blocks.flow_call import USE as FLOW
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.foreach import CompiledForeach
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import walk_steps
from hookline.flows.blocks.webhook_wait import USE as WEBHOOK
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import StepError
from hookline.kernel.json import decode, encode
from hookline.model.batch import JOINED
from hookline.model.callbacks_and_pages import Call as Arrived
from hookline.model.callbacks_and_pages import raw_json
from hookline.model.execution import ErrorInfo, Outcome
from hookline.model.foreach_progress_and_streams import STREAM, Stream
from hookline.model.message import Attachment
from hookline.sdk.action import FILTERED, PASS, STOPPED, Action, Reply, Sleep
from hookline.simulation.clock import CaseClock
from hookline.simulation.stubs import FinishedStub, NeverFinishedStub, PreparedStub
from hookline.storage.change_declarations import BatchJoined

FOREACH: Final = "foreach"
_SIGNALS: Final = {signal.name: signal for signal in (PASS, FILTERED, STOPPED)}
_RESULT: Final = frozenset({"body", "headers", "attachments"})
_KEPT: Final = 1000
"""The largest number of items whose entries are kept one by one."""

RecordedAttempt = Mapping[str, Any]
"""An attempt at a step, as the admin API gives it."""


class NewCall(NamedTuple):
    """A call that isn't in the recording."""

    path: str
    use: str


class Playback:
    """The outside of a flow that runs on a recording.

    A call that isn't recorded is never answered. It may have been cancelled, by a failure of a step beside it or
    because the time was up. If nothing cancels it now, it is new.
    """

    def __init__(self, recording: Mapping[str, Any], flow: CompiledFlow, registry: Registry, clock: CaseClock) -> None:
        steps: Sequence[RecordedAttempt] = recording["steps"]
        self._clock = clock
        self._speaking = {id(a) for c in registry.connectors.values() if not c.prefix for a in c.actions.values()}
        timeout = flow.settings.timeout
        self._deadline = None if timeout is None else clock.start + timeout
        self._timed_out = recording["outcome"] == "timed_out"
        self._last = {one["path"]: one for one in steps}
        self._inputs = last_inputs(steps)
        self._ends: dict[tuple[str, str], deque[RecordedAttempt]] = {}
        self._waiting: dict[str, RecordedAttempt] = {}
        for one in steps:
            if one["state"] in ("succeeded", "failed") or (one["state"] == "waiting" and one["error"] is not None):
                self._ends.setdefault((one["path"], one["use"]), deque()).append(one)
            elif one["state"] == "waiting":
                self._waiting[one["path"]] = one
        self.retries: Final[int] = recording["attempt"] - 1
        self.news: Final[list[NewCall]] = []
        """The calls that aren't in the recording."""
        self.unkept: Final = unkept(steps)
        """The paths of the foreach blocks whose items aren't recorded."""
        self.stood_for: Final[set[str]] = set()
        """The paths of the blocks whose items were not run, and so are not compared."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> PreparedStub | None:
        """Return the recorded result of the action, or its error."""
        if action.pure:
            return None
        speaks = id(action) in self._speaking
        if speaks and action.name != "sleep":
            # It runs itself, and takes no time.
            if (said := self._end(path, action.name)) is not None:
                self._clock.advance_to(_time(said["finished_at"]))
            return None
        if speaks and not same_json(self._inputs.get(path), settings):
            return None
        found = self._end(path, action.name)
        if speaks:
            return (
                None
                if found is None or found["error"] is not None
                else PreparedStub(partial(_pause, found), call=False)
            )
        return PreparedStub(partial(self._unknown, path, action.name) if found is None else partial(self._given, found))

    def without_file(self, path: str, action: Action, settings: Any) -> PreparedStub | None:
        """Return the recorded result if the settings are the recorded ones."""
        found = self._last.get(path)
        if found is None or found["use"] != action.name or not same_json(found["input"], settings):
            return PreparedStub(partial(self._unknown, path, action.name))
        return PreparedStub(partial(self._given, found))

    def items(self, path: str, block: CompiledForeach, items: list[Any] | Stream) -> PreparedStub | None:
        """Return the recorded result of the block if its items aren't recorded and can't run without their calls."""
        streamed = isinstance(items, Stream)
        total = items.count if isinstance(items, Stream) else len(items)
        last = self._last.get(path)
        if last is None or last["use"] != FOREACH:
            return PreparedStub(partial(self._unknown, path, FOREACH), call=False) if streamed else None
        known = (last["input"] or {}).get("items")
        if known is None and (streamed or total > _KEPT):
            # It failed, or stopped the execution.
            self.unkept.add(path)
        if path not in self.unkept:
            return None
        if not streamed and _touches_nothing(block.steps):
            self._clock.advance_to(_time(last["finished_at"]))
            return None
        self.stood_for.add(path)
        if known not in (None, total):
            return PreparedStub(partial(self._unknown, path, FOREACH), call=False)
        return PreparedStub(partial(self._block, path), call=False)

    def starts(self, path: str) -> None:
        """Note the time at which the step was journalled."""
        ends = self._ends.get((path, FLOW))
        if ends and path not in self._waiting:
            self._clock.advance_to(_time(ends[0]["finished_at"]))

    def flow(self, path: str, attempt: int, flow_id: str) -> FinishedStub | NeverFinishedStub | None:
        """Return the recorded end of a called flow."""
        found = self._end(path, FLOW)
        if found is None:
            if path not in self._waiting:
                self._stop(NewCall(path, FLOW))
            return NeverFinishedStub()
        at, output, error = _time(found["finished_at"]), found["output"] or {}, found["error"]
        if error is None:
            attachments = msgspec.convert(output.get("attachments", []), tuple[Attachment, ...])
            return FinishedStub(output.get("body"), attachments, Outcome(output.get("outcome", "completed")), at=at)
        if error["code"] == "flow.cancelled":
            return FinishedStub(outcome=Outcome.CANCELLED, at=at)
        told, step = told_by_flow(found, flow_id)
        if told is None:
            self._late(path, self._clock.now(), at)
            return NeverFinishedStub()
        info = ErrorInfo(error["code"], told, step, error["retryable"])
        return FinishedStub(outcome=Outcome.FAILED, error=info, at=at)

    def arrives(self, path: str, begun: datetime) -> tuple[datetime, Arrived] | None:
        """Return the recorded callback of the step, with its time."""
        found = self._end(path, WEBHOOK)
        if found is None:
            self._never_came(path, begun)
            return None
        at, output = _time(found["finished_at"]), found["output"]
        if output is None:
            self._late(path, begun, at)
            return None
        return at, Arrived(
            raw_json(output.get("body")),
            output.get("headers", {}),
            msgspec.convert(output.get("attachments", []), tuple[Attachment, ...]),
            output["method"],
            output["query"],
            None if output["received_at"] is None else _time(output["received_at"]),
            output["verified_by"],
        )

    def gathered(self, path: str, attempt: int) -> PreparedStub:
        """Return the recorded batch, or the batch that was joined."""
        found = self._end(path, BATCH)
        while found is not None and found["error"] is not None:
            # It had nothing to add then, and the items of others aren't known.
            found = self._end(path, BATCH)
        if found is None:
            self._stop(NewCall(path, BATCH))
            return PreparedStub(_never, call=False)
        return PreparedStub(partial(self._given, found), call=False)

    def _end(self, path: str, use: str) -> RecordedAttempt | None:
        """Return the recorded end of the next attempt at a step."""
        ends = self._ends.get((path, use))
        return ends.popleft() if ends else None

    def _late(self, path: str, begun: datetime, at: datetime) -> None:
        """Delay the timeout of a step that has begun to wait, as in the recording."""
        waiting = self._waiting.get(path)
        if waiting is not None and waiting["due_at"] is not None:
            due = begun + (_time(waiting["due_at"]) - _time(waiting["started_at"]))
            self._clock.call_at(due, lambda: self._clock.advance_to(at))

    def _never_came(self, path: str, begun: datetime) -> None:
        """Handle a wait without a recorded callback: the step didn't wait then, or the block around it ended first."""
        waiting = self._waiting.get(path)
        if waiting is None:
            self._stop(NewCall(path, WEBHOOK))
        elif waiting["due_at"] is not None:
            due = begun + (_time(waiting["due_at"]) - _time(waiting["started_at"]))
            self._clock.call_at(due, lambda: self._stop(NewCall(path, WEBHOOK)))

    def _stop(self, new: NewCall) -> None:
        self.news.append(new)
        self._clock.stuck.set()

    async def _unknown(self, path: str, use: str) -> Any:
        new = NewCall(path, use)
        self.news.append(new)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            in_time = self._timed_out or self._deadline is None or self._clock.now() < self._deadline
            if in_time and not self._clock.stuck.is_set():
                self.news.remove(new)
            raise

    async def _given(self, found: RecordedAttempt) -> Any:
        await self._clock.sleep_until(_time(found["finished_at"]))
        if (error := found["error"]) is not None:
            raise StepError(error["message"], code=error["code"], retryable=error["retryable"])
        return _result(found)

    async def _block(self, path: str) -> Any:
        found = self._end(path, FOREACH)
        if found is None:
            return await self._unknown(path, FOREACH)
        await self._clock.sleep_until(_time(found["finished_at"]))
        if found["error"] is not None:
            raise StepFailed(msgspec.convert(found["error"], ErrorInfo))
        return _result(found)


def last_inputs(steps: Sequence[RecordedAttempt]) -> dict[str, Any]:
    """Return the last recorded settings of each step, by path: the entry after a wait holds none."""
    return {one["path"]: one["input"] for one in steps if one["input"] is not None}


def unkept(steps: Sequence[RecordedAttempt]) -> set[str]:
    """Return the paths of the foreach blocks whose items aren't all in the recording."""
    items: dict[str, set[str]] = {}
    for one in steps:
        path: str = one["path"]
        end = path.find("]/")
        while end > 0:
            start = path.rfind("[", 0, end)
            items.setdefault(path[:start], set()).add(path[start:end])
            end = path.find("]/", end + 2)
    totals = {one["path"]: (one["input"] or {}).get("items") for one in steps if one["use"] == FOREACH}
    return {path for path, total in totals.items() if total is not None and len(items.get(path, ())) < total}


def told_by_flow(step: RecordedAttempt, flow_id: str) -> tuple[str | None, str | None]:
    """Return the error message and the step of a called flow that failed; None if it didn't end in time."""
    message: str = step["error"]["message"]
    child = (step["output"] or {}).get("execution_id")
    before, after = f"flow {flow_id!r} failed: ", f" (execution {child}"
    if message.startswith(before) and (end := message.rfind(after)) >= 0:
        place = message[end + len(after) :].removesuffix(")")
        return message[len(before) : end], place.removeprefix(", at ") or None
    late = step["error"]["code"] == "timed_out" and message.startswith(f"flow {flow_id!r} took longer")
    return (None if late else message), None


def same_json(recorded: Any, value: Any) -> bool:
    """Return true if a value equals the recorded one."""
    return bool(decode(encode(recorded), exact=True) == decode(encode(value), exact=True))


async def _never() -> Any:
    await asyncio.get_running_loop().create_future()


async def _pause(found: RecordedAttempt) -> Sleep:
    return Sleep(until=_time(found["finished_at"]))


def _result(found: RecordedAttempt) -> Any:
    if found["signal"] in _SIGNALS:
        return _SIGNALS[found["signal"]]
    output = found["output"] or {}
    body = output.get("body")
    if found["signal"] == JOINED:
        return BatchJoined(output["body"]["batch"], output["body"]["place"])
    if found["signal"] == STREAM and body is not None:
        body = Stream(body["stream"], body["count"])
    beside = {name: value for name, value in output.items() if name not in _RESULT}
    attachments = msgspec.convert(output.get("attachments", []), tuple[Attachment, ...])
    return Reply(body, output.get("headers", {}), beside, attachments)


def _touches_nothing(steps: Sequence[CompiledStep]) -> bool:
    """Return true if all steps can run without anything outside the execution."""
    walked = [step.compiled for step in walk_steps(steps)]
    return not any(
        isinstance(compiled, CompiledCall | CompiledWait)
        or (isinstance(compiled, CompiledAction) and not compiled.action.pure)
        for compiled in walked
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
