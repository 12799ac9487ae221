"""Making a case from a recorded execution: its input, its stubs and answers, and its result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hookline.discovery.registry import Registry
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.flow_call import CompiledCall
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.step_walkers import without_items
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import HooklineError
from hookline.kernel.json import decode, encode
from hookline.model.batch import JOINED
from hookline.model.durations import format_duration
from hookline.model.foreach_progress_and_streams import STREAM
from hookline.simulation.case_run import CaseResult, CaseRunner
from hookline.simulation.cases import Case
from hookline.simulation.expectations import json_differences
from hookline.simulation.recordings.backtest import ended_paths
from hookline.simulation.recordings.case_masking import mask_secrets, public_headers
from hookline.simulation.recordings.playback import told_by_flow, unkept
from hookline.simulation.recordings.recorded_state import masked_state, state_before
from hookline.simulation.step_paths import step_paths
from hookline.simulation.stubs import touches_nothing_outside

_RESULT: Final = frozenset({"body", "headers", "attachments", "error", "status"})
_NOTHING: Final = object()
_FILE: Final = "the content of attachment"


class NoCase(HooklineError):
    """A case can't do the same as the execution."""

    code = "case.differs"


@dataclass(frozen=True, slots=True)
class RecordedCase:
    """A case, as JSON, that passes with the version of the flow that ran."""

    case: dict[str, Any]
    left_out: tuple[str, ...]
    """The things that the case leaves out, each with the reason."""


def recorded_case(
    flow: CompiledFlow,
    recording: Mapping[str, Any],
    name: str,
    runner: CaseRunner,
    registry: Registry,
    folder: Path | None,
) -> RecordedCase:
    """Return the case of an execution, which is JSON as from the admin API. Raises NoCase.

    It expects only values that are equal in the execution and in a run of the case, as times, ids and addresses differ
    each time. `flow` is the version that ran.
    """
    seen = _seen(flow, recording)
    joined = next((one for one in seen["steps"] if one["signal"] == JOINED), None)
    if joined is not None:
        raise NoCase(
            f"execution {recording['id']} ended where it joined the batch of {joined['output']['body']['batch']}, "
            "which a case can't do: make one of that execution"
        )
    draft, left_out = _draft(flow, seen, name, registry)
    ran = runner.run(flow, _case(flow, draft), folder)
    if not ran.passed:
        raise NoCase(_unlike(recording["id"], ran.differences))
    draft["expect"] |= _expected(seen, ran, left_out)
    ran = runner.run(flow, _case(flow, draft), folder)
    if not ran.passed:
        raise NoCase(_unlike(recording["id"], ran.differences))
    return RecordedCase(draft, tuple(left_out))


def recorded_input(flow: CompiledFlow, recording: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
    """Return the case of an execution, without expectations; `flow` needn't be the version that ran."""
    draft, _ = _draft(flow, _seen(flow, recording), f"execution {recording['id']}", registry)
    return draft


def _seen(flow: CompiledFlow, recording: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recording without secrets."""
    shown = {part: recording[part] for part in ("body", "headers", "trigger", "contents", "steps", "error")}
    shown["steps"], secrets = masked_state(recording["steps"])
    # Numbers are read as they will be from the text of the case.
    seen: dict[str, Any] = {**recording, **decode(encode(mask_secrets(shown, secrets)), exact=flow.exact)}
    # Paths and names of actions are never secret, even if they look so.
    seen["steps"] = [
        {**one, "path": kept["path"], "use": kept["use"]}
        for one, kept in zip(seen["steps"], recording["steps"], strict=True)
    ]
    return seen


def _draft(
    flow: CompiledFlow, seen: Mapping[str, Any], name: str, registry: Registry
) -> tuple[dict[str, Any], list[str]]:
    """Return the case of an execution, which expects only its outcome, and the things that it leaves out."""
    left_out: list[str] = []
    given = _input(flow, seen, left_out)
    state, read = state_before(_outside_of(unkept(seen["steps"]), seen["steps"]))
    without_files = any(text.startswith(_FILE) for text in left_out)
    draft: dict[str, Any] = {
        "name": name,
        "input": given,
        "now": seen["started_at"] or seen["created_at"],
        "state": state,
        "retries": seen["attempt"] - 1,
        "stubs": _stubs(flow, seen["steps"], registry, read, without_files=without_files),
        "answers": _answers(flow, seen["steps"]),
        "expect": {"outcome": seen["outcome"]},
    }
    return {key: value for key, value in draft.items() if value or key == "expect"}, left_out


def _unlike(execution_id: str, how: Sequence[str]) -> str:
    return (
        f"a case doesn't do what execution {execution_id} did: {'; '.join(how)}. It has nothing of the files "
        "that steps gave, and of what was masked; try the execution with `hookline backtest`"
    )


def _case(flow: CompiledFlow, draft: Mapping[str, Any]) -> Case:
    return Case.model_validate(decode(encode(draft), exact=flow.exact))


def _input(flow: CompiledFlow, seen: Mapping[str, Any], left_out: list[str]) -> dict[str, Any]:
    settings = flow.trigger.scheme_settings
    # The headers from which the scheme takes its signature or its secret.
    chosen = {} if settings is None else settings.model_dump()
    own = {str(value).lower() for name, value in chosen.items() if "header" in name and isinstance(value, str)}
    headers = {name: value for name, value in public_headers(seen["headers"]).items() if name not in own}
    given: dict[str, Any] = {"body": seen["body"]}
    if headers:
        given["headers"] = headers
    attachments = []
    for one in seen["attachments"]:
        text = seen["contents"].get(one["id"])
        if text is None:
            left_out.append(f"{_FILE} {one['name']!r}, which isn't a small text; name a file for it")
        attachments.append(
            {
                "name": one["name"],
                **({} if one["filename"] is None else {"filename": one["filename"]}),
                "type": one["type"],
                "content": text or "",
            }
        )
    if attachments:
        given["attachments"] = attachments
    if (webhook := flow.trigger.webhook) is not None:
        trigger = seen["trigger"]
        if trigger["method"] in webhook.methods and trigger["method"] != "POST":
            given["method"] = trigger["method"]
        given |= {name: trigger[name] for name in ("path", "query") if trigger.get(name)}
    return given


def _stubs(
    flow: CompiledFlow,
    steps: Sequence[Mapping[str, Any]],
    registry: Registry,
    read: frozenset[str],
    *,
    without_files: bool,
) -> dict[str, Any]:
    """Return the stubs of the steps that can't run in a case, one for each attempt if they differ.

    `read`: the paths of steps that read values which others had set meanwhile.
    """
    compiled_steps, whole = step_paths(flow).steps, unkept(steps)
    attempts: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for one in _outside_of(whole, steps):
        path, step = one["path"], compiled_steps.get(without_items(one["path"]))
        if one["error"] is None and one["state"] != "succeeded":
            continue
        if isinstance(step, CompiledAction):
            # An action that reads a file can't run if the case doesn't have the file.
            itself = touches_nothing_outside(step.action, registry) and not (
                without_files and step.action.pure and step.action.takes_context
            )
            outside = not itself or path in read or one["signal"] == STREAM
        else:
            # A batch step that failed had nothing to add, and fails in the same way without a stub.
            gathered = isinstance(step, CompiledBatch) and one["error"] is None
            outside = isinstance(step, CompiledCall) or gathered or path in whole
        if outside:
            attempts.setdefault(path, []).append((one["attempt"], _stub(one, step)))
    return {path: _each(given) for path, given in attempts.items()}


def _outside_of(blocks: Iterable[str], steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the steps except those of the items of some blocks."""
    inside = tuple(f"{block}[" for block in blocks)
    return [one for one in steps if not one["path"].startswith(inside)]


def _each(given: Sequence[tuple[int, dict[str, Any]]]) -> Any:
    """Return one stub for all attempts, or a list. An attempt without a record was cut short and repeated."""
    each: list[dict[str, Any]] = []
    before = 0
    for attempt, stub in given:
        each += [stub] * max(1, attempt - before)
        before = attempt
    return each[0] if all(one == each[0] for one in each) else each


def _stub(step: Mapping[str, Any], compiled: CompiledStep | None) -> dict[str, Any]:
    output, error = step["output"] or {}, step["error"]
    if error is not None:
        message, place = error["message"], error["step"]
        if isinstance(compiled, CompiledCall):
            told, place = told_by_flow(step, compiled.flow_id)
            message = told or message
        inner = {"step": place} if place not in (None, step["path"]) else {}
        again = {"retryable": True} if error["retryable"] else {}
        return {"error": {"code": error["code"], "message": message, **again, **inner}}
    stub: dict[str, Any] = {"result": output.get("body")}
    if step["signal"] == STREAM:
        stub = {"stream": output["body"]["count"]}
    beside = {key: value for key, value in output.items() if key not in _RESULT}
    if isinstance(status := output.get("status"), int):
        stub["status"] = status
    elif status is not None:
        beside["status"] = status
    if headers := public_headers(output.get("headers", {})):
        stub["headers"] = headers
    if isinstance(compiled, CompiledCall):
        beside = {"outcome": output["outcome"]} if output.get("outcome", "completed") != "completed" else {}
    if beside:
        stub["beside"] = beside
    return stub


def _answers(flow: CompiledFlow, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the callbacks of the steps that waited."""
    compiled_steps = step_paths(flow).steps
    found: dict[str, Any] = {}
    for one in steps:
        path, output = one["path"], one["output"]
        if found.get(path) is not None or not isinstance(compiled_steps.get(without_items(path)), CompiledWait):
            continue
        if output is None:
            found[path] = None
            continue
        given: dict[str, Any] = {"body": output.get("body")}
        if headers := public_headers(output.get("headers", {})):
            given["headers"] = headers
        if output["query"]:
            given["query"] = output["query"]
        if output["method"] != "POST":
            given["method"] = output["method"]
        after = datetime.fromisoformat(output["received_at"]) - datetime.fromisoformat(one["started_at"])
        found[path] = {**given, "after": format_duration(max(after, timedelta()))}
    return found


def _expected(seen: Mapping[str, Any], ran: CaseResult, left_out: list[str]) -> dict[str, Any]:
    """Return the expectation that both runs satisfy. Raises NoCase if other steps ran."""
    steps: Sequence[Mapping[str, Any]] = seen["steps"]
    found: dict[str, Any] = {}
    # Some steps of items may be recorded although not all items are.
    inside = tuple(f"{block}[" for block in unkept(steps))
    path, now = ([one for one in paths if not one.startswith(inside)] for paths in (ended_paths(steps), ran.path))
    if sorted(path) != sorted(now):
        raise NoCase(_unlike(seen["id"], [f"the steps that ran are {', '.join(now)}, not {', '.join(path)}"]))
    body = _body(steps, ran)
    if body is _NOTHING:
        left_out.append("the last body, which isn't the same each time")
    else:
        found["body"] = body
    if seen["error"] is not None:
        error = _same({key: seen["error"][key] for key in ("code", "message", "step")}, _plain_error(ran))
        found["error"] = {} if error is _NOTHING else error
    if path == list(ran.path):
        found["path"] = path
    elif path == now:
        left_out.append("the path, since of some items it isn't recorded")
    else:
        left_out.append("the path, since steps ran side by side")
    found["calls"] = _calls(steps, ran, left_out)
    return found


def _body(steps: Sequence[Mapping[str, Any]], ran: CaseResult) -> Any:
    """Return the last body, as far as it is in the result of a recorded step; `_NOTHING` if it isn't."""
    last = ran.path[-1] if ran.path else None
    given = [
        one["output"]["body"] for one in reversed(steps) if isinstance(one["output"], dict) and "body" in one["output"]
    ]
    if any(not json_differences(one, ran.body) and not json_differences(ran.body, one) for one in given):
        return ran.body
    if ran.error is None and last is not None:
        mine = next((one for one in reversed(steps) if one["path"] == last), None)
        if mine is not None and isinstance(mine["output"], dict):
            return _same(mine["output"].get("body"), ran.body) or _NOTHING
    return _NOTHING


def _calls(steps: Sequence[Mapping[str, Any]], ran: CaseResult, left_out: list[str]) -> list[dict[str, Any]]:
    inputs: dict[str, list[Any]] = {}
    for one in steps:
        # The entry of a step that is about to run or to wait doesn't count: its result has another entry.
        if one["input"] is not None and (one["error"] is not None or one["state"] == "succeeded"):
            inputs.setdefault(one["path"], []).append(one["input"])
    found: list[dict[str, Any]] = []
    for call in ran.calls:
        expected: dict[str, Any] = {"step": call.step, "use": call.use}
        left = inputs.get(call.step)
        given = left.pop(0) if left else None
        if isinstance(given, dict):
            settings = _same(given, call.settings, f"{call.step}: ", left_out)
            if settings is not _NOTHING and settings:
                expected["with"] = settings
        found.append(expected)
    return found


def _same(old: Any, new: Any, place: str = "", left_out: list[str] | None = None) -> Any:
    """Return the common part of two JSON values, as a case can expect it; `_NOTHING` if there is none."""
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: _same(old[key], new[key], f"{place}{key}.", left_out) for key in old if key in new}
        kept = {key: value for key, value in both.items() if value is not _NOTHING}
        return kept if kept or not old else _NOTHING
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        items = [_same(left, right) for left, right in zip(old, new, strict=True)]
        if _NOTHING not in items:
            return items
    elif not json_differences(old, new):
        return old
    if left_out is not None:
        left_out.append(f"{place.removesuffix('.')}, which isn't the same each time, or is secret")
    return _NOTHING


def _plain_error(ran: CaseResult) -> dict[str, Any]:
    error = ran.error
    return {} if error is None else {"code": error.code, "message": error.message, "step": error.step}
