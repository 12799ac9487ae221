"""`hookline nodes`."""

from collections.abc import Mapping
from typing import Any

import click

from hookline.cli.client import call
from hookline.cli.command import CommandGroup, NotFound, emit
from hookline.cli.table import table
from hookline.server_settings import Settings

_SETTINGS = ("db",)


@click.group(cls=CommandGroup)
def nodes() -> None:
    """List the processes that serve the database, and take them out."""


@nodes.command("list", settings=_SETTINGS)
def list_nodes(as_json: bool, settings: Settings) -> None:
    """List the nodes that serve the database, and those that did in the last hour."""
    found = call(settings, "GET", "nodes")
    columns = ("name", "state", "changes", "role", "version", "started", "clock", "queue", "id")
    emit(found, as_json=as_json, text=lambda: table(columns, [_row(one) for one in found["items"]]))


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    clock = f"{one['clock_ahead']:+.1f} s"
    changes = "pending" if one["pending"] else "" if one["state"] == "gone" else "adopted"
    about = one["name"], one["state"], changes, one["role"], one["version"], one["started_at"]
    return *about, clock, one.get("queue") or "", one["id"]


@nodes.command("drain", settings=_SETTINGS)
@click.argument("name", metavar="NAME|ID")
def drain_node(name: str, as_json: bool, settings: Settings) -> None:
    """Ask a node to stop, as SIGTERM does: it accepts no new connections, and lets its executions end."""
    living = [one for one in call(settings, "GET", "nodes")["items"] if one["state"] != "gone"]
    meant = [one for one in living if name in (one["name"], one["id"])]
    if not meant:
        raise NotFound(f"no node {name!r} serves; `hookline nodes list` lists them")
    if len(meant) > 1:
        ids = ", ".join(one["id"] for one in meant)
        raise NotFound(f"there are {len(meant)} nodes {name!r}; name one by its id: {ids}")
    call(settings, "POST", "nodes", meant[0]["id"], "drain")
    emit({"id": meant[0]["id"]}, as_json=as_json, text=lambda: f"node {meant[0]['name']} stops")
