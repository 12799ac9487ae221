"""`hookline flows list|show|pause|resume|stop|reset|versions|rollback|plan`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hookline.cli.command import CommandGroup, emit, problem_line, table
from hookline.config import Settings
from hookline.kernel.errors import ConfigError, Problem

if TYPE_CHECKING:
    from hookline.cli.access import Access

_SETTINGS: Final = ("flows", "db")
_T = TypeVar("_T")


@click.group(cls=CommandGroup)
def flows() -> None:
    """Which flows serve, in which version; pausing, stopping and rolling them back."""


@flows.command("list", settings=_SETTINGS)
def list_flows(as_json: bool, settings: Settings) -> None:
    """The flows, with what state they are in, and which version serves."""
    found = _held(settings, lambda held: held.flows())

    def text() -> str:
        rows = [(one["id"], _state(one), one["version"] or "", one["trigger"] or "") for one in found["items"]]
        return table(("id", "state", "version", "trigger"), rows)

    emit(found, as_json=as_json, text=text)


@flows.command("show", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def show_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """A flow: its state and who decided it, the version that serves, and what is wrong with its file."""
    found = _held(settings, lambda held: held.flow(flow_id))
    emit(found, as_json=as_json, text=lambda: _described(found))


@flows.command("pause", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def pause_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Let FLOW keep the messages that it takes, and begin none of them; what has begun goes on."""
    _decide("pause", flow_id, as_json, settings)


@flows.command("stop", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def stop_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Let FLOW take no messages: senders get 404. What has begun goes on."""
    _decide("stop", flow_id, as_json, settings)


@flows.command("resume", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def resume_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Let FLOW take messages and run them, whatever its file says."""
    _decide("resume", flow_id, as_json, settings)


@flows.command("reset", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def reset_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Let what the file of FLOW says of its state hold."""
    _decide("reset", flow_id, as_json, settings)


@flows.command("versions", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def list_versions(flow_id: str, as_json: bool, settings: Settings) -> None:
    """The versions of FLOW that are kept, and how many executions are on each."""
    found = _held(settings, lambda held: held.flow_versions(flow_id))

    def text() -> str:
        rows = [
            (
                f"{one['version']}{' (serves)' if one['serves'] else ''}",
                one["created_at"],
                one["served_at"],
                ", ".join(f"{count} {state}" for state, count in sorted(one["executions"].items())),
            )
            for one in found["items"]
        ]
        return table(("version", "published", "served from", "executions"), rows)

    emit(found, as_json=as_json, text=text)


@flows.command("rollback", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Give up what the flow's file says and never served.")
def roll_back_flow(flow_id: str, version: str | None, force: bool, as_json: bool, settings: Settings) -> None:
    """Write VERSION of FLOW to its file, by default the version that served before.

    A server that runs takes it up at once. VERSION is its first digits, as `hookline flows versions FLOW` gives them.
    """
    done = _held(settings, lambda held: held.roll_back(flow_id, version, force=force))
    emit(done, as_json=as_json, text=lambda: f"{done['file']} says version {done['version']} again")


@flows.command("plan", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The file with the flow, in place of that in the flows directory.",
)
@click.option("--cursor", help="Where the page starts: the `next` of the page before.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many are shown.")
def plan_deploy(
    flow_id: str, file: Path | None, cursor: str | None, limit: int, as_json: bool, settings: Settings
) -> None:
    """Where each waiting execution of FLOW would go on in what its file says now; nothing is done.

    Deploying changes nothing under them: they stay on their versions, until `hookline executions move` moves them.
    """
    path = file or settings.flows / f"{flow_id}.json"
    try:
        document = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    found = _held(settings, lambda held: held.plan(flow_id, _value(document, path), cursor, limit))

    def text() -> str:
        rows = [
            (one["execution_id"], one["flow_version"], one["reason"] or "", _landing(one)) for one in found["items"]
        ]
        shown = table(("execution", "is on", "waits", f"in {found['version']}"), rows)
        return shown if found["next"] is None else f"{shown}\nmore: --cursor {found['next']}"

    emit(found, as_json=as_json, text=text)


def _value(document: bytes, path: Path) -> bytes:
    """The text of a flow as plain JSON. Raises FlowInvalid."""
    from hookline.flows.documents.read import read
    from hookline.kernel.json import encode

    return encode(read(document, str(path)).value)


def _landing(one: Mapping[str, Any]) -> str:
    if not one["fits"]:
        return f"doesn't fit: {one['problem']}"
    return f"goes on at {', '.join(one['lands'])}" if one["lands"] else "comes to its end"


def _decide(decision: str, flow_id: str, as_json: bool, settings: Settings) -> None:
    found = _held(settings, lambda held: held.decide(flow_id, decision))
    emit(found, as_json=as_json, text=lambda: f"flow {flow_id} is {_state(found)}")


def _state(flow: Mapping[str, Any]) -> str:
    state: str = flow["state"]
    override = flow["override"]
    return state if override is None else f"{state} (its file says {override['file_state']})"


def _described(flow: Mapping[str, Any]) -> str:
    lines = [
        f"flow {flow['id']}: {flow['title']}" if flow["title"] else f"flow {flow['id']}",
        f"state    {_state(flow)}",
    ]
    override = flow["override"]
    if override is not None:
        lines.append(
            f"         decided {override['at']}; holds until `hookline flows reset {flow['id']}`, or until the"
        )
        lines.append("         file says something else of its state")
    for name, value in (("version", flow["version"]), ("trigger", flow["trigger"]), ("url", flow["url"])):
        if value:
            lines.append(f"{name:<8} {value}")
    if flow["source"] is not None:
        lines.append(f"source   {_source(flow['source'])}")
    lines.append(f"file     {flow['file']}")
    lines += [problem_line(Problem(**problem)) for problem in flow["problems"]]
    return "\n".join(lines)


def _source(source: Mapping[str, Any]) -> str:
    """How a schedule, a poll or a broker is doing."""
    last = f"; the last time was {source['last_at']}" if source["last_at"] else ""
    if source["error"] is not None:
        again = f"; again at {source['next_at']}" if source["next_at"] else ""
        return f"failed {source['failures']} times in a row: {source['error']}{again}{last}"
    if source["listening"] is not None:
        return ("listens" if source["listening"] else "connects") + last
    return (f"next at {source['next_at']}" if source["next_at"] else "never again") + last


def _held(settings: Settings, ask: "Callable[[Access], Awaitable[_T]]") -> _T:
    from hookline.cli.access import access

    async def run() -> _T:
        async with access(settings) as held:
            return await ask(held)

    return asyncio.run(run())
