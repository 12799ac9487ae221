"""`hookline captures open|list|requests|show|close|delete`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from hookline.cli.client import call
from hookline.cli.command import CommandGroup, emit, emit_page, paged
from hookline.cli.table import table
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)
_NO_SERVER: Final = "requests are captured by a running server: start one with `hookline serve`"


@click.group(cls=CommandGroup)
def captures() -> None:
    """Capture the requests to the URL of a flow, which may not exist yet."""


@captures.command("open", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def open_capture(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Capture the requests to the URL of FLOW for 10 minutes from now, also those that are rejected.

    The newest 50 requests are kept, for an hour. Until there is a flow of this id, they get 202.
    """
    opened = call(settings, "POST", "captures", body={"flow_id": flow_id}, server_only=_NO_SERVER)
    emit(opened, as_json=as_json, text=lambda: f"{opened['url']} is captured until {opened['expires_at']}")


@captures.command("list", settings=_SETTINGS)
def list_captures(as_json: bool, settings: Settings) -> None:
    """List the captures that are open, or have requests."""
    found = call(settings, "GET", "captures")["items"]
    columns = ("flow", "state", "until", "opened by", "requests")

    def row(one: Mapping[str, Any]) -> Sequence[str]:
        state = "open" if one["open"] else "closed"
        return one["flow_id"], state, one["expires_at"], one["opened_by"], str(one["requests"])

    emit(found, as_json=as_json, text=lambda: table(columns, [row(one) for one in found]))


@captures.command("requests", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@paged
def list_captured(flow_id: str, cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """List the captured requests to the URL of FLOW, newest first."""
    emit_page(
        call(settings, "GET", "captures", flow_id, "requests", cursor=cursor, limit=limit),
        as_json=as_json,
        columns=("time", "result", "status", "request", "bytes", "from", "id", "reason"),
        row=lambda one: (
            one["at"],
            one["result"],
            str(one["status"]),
            f"{one['method']} {one['path']}",
            str(one["size"]),
            one["client"] or "",
            one["id"],
            one["reason"] or one["execution_id"] or "",
        ),
        texts=("request", "reason"),
    )


@captures.command("show", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("request_id", metavar="REQUEST")
def show_captured(flow_id: str, request_id: str, as_json: bool, settings: Settings) -> None:
    """Show a captured request with its headers and its body. Secrets are masked."""
    found = call(settings, "GET", "captures", flow_id, "requests", request_id)

    def text() -> str:
        query = f"?{found['query']}" if found["query"] else ""
        became = f"{found['result']} with {found['status']}" + (f": {found['reason']}" if found["reason"] else "")
        head = [f"{found['method']} /hook/{found['path']}{query}", *(": ".join(one) for one in found["headers"])]
        body = f"(no body: {found['left_out']})" if found["left_out"] else found["body"] or ""
        if found["encoding"] == "base64" and body:
            body = f"(base64) {body}"
        return "\n".join((f"{found['at']} {became}", "", *head, "", body))

    emit(found, as_json=as_json, text=text)


@captures.command("close", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def close_capture(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Capture no more requests to the URL of FLOW. Those that were captured stay for their hour."""
    closed = call(settings, "POST", "captures", flow_id, "close")
    emit(closed, as_json=as_json, text=lambda: f"the capture of {flow_id} is closed")


@captures.command("delete", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
def delete_capture(flow_id: str, as_json: bool, settings: Settings) -> None:
    """Delete the capture of FLOW, with its requests."""
    call(settings, "DELETE", "captures", flow_id)
    emit({"flow_id": flow_id}, as_json=as_json, text=lambda: f"the capture of {flow_id} is deleted")
