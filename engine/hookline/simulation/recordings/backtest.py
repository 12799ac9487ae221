"""Running a changed flow over recorded executions, with the recorded answers, and comparing the results."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from hookline.discovery.registry import Registry
from hookline.flows.blocks.batch import USE as BATCH
from hookline.flows.blocks.flow_call import USE as FLOW
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.blocks.webhook_wait import USE as WEBHOOK
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.envelope_creation import simulation_envelope
from hookline.kernel.json import decode, encode
from hookline.model.execution import REPLAY, Outcome
from hookline.model.foreach_progress_and_streams import STREAM
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.simulation.case_run import CaseRunner, open_runner
from hookline.simulation.recordings.case_masking import mask_resume_urls
from hookline.simulation.recordings.playback import Playback, last_inputs
from hookline.simulation.result import SimulationResult
from hookline.simulation.step_paths import lane, side_by_side, step_paths

_EXAMPLES: Final = 3
#: The values in the result of a called flow that differ each time.
_OWN: Final = {FLOW: ("execution_id",)}
_WAITING: Final = frozenset({WEBHOOK, BATCH, "sleep"})
_ITEMS: Final = "its items aren't recorded; it is taken to give what it gave"


@dataclass(frozen=True, slots=True)
class Example:
    """A difference in one execution."""

    execution_id: str
    place: str
    before: Any
    after: Any


@dataclass(slots=True)
class DifferenceGroup:
    """Differences of one kind at one step."""

    kind: str
    """`outcome`, `output`, `path`, `changed call`, `new call` or `dropped call`."""
    step: str
    """Its path, without the numbers of items; empty for the whole."""
    count: int = 0
    """The number of executions with this difference."""
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class NotCompared:
    """A recorded execution that isn't compared, and the reason."""

    why: str
    step: str
    """The path of the step, without the numbers of items; empty if the execution isn't tried at all."""
    count: int = 0
    """The number of such executions."""
    examples: list[str] = field(default_factory=list)
    """Ids of some of them."""


@dataclass(slots=True)
class Backtest:
    """The results of a changed flow on recorded executions."""

    flow_id: str
    executions: int = 0
    same: int = 0
    unknown: int = 0
    """The number of executions that make a call without a recorded result, so that the rest isn't known."""
    kinds: list[DifferenceGroup] = field(default_factory=list)
    left_out: list[NotCompared] = field(default_factory=list)
    """The recorded executions that can't be compared."""

    def leave_out(self, why: str, step: str, execution_id: str) -> None:
        """Note an execution that can't be compared."""
        group = next((one for one in self.left_out if (one.why, one.step) == (why, step)), None)
        if group is None:
            self.left_out.append(group := NotCompared(why, step))
        group.count += 1
        if len(group.examples) < _EXAMPLES:
            group.examples.append(execution_id)


def backtest(
    flow: CompiledFlow, recordings: Iterable[Mapping[str, Any]], registry: Registry, folder: Path | None
) -> Backtest:
    """Run a flow on recordings, which are JSON as from the admin API. `folder` has the flows that it calls."""
    result = Backtest(flow.id)
    with open_runner(registry) as runner:
        for recording in recordings:
            backtest_one(flow, recording, runner, registry, folder, result)
    return result


def backtest_one(
    flow: CompiledFlow,
    recording: Mapping[str, Any],
    runner: CaseRunner,
    registry: Registry,
    folder: Path | None,
    to: Backtest,
) -> None:
    """Run a flow on one recording, and add the differences."""
    to.executions += 1
    if (why := _not_to_be_tried(recording)) is not None:
        to.leave_out(why, "", recording["id"])
        return
    ended, outside = play(flow, recording, runner, registry, folder)
    for step in sorted({without_items(path) for path in outside.stood_for}):
        to.leave_out(_ITEMS, step, recording["id"])
    found = _differences(flow, recording, ended, outside)
    to.unknown += bool(outside.news)
    to.same += not found
    for kind, step, place, before, after in found:
        group = next((one for one in to.kinds if (one.kind, one.step) == (kind, step)), None)
        if group is None:
            to.kinds.append(group := DifferenceGroup(kind, step))
        group.count += 1
        if len(group.examples) < _EXAMPLES:
            group.examples.append(Example(recording["id"], place, before, after))


def play(
    flow: CompiledFlow, recording: Mapping[str, Any], runner: CaseRunner, registry: Registry, folder: Path | None
) -> tuple[SimulationResult, Playback]:
    """Run a flow on a recording, which answers in place of everything outside."""
    envelope = _envelope(flow, recording)
    return runner.replay(flow, envelope, lambda clock: Playback(recording, flow, registry, clock), folder)


def _not_to_be_tried(recording: Mapping[str, Any]) -> str | None:
    """Return the reason why the result of an execution doesn't depend on the flow alone; None if it does."""
    if recording["flow_version"] is None:
        return "it ended before it ran"
    if recording["outcome"] == Outcome.CANCELLED:
        return "it was cancelled"
    if any(one["use"] == REPLAY for one in recording["steps"]):
        return "it did another again with a message that was edited on the way"
    return None


def _envelope(flow: CompiledFlow, recording: Mapping[str, Any]) -> Envelope:
    body = encode(recording["body"])
    return simulation_envelope(
        flow,
        Message(
            decode(body, exact=flow.exact),
            recording["headers"],
            msgspec.convert(recording["attachments"], tuple[Attachment, ...]),
        ),
        msgspec.convert({**recording["trigger"], "parent": None}, Arrival),
        execution_id=recording["id"],
        now=_time(recording["started_at"] or recording["created_at"]),
    )


def _differences(
    flow: CompiledFlow, recording: Mapping[str, Any], ended: SimulationResult, outside: Playback
) -> list[tuple[str, str, str, Any, Any]]:
    """Return kind, step, place, before and after of the first difference of each kind at each step."""
    unkept = tuple(f"{path}[" for path in outside.unkept)
    steps = [one for one in recording["steps"] if not one["path"].startswith(unkept)]
    given_before = last_inputs(steps)
    before: dict[str, Mapping[str, Any]] = {one["path"]: one for one in steps}
    after: dict[str, Mapping[str, Any]] = {
        path: {
            "use": records[-1].use,
            "state": records[-1].state.value,
            "signal": records[-1].signal,
            "input": next((_json(one.input) for one in reversed(records) if one.input is not None), None),
            "output": _json(records[-1].output),
        }
        for path, records in ended.steps.items()
        if not path.startswith(unkept)
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
        change = _change(given_before.get(path), new["input"])
        if change is not None and (path in called or new["use"] in _WAITING):
            add("changed call", path, *change)
        if (change := _change(_plain(old), _plain(new))) is not None:
            add("output", path, *change)
    for path, use in outside.news:
        add("new call", path, "", None, use)
    if outside.news:
        return list(found.values())
    old_outcome = [recording["outcome"], (recording["error"] or {}).get("code")]
    new_outcome = [ended.outcome.value if ended.outcome else "waiting", ended.error.code if ended.error else None]
    if old_outcome != new_outcome:
        add("outcome", "", "", old_outcome, new_outcome)
    old_path, new_path = ended_paths(steps), [path for path in ended.path if not path.startswith(unkept)]
    beside = side_by_side(step_paths(flow))
    if _lanes(old_path, beside) != _lanes(new_path, beside):
        add("path", "", "", old_path, new_path)
    for path, one in before.items():
        if one["input"] is not None and path not in after and one["state"] != "skipped":
            add("dropped call", path, "", one["use"], None)
    return list(found.values())


def _lanes(paths: Sequence[str], beside: Mapping[str, CompiledStep]) -> dict[tuple[str, ...], list[str]]:
    """Return the paths in groups whose order is fixed: the order of steps that ran side by side is chance."""
    found: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        found.setdefault(lane(path, beside), []).append(path)
    return found


def ended_paths(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the paths of the steps of a recording that ended, in the order of their ends."""
    done = [one["path"] for one in steps if one["state"] in ("succeeded", "failed") and one["path"] != "$reply"]
    return list(dict.fromkeys(done))


def _plain(step: Mapping[str, Any]) -> Any:
    output = step["output"]
    if not isinstance(output, dict) or step["state"] == "waiting":
        return None
    plain = {name: value for name, value in output.items() if name not in (*_OWN.get(step["use"], ()), "delivered")}
    if step["use"] == FLOW and plain.get("body") == {"execution_id": output.get("execution_id")}:
        del plain["body"]
    if step["signal"] == STREAM:
        plain["body"] = {"count": output["body"]["count"]}
    if "attachments" in plain:
        plain["attachments"] = [{**one, "id": None} for one in plain["attachments"]]
    return plain


def _change(old: Any, new: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Return the first place at which two JSON values differ, with both values there."""
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
    if type(old) is type(new) and old == new:
        return None
    if isinstance(old, str) and isinstance(new, str) and mask_resume_urls(old) == mask_resume_urls(new):
        return None
    return place, old, new


def _json(text: bytes | None) -> Any:
    return None if text is None else decode(text, exact=True)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
