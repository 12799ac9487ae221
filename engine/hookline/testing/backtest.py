"""A changed flow over what executions of it took in, answered as they were, and how what becomes of them differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from hookline.connector import FILTERED, PASS, STOPPED, Action, Reply
from hookline.errors import StepError
from hookline.flows.compiled import CompiledFlow
from hookline.jsontypes import decode, encode
from hookline.model.batch import JOINED
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.ports import Joined
from hookline.testing.case_run import CaseRunner
from hookline.testing.cases import Answer
from hookline.testing.ended import Ended
from hookline.testing.flow_places import without_items

_SIGNALS: Final = {signal.name: signal for signal in (PASS, FILTERED, STOPPED)}
_EXAMPLES: Final = 3
_RESULT: Final = frozenset({"body", "headers", "attachments"})
#: What a call of a flow, and a step that waits, say besides that is another each time.
_OWN: Final = {"flow": ("execution_id",), "webhook": ("received_at",), "batch": ("executions",)}


@dataclass(frozen=True, slots=True)
class Example:
    """A difference in one execution."""

    execution_id: str
    place: str
    before: Any
    after: Any


@dataclass(slots=True)
class Kind:
    """Differences of one kind at one step."""

    kind: str
    """`outcome`, `output`, `path`, `changed call`, `new call` or `dropped call`."""
    step: str
    """Its path, without the numbers of items; empty for the whole."""
    count: int = 0
    """How many executions differ so."""
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Backtest:
    """What a changed flow makes of recorded executions."""

    flow_id: str
    executions: int = 0
    same: int = 0
    unknown: int = 0
    """It makes a call of which isn't recorded what comes of it, and what follows isn't known."""
    kinds: list[Kind] = field(default_factory=list)


class Replayed:
    """Answers from a recording: by the path of the step, and what it uses."""

    def __init__(self, steps: Sequence[Mapping[str, Any]], stop: Any) -> None:
        """`stop` ends the trial."""
        self._steps = {(one["path"], one["use"], one["attempt"]): one for one in steps if one["state"] != "started"}
        self._stop = stop
        self.new: tuple[str, str] | None = None
        """The call that isn't recorded: its path and what it uses."""

    def call(self, path: str, attempt: int, action: Action, settings: Any) -> Any:
        """What the action gave, or its error."""
        return self._given(path, action.name, attempt)

    def flow(self, path: str, attempt: int, flow_id: str, given: Any) -> Reply | None:
        """What the flow gave, or its error."""
        found: Reply = self._given(path, "flow", attempt)
        return found

    def answer(self, path: str) -> Answer | None:
        """What came for the step that waits."""
        found = next((one for key, one in self._steps.items() if key[:2] == (path, "webhook") and one["output"]), None)
        if found is None:
            return None
        output = found["output"]
        after = _time(output["received_at"]) - _time(found["started_at"])
        return Answer(
            body=output.get("body"),
            headers=output.get("headers", {}),
            query=output["query"],
            method=output["method"],
            after=max(after, timedelta(0)),
        )

    def gathered(self, path: str, attempt: int) -> Reply | Joined:
        """What was gathered, whose batch was joined, or the error."""
        found = self._steps.get((path, "batch", attempt))
        if found is not None and found["signal"] == JOINED:
            joined = found["output"]["body"]
            return Joined(joined["batch"], joined["place"])
        given: Reply = self._given(path, "batch", attempt)
        return given

    def _given(self, path: str, use: str, attempt: int) -> Any:
        found = self._steps.get((path, use, attempt))
        if found is None or found["signal"] == "stream" or (found["output"] is None and not _told(found)):
            self.new = self.new or (path, use)
            self._stop(None)
            raise StepError(f"no call of {use} at {path} is recorded", code="backtest.unknown")
        self._stop(_time(found["finished_at"]))
        if found["error"] is not None:
            error = found["error"]
            raise StepError(error["message"], code=error["code"], retryable=error["retryable"])
        if found["signal"] in _SIGNALS:
            return _SIGNALS[found["signal"]]
        output = found["output"]
        beside = {name: value for name, value in output.items() if name not in _RESULT}
        attachments = msgspec.convert(output.get("attachments", []), tuple[Attachment, ...])
        return Reply(output.get("body"), output.get("headers", {}), beside, attachments)


def backtest(flow: CompiledFlow, recording: Mapping[str, Any], runner: CaseRunner, folder: Path, to: Backtest) -> None:
    """Try a flow on one recording, and add how it differs; a recording is JSON, as the admin API gives it."""
    steps: Sequence[Mapping[str, Any]] = recording["steps"]
    envelope = _envelope(flow, recording)
    ended, outside = runner.replay(flow, envelope, lambda stop: Replayed(steps, stop), folder)
    to.executions += 1
    found = _differences(recording, ended, outside)
    to.unknown += outside.new is not None
    to.same += not found
    for kind, step, place, before, after in found:
        group = next((one for one in to.kinds if (one.kind, one.step) == (kind, step)), None)
        if group is None:
            to.kinds.append(group := Kind(kind, step))
        group.count += 1
        if len(group.examples) < _EXAMPLES:
            group.examples.append(Example(recording["id"], place, before, after))


def _envelope(flow: CompiledFlow, recording: Mapping[str, Any]) -> Envelope:
    body = encode(recording["body"])
    return Envelope(
        execution_id=recording["id"],
        flow_id=flow.id,
        message=Message(
            decode(body, exact=flow.exact),
            recording["headers"],
            msgspec.convert(recording["attachments"], tuple[Attachment, ...]),
        ),
        arrival=msgspec.convert({**recording["trigger"], "parent": None}, Arrival),
        accepted_at=_time(recording["started_at"] or recording["created_at"]),
        exact=flow.exact,
    )


def _differences(recording: Mapping[str, Any], ended: Ended, outside: Replayed) -> list[tuple[str, str, str, Any, Any]]:
    """Kind, step, place, before and after of what differs: one for each kind and step."""
    before: dict[str, Mapping[str, Any]] = {one["path"]: one for one in recording["steps"]}
    after: dict[str, Mapping[str, Any]] = {
        path: {
            "use": records[-1].use,
            "state": records[-1].state.value,
            "input": None if records[-1].input is None else decode(records[-1].input, exact=True),
            "output": None if records[-1].output is None else decode(records[-1].output, exact=True),
        }
        for path, records in ended.steps.items()
    }
    found: dict[tuple[str, str], tuple[str, str, str, Any, Any]] = {}

    def add(kind: str, path: str, place: str, old: Any, new: Any) -> None:
        step = without_items(path)
        found.setdefault((kind, step), (kind, step, f"{path}{place}", old, new))

    called = {call.step for call in ended.calls}
    for path, new in after.items():
        old = before.get(path)
        if old is None or old["use"] != new["use"]:
            continue
        if path in called and (change := _change(old["input"], new["input"])) is not None:
            add("changed call", path, *change)
        if (change := _change(_plain(old), _plain(new))) is not None:
            add("output", path, *change)
    if outside.new is not None:
        path, use = outside.new
        add("new call", path, "", None, use)
        return list(found.values())
    old_outcome = [recording["outcome"], (recording["error"] or {}).get("code")]
    new_outcome = [ended.outcome.value if ended.outcome else "waiting", ended.error.code if ended.error else None]
    if old_outcome != new_outcome:
        add("outcome", "", "", old_outcome, new_outcome)
    old_path = ended_paths(recording["steps"])
    if old_path != list(ended.path):
        add("path", "", "", old_path, list(ended.path))
    for path, one in before.items():
        if one["input"] is not None and path not in after and one["state"] != "skipped":
            add("dropped call", path, "", one["use"], None)
    return list(found.values())


def ended_paths(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths of the steps of a recording that came to an end, in that order."""
    done = [one["path"] for one in steps if one["state"] in ("succeeded", "failed") and one["path"] != "$reply"]
    return list(dict.fromkeys(done))


def _plain(step: Mapping[str, Any]) -> Any:
    output = step["output"]
    if not isinstance(output, dict) or step["state"] == "waiting":
        return None
    return {name: value for name, value in output.items() if name not in (*_OWN.get(step["use"], ()), "delivered")}


def _change(old: Any, new: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """The first place at which two JSON values differ, and what stands there."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                return f"{place}.{key}", old.get(key), new.get(key)
            if (found := _change(old[key], new[key], f"{place}.{key}")) is not None:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        changes = (
            _change(left, right, f"{place}[{at}]") for at, (left, right) in enumerate(zip(old, new, strict=True))
        )
        return next((found for found in changes if found is not None), None)
    return None if type(old) is type(new) and old == new else (place, old, new)


def _told(step: Mapping[str, Any]) -> bool:
    return step["error"] is not None or step["signal"] in _SIGNALS


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
