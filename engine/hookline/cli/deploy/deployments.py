"""`hookline deployments list|show|rollback`."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

import click

from hookline.cli.client import ApiError, Client, call, connect
from hookline.cli.command import CommandGroup, NotFound, can_ask, emit, emit_page, paged, with_pending
from hookline.cli.printable_text import printable
from hookline.cli.table import table
from hookline.kernel.errors import ConfigError, DeploymentNotFound
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)
_PAGE: Final = 200
_LENGTH: Final = 36
_PART: Final = re.compile(r"[0-9a-f-]{4,35}\Z")


@click.group(cls=CommandGroup)
def deployments() -> None:
    """List, show and roll back deployments."""


@deployments.command("list", settings=_SETTINGS)
@paged
def list_deployments(cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """List the deployments, newest first: who has deployed which flows, and why."""
    page = call(settings, "GET", "deployments", cursor=cursor, limit=limit)
    columns = ("id", "time", "author", "flows", "message")
    emit_page(
        page,
        as_json=as_json,
        columns=columns,
        row=lambda one: (one["id"], one["at"], one["author"], _flows(one), _message(one)),
        texts=("flows", "message"),
        ids=("id",),
    )


@deployments.command("show", settings=_SETTINGS)
@click.argument("deployment_id", metavar="ID")
def show_deployment(deployment_id: str, as_json: bool, settings: Settings) -> None:
    """Show a deployment: its flows, with the versions before and after it.

    ID is its id, or the first or last characters of the id, as `hookline deployments list` shows them.
    """
    found = asyncio.run(_found(settings, deployment_id))

    def text() -> str:
        rows = [(one["flow_id"], one["before"] or "none", one["version"] or "none") for one in found["flows"]]
        who = f"{found['author']} from {found['address']}" if found["address"] else found["author"]
        lines = [
            f"deployment {found['id']} at {found['at']}",
            f"author   {who}",
            f"message  {_message(found) or 'none'}",
        ]
        return "\n".join([*map(printable, lines), table(("flow", "version before", "version after"), rows)])

    emit(found, as_json=as_json, text=text)


@deployments.command("rollback", settings=_SETTINGS)
@click.argument("deployment_id", metavar="ID")
@click.option("--yes", "-y", is_flag=True, help="Roll back without asking.")
def roll_back(deployment_id: str, yes: bool, as_json: bool, settings: Settings) -> None:
    """Serve all flows again as they were after the deployment ID. Flows that came later are deleted.

    This is a new deployment, which can be rolled back, too.
    """
    found = asyncio.run(_found(settings, deployment_id))
    if not yes:
        if as_json or not can_ask():
            raise ConfigError("there is no terminal to ask at, so nothing was changed: add --yes to roll back")
        question = (
            f"Serve all flows as they were after deployment {found['id']} of {found['at']}, by {found['author']}?"
        )
        click.confirm(f"{printable(question)} Flows that came later are deleted.", abort=True, err=True)
    done = call(settings, "POST", "deployments", found["id"], "rollback")
    emit(done, as_json=as_json, text=lambda: _rolled_back(done))


def _rolled_back(done: Mapping[str, Any]) -> str:
    made = done["deployment"]
    if made is None:
        return "nothing was changed: all flows are as they were after that deployment"
    rows = [(one["flow_id"], one["before"] or "none", one["version"] or "none") for one in made["flows"]]
    shown = table(("flow", "version before", "version now"), rows)
    return with_pending(f"deployment {made['id']}: {counted(len(rows), 'flow')}\n{shown}", done)


async def _found(settings: Settings, text: str) -> Mapping[str, Any]:
    """The deployment whose id is, begins with or ends with a text. Raises NotFound."""
    part = text.strip("…").lower()
    async with connect(settings) as client:
        try:
            found: Mapping[str, Any] = await (
                client.get("deployments", part) if len(part) >= _LENGTH else _matching(client, part)
            )
        except ApiError as error:
            if error.error_code != DeploymentNotFound.code:
                raise
            raise NotFound(f"{error.message}; `hookline deployments list` lists them") from None
        return found


async def _matching(client: Client, part: str) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = []
    cursor: str | None = None
    while _PART.match(part):
        page = await client.get("deployments", cursor=cursor, limit=_PAGE)
        found += [one for one in page["items"] if one["id"].startswith(part) or one["id"].endswith(part)]
        cursor = page["next"]
        if cursor is None:
            break
    if not found:
        raise NotFound(f"there is no deployment {part!r}; `hookline deployments list` lists them")
    if len(found) > 1:
        ids = "\n".join(f"{one['id']} {one['at']}" for one in found)
        raise NotFound(f"{part!r} is the beginning or the end of several ids:\n{ids}")
    return found[0]


def _flows(one: Mapping[str, Any]) -> str:
    return ", ".join(flow["flow_id"] if flow["version"] else f"{flow['flow_id']} (deleted)" for flow in one["flows"])


def _message(one: Mapping[str, Any]) -> str:
    if one["rollback_of"] is not None:
        return f"rollback to {one['rollback_of']}"
    return one["message"] or ""
