"""Texts about a deployment: its differences, and the waiting executions and the polls that it concerns."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hookline.cli.command import problem_line, with_pending
from hookline.cli.deploy.comparison import FlowChange
from hookline.cli.deploy.deploy_steps import Prepared
from hookline.cli.printable_text import printable
from hookline.kernel.suggestions_and_counts import counted

_MARKS: Final = {"added": "+", "changed": "~", "deleted": "-"}


def differences_text(prepared: Prepared, directory: Path) -> str:
    """The changes that a deployment would make, and the warnings about it."""
    comparison = prepared.comparison
    lines = [f"{directory} → {prepared.server or 'the database of this machine'}"]
    for one in comparison.changed:
        lines += _flow_lines(one)
    unchanged = len(comparison.changes) - len(comparison.changed)
    if unchanged:
        lines.append(f"{counted(unchanged, 'flow')} unchanged")
    if comparison.only_on_server:
        which = ", ".join(comparison.only_on_server)
        lines.append(f"only on the server, and left there: {which} (--delete deletes them)")
    lines += [problem_line(one) for one in prepared.warnings]
    if prepared.cases:
        lines.append(f"{counted(prepared.cases, 'case')} passed")
    lines += plan_lines(prepared.plans)
    return "\n".join(map(printable, lines))


def _flow_lines(one: FlowChange) -> Iterator[str]:
    count = len(one.differences)
    what = {"added": "new", "deleted": "deleted"}.get(one.change) or (
        counted(count, "difference") if count else "no difference in meaning"
    )
    others = [name for name, differs in (("title", one.title), ("test cases", one.cases)) if differs]
    besides = f"; {' and '.join(others)} too" if others and one.change == "changed" else ""
    yield f"{_MARKS[one.change]} {one.flow_id} ({one.before or 'none'} → {one.version or 'none'}): {what}{besides}"
    yield from (f"    {each}" for each in one.differences)


def plan_lines(plans: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The places at which waiting executions would continue, and the polls that start anew."""
    for plan in plans:
        if plan["poll"] is not None:
            yield f"{plan['flow_id']}: {restart_text(plan['poll'])}"
        if plan["items"]:
            more = " and more" if plan["next"] else ""
            waiting = counted(len(plan["items"]), "execution")
            yield f"{plan['flow_id']}: {waiting}{more} will stay on the versions that they have; in {plan['version']}:"
            yield from (f"    {one['execution_id']} {landing_text(one)}" for one in plan["items"])


def deployed_text(done: Mapping[str, Any], plans: Sequence[Mapping[str, Any]]) -> str:
    """The result of a deployment."""
    made = done["deployment"]
    if made is None:
        lines = ["deployed the title or the test cases; no version has changed"]
    else:
        lines = [f"deployment {made['id']}: {counted(len(made['flows']), 'flow')}"]
    fitting = [one["execution_id"] for plan in plans for one in plan["items"] if one["fits"]]
    waiting = sum(len(plan["items"]) for plan in plans)
    if waiting:
        lines.append(f"{counted(waiting, 'execution')} still waiting, and on the versions that they have")
    if fitting:
        named = " ".join(fitting[:3]) + (" …" if len(fitting) > 3 else "")
        lines.append(f"to move them: hookline executions move --to current {named}")
    return with_pending("\n".join(lines), done)


def restart_text(poll: Mapping[str, Any]) -> str:
    """The reason why a poll starts anew."""
    why = f"because of {', '.join(poll['changed'])}" if poll["changed"] else "because the trigger is another one"
    return f"the poll {poll['trigger']} starts anew, {why}"


def landing_text(one: Mapping[str, Any]) -> str:
    """The place at which an execution would continue."""
    if not one["fits"]:
        return f"doesn't fit: {one['problem']}"
    return f"continues at {', '.join(one['lands'])}" if one["lands"] else "ends"
