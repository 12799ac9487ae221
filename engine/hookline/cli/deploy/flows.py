"""`hookline flows list|show|pause|resume|stop|reset|versions|rollback|plan|export`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from hookline.cli.client import ApiError, Missing, call, created_for
from hookline.cli.command import CommandGroup, can_ask, emit, emit_page, paged, problem_line, with_pending
from hookline.cli.deploy.report import landing_text, restart_text
from hookline.cli.printable_text import printable
from hookline.cli.table import table
from hookline.kernel.errors import ConfigError, PollStartsAnew, Problem
from hookline.kernel.json import encode
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import DATABASE, Settings

_SETTINGS: Final = ("flows", "db")


@click.group(cls=CommandGroup)
def flows() -> None:
    """Pause, stop and roll back flows; list their versions."""


@flows.command("list", settings=_SETTINGS)
def list_flows(as_json: bool, settings: Settings) -> None:
    """List the flows with their state, version and trigger."""
    found = call(settings, "GET", "flows", missing=_empty_for(settings))

    def text() -> str:
        rows = [(one["id"], _state(one), one["version"] or "", one["trigger"] or "") for one in found["items"]]
        return table(("id", "state", "version", "trigger"), rows)

    emit(found, as_json=as_json, text=text)


@flows.command("show", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def show_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Show a flow: its state, who decided it, the version that serves, and the problems of its file."""
    found = call(settings, "GET", "flows", flow_id, missing=_empty_for(settings))
    emit(found, as_json=as_json, text=lambda: _described(found))


@flows.command("pause", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def pause_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Pause FLOW: it accepts messages and starts none of them. Executions that have started continue."""
    _decide("pause", flow_id, as_json, settings)


@flows.command("stop", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def stop_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Stop FLOW: it accepts no messages, and senders get 404. Executions that have started continue."""
    _decide("stop", flow_id, as_json, settings)


@flows.command("resume", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def resume_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Resume FLOW: it accepts messages and runs them, even if its file says `paused` or `stopped`."""
    _decide("resume", flow_id, as_json, settings)


@flows.command("reset", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def reset_flow(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Return FLOW to the state that its file says."""
    _decide("reset", flow_id, as_json, settings)


@flows.command("versions", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def list_versions(flow_id: str, as_json: bool, settings: Settings) -> None:
    """List the kept versions of FLOW, and how many executions are on each."""
    found = call(settings, "GET", "flows", flow_id, "versions")

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
        return table(("version", "published", "served from", "executions"), rows, texts=("executions",))

    emit(found, as_json=as_json, text=text)


_existing: Final = click.option(
    "--existing/--no-existing",
    default=None,
    help="If the poll of the flow starts anew: start executions for the existing items, or count them as seen.",
)


@flows.command("rollback", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("version", required=False)
@click.option("--force", is_flag=True, help="Overwrite changes in the flow's file that were never published.")
@_existing
def roll_back_flow(
    flow_id: str, version: str | None, force: bool, existing: bool | None, as_json: bool, settings: Settings
) -> None:
    """Write VERSION of FLOW to its file; by default the version that served before.

    A running server serves it at once. VERSION is its first digits, as `hookline flows versions FLOW` lists them.
    """
    body = {"version": version, "force": force, "existing": existing}
    try:
        done = call(settings, "POST", "flows", flow_id, "rollback", body=body)
    except ApiError as error:
        if error.error_code != PollStartsAnew.code:
            raise
        if as_json or not can_ask():
            raise ConfigError(f"the poll of flow {flow_id!r} starts anew in that version: {_OPTIONS}") from None
        body["existing"] = click.confirm(f"The poll of flow {flow_id!r} starts anew. {_QUESTION}", err=True)
        done = call(settings, "POST", "flows", flow_id, "rollback", body=body)
    emit(done, as_json=as_json, text=lambda: _rolled_back(done))


@flows.command("plan", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The file with the flow; by default the one in the flows directory.",
)
@_existing
@paged
def plan_deploy(
    flow_id: str,
    file: Path | None,
    existing: bool | None,
    cursor: str | None,
    limit: int,
    as_json: bool,
    settings: Settings,
) -> None:
    """Show where each waiting execution of FLOW would continue in the flow's file as it is now, and if its poll would
    start anew. Nothing is changed; the answer about existing items is kept until the poll starts.

    A deployment doesn't move waiting executions: they stay on their versions until `hookline executions move`.
    """
    import msgspec

    path = file or settings.flows_dir / f"{flow_id}.json"
    try:
        document = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
    body = {"document": msgspec.Raw(_value(document, path)), "existing": existing}
    page = call(settings, "POST", "flows", flow_id, "plan", body=body, cursor=cursor, limit=limit)
    poll = page["poll"]
    if poll is not None and not poll["answered"] and not as_json and can_ask():
        body["existing"] = click.confirm(
            f"{printable(restart_text(poll))}. {_QUESTION}", default=poll["existing"], err=True
        )
        page = call(settings, "POST", "flows", flow_id, "plan", body=body, cursor=cursor, limit=limit)
    elif poll is not None and not as_json:
        seen = "start executions" if poll["existing"] else "count as seen"
        ask = "" if poll["answered"] else f" ({_OPTIONS})"
        click.echo(f"{printable(restart_text(poll))}; the items that exist then {seen}{ask}")
    emit_page(
        page,
        as_json=as_json,
        columns=("execution", "version", "waits", f"in {page['version']}"),
        row=lambda one: (one["execution_id"], one["flow_version"], one["reason"] or "", landing_text(one)),
        texts=("waits", f"in {page['version']}"),
        ids=("execution",),
    )


@flows.command("export", settings=_SETTINGS)
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False), default=Path("flows"))
@click.option("--force", is_flag=True, help="Overwrite files that differ.")
def export_flows(directory: Path, force: bool, as_json: bool, settings: Settings) -> None:
    """Write the flows that serve, and their test cases, to files in DIR; DIR is `flows` by default.

    Nothing is written if a file in DIR differs, unless --force is given. Other files in DIR stay.
    """
    from hookline.cli.deploy.exported_files import export

    written = export(settings, directory, force=force)
    shown = {"directory": str(directory), "files": [path.name for path in written]}
    emit(shown, as_json=as_json, text=lambda: f"{directory}: {counted(len(written), 'file')} written")


_QUESTION: Final = "Shall the items that exist start executions? If not, they count as seen."
_OPTIONS: Final = "say --existing if the items that exist are to start executions, or --no-existing if not"


def _value(document: bytes, path: Path) -> bytes:
    """The text of a flow as plain JSON. Raises FlowInvalid."""
    from hookline.flows.documents.read import read

    return encode(read(document, str(path)).value)


def _rolled_back(done: Mapping[str, Any]) -> str:
    where = f"flow {done['flow_id']}" if done["file"] is None else done["file"]
    return with_pending(f"{where} has version {done['version']} again", done)


def _decide(decision: str, flow_id: str, as_json: bool, settings: Settings) -> None:
    found = call(settings, "POST", "flows", flow_id, decision, missing=created_for(settings, flow_id))
    emit(found, as_json=as_json, text=lambda: with_pending(f"flow {flow_id} is {_state(found)}", found))


def _empty_for(settings: Settings) -> Missing:
    """Return that a database that doesn't exist is read as an empty one, if there is a directory of flows."""
    return "empty" if settings.flows != DATABASE and settings.flows_dir.is_dir() else "rejected"


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
            f"         decided {override['at']}; until `hookline flows reset {flow['id']}`, or until the state"
        )
        lines.append("         in the file changes")
    for name, value in (("version", flow["version"]), ("trigger", flow["trigger"]), ("url", flow["url"])):
        if value:
            lines.append(f"{name:<8} {value}")
    if flow["source"] is not None:
        lines.append(f"source   {source_status(flow['source'])}")
    lines.append(f"file     {flow['file'] or 'none: it is served from the database'}")
    lines += [problem_line(Problem(**problem)) for problem in flow["problems"]]
    return "\n".join(map(printable, lines))


def source_status(source: Mapping[str, Any]) -> str:
    """The status of a schedule, a poll or a broker, as text."""
    last = f"; last at {source['last_at']}" if source["last_at"] else ""
    if source["error"] is not None:
        again = f"; next try at {source['next_at']}" if source["next_at"] else ""
        often = "failed" if source["failures"] == 1 else f"failed {source['failures']:,} times in a row"
        return f"{often}: {source['error']}{again}{last}"
    if source["listening"] is not None:
        return ("listening" if source["listening"] else "connecting") + last
    if source["subscribed"] is not None:
        renewed = f"; renews at {source['next_at']}" if source["next_at"] else ""
        return ("subscribed" if source["subscribed"] else "not subscribed yet") + renewed + last
    return (f"next at {source['next_at']}" if source["next_at"] else "nothing is scheduled") + last
