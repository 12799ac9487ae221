"""Executions, their events and the origins of their values, as text."""

from collections.abc import Mapping
from typing import Any

from hookline.kernel.json import encode
from hookline.kernel.suggestions_and_counts import counted
from hookline.model.execution import State


def describe_execution(execution: Mapping[str, Any]) -> str:
    """An execution as text: a summary, and each step with its input and output."""
    lines = [
        f"execution {execution['id']} of {execution['flow_id']} (version {execution['flow_version'] or 'not bound'})",
        f"{execution['state']}{_in_brackets(execution['outcome'])}, accepted {execution['created_at']}"
        f"{_finished(execution)}",
    ]
    if parent := execution["trigger"].get("parent"):
        lines.append(f"started by execution {parent['execution_id']} of {parent['flow_id']}, at {parent['path']}")
    if cause := error_or_wait(execution):
        lines.append(cause)
    if execution["replay_of"]:
        lines.append(f"a replay of {execution['replay_of']}")
    if execution["node"]:
        lines.append(f"node {execution['node']}")
    if execution["discarded_at"]:
        lines.append(f"discarded {execution['discarded_at']}")
    elif execution["cause"]:
        lines.append(f"dead letter, cause {execution['cause']}")
    if execution["files_removed_at"]:
        lines.append(f"its files were removed {execution['files_removed_at']} (the setting file_retention)")
    for wait in execution["waits"]:
        lines.append(f"waits at {wait['path']} since {wait['since']}{_until(wait)} for a callback{_url(wait)}")
    for block in execution["items"]:
        failed = f", {block['failed']:,} of them failed" if block["failed"] else ""
        lines += ["", f"{block['path']}  foreach: {block['done']:,} of {block['total']:,} items done{failed}"]
    for step in execution["steps"]:
        attempt = "" if step["attempt"] == 1 else f", attempt {step['attempt']}"
        lines += ["", f"{step['path']}  {step['use']}: {step['state']}{_in_brackets(_signal(step))}{attempt}"]
        lines.append(f"  time   {step['started_at']} to {step['finished_at']}")
        lines += [
            f"  before {one['finished_at']}: attempt {one['attempt']} {one['state']}{_failure(one)}"
            for one in step["earlier"]
        ]
        lines += [f"  {name:<6} {_json(step[name])}" for name in ("input", "output") if step[name] is not None]
        if step["error"] is not None:
            lines.append(f"  error  {step['error']['code']}: {step['error']['message']}")
        if step["due_at"] is not None:
            lines.append(f"  again  {step['due_at']}")
    if execution["more_steps"]:
        lines += ["", "there are more steps; the admin API's executions/<id>/steps has all"]
    return "\n".join(lines)


def error_or_wait(execution: Mapping[str, Any]) -> str:
    """The error that an execution failed with, or the reason that it waits for; empty if there is none."""
    error = execution["error"]
    if error is not None:
        return f"{error['code']}: {error['message']}" + (f" (at {error['step']})" if error["step"] else "")
    reason = execution["reason"]
    return f"waits: {reason}" if reason and execution["state"] == State.WAITING else ""


def event_line(event: Mapping[str, Any]) -> str:
    """An event of the server as a line."""
    kind, data = event["event"], event["data"]
    if kind == "gap":
        return f"… {counted(data['count'], 'event')} or more were missed"
    where = f"{data['at']}  {data['flow_id']}  {data['execution_id']}  {kind}"
    step = data.get("step")
    if step is not None:
        attempt = f", attempt {step['attempt']}" if step["attempt"] > 1 else ""
        return f"{where}  {step['path']} {step['state']}{attempt}{_cause(step['error'])}"
    detail = data.get("outcome") or data.get("reason") or ""
    return f"{where}  {detail}{_cause(data.get('error'))}".rstrip()


def origin_lines(origin: Mapping[str, Any], depth: int = 0) -> list[str]:
    """The origin of a value as lines, indented by how far back each one is."""
    indent = "  " * depth
    value = _short(origin["value"]) if origin["known"] else "(not there)"
    lines = [f"{indent}{origin['field']} = {value}"]
    for maker in origin["made_by"]:
        place = f"{maker['file']}:{maker['line']}" if maker["file"] else "the version that ran"
        expression = f"  {maker['expression']}" if maker["expression"] else "  (written there)"
        lines.append(f"{indent}  made by {place} {maker['pointer']}{expression}")
    if origin["note"] and not origin["made_by"]:
        lines.append(f"{indent}  {origin['note']}" + (f" (step {origin['step']})" if origin["step"] else ""))
    for read in origin["reads"]:
        lines += origin_lines(read, depth + 2)
    return lines


def _cause(error: Mapping[str, Any] | None) -> str:
    return f"  {error['code']}: {error['message']}" if error else ""


def _failure(attempt: Mapping[str, Any]) -> str:
    error = attempt["error"]
    return f", {error['code']}: {error['message']}" if error else ""


def _until(wait: Mapping[str, Any]) -> str:
    return f", until {wait['until']}," if wait["until"] else ""


def _url(wait: Mapping[str, Any]) -> str:
    return f" to {wait['url']}" if wait["url"] else ""


def _json(value: Any) -> str:
    if isinstance(value, dict) and {"headers", "attachments", "extra"} <= value.keys():
        # A result: its empty parts are left out.
        value = {key: item for key, item in value.items() if item or key == "body"}
    text = encode(value).decode()
    return text if len(text) <= 500 else f"{text[:500]}… ({len(text)} characters; --json shows all)"


def _short(value: Any) -> str:
    text = encode(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def _finished(execution: Mapping[str, Any]) -> str:
    return f", finished {execution['finished_at']}" if execution["finished_at"] else ""


def _signal(step: Mapping[str, Any]) -> str | None:
    # A message that passes on is the normal case.
    return None if step["signal"] == "pass" else step["signal"]


def _in_brackets(text: str | None) -> str:
    return f" ({text})" if text else ""
