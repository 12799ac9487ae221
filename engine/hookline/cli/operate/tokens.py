"""`hookline tokens create|list|revoke`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from hookline.cli.client import call
from hookline.cli.command import CommandGroup, NotFound, emit
from hookline.cli.table import table
from hookline.model.access import TokenScope
from hookline.server_settings import Settings

_SETTINGS: Final = ("db",)


@click.group(cls=CommandGroup)
def tokens() -> None:
    """Manage the tokens of the admin API, with their scopes and expiry."""


@tokens.command("create", settings=_SETTINGS)
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in TokenScope]),
    help="A scope of the token; each scope includes those before it. May be repeated.",
)
@click.option("--expires", metavar="WHEN", help="A duration such as 90d, or a time such as 2026-01-31T08:00:00Z.")
@click.option("--flow", "flows", multiple=True, metavar="FLOW", help="Limit it to this flow. May be repeated.")
def create_token(
    name: str,
    scopes: tuple[str, ...],
    expires: str | None,
    flows: tuple[str, ...],
    as_json: bool,
    settings: Settings,
) -> None:
    """Create a token and print it, which is possible only once. Without --expires, it doesn't expire."""
    body = {"name": name, "scopes": scopes, "expires": expires, "flows": flows or None}
    made = call(settings, "POST", "tokens", body=body, missing="created")
    emit(made, as_json=as_json, text=lambda: str(made["token"]))


@tokens.command("list", settings=_SETTINGS)
def list_tokens(as_json: bool, settings: Settings) -> None:
    """List the tokens, newest first, including those that expired or were revoked."""
    found = call(settings, "GET", "tokens")["items"]
    columns = ("name", "scopes", "flows", "created", "by", "expires", "state", "id")
    emit(found, as_json=as_json, text=lambda: table(columns, [_row(one) for one in found], ids=("id",)))


def _row(one: Mapping[str, Any]) -> Sequence[str]:
    state = "valid" if one["valid"] else "revoked" if one["revoked_at"] else "expired"
    flows = "all" if one["flows"] is None else " ".join(one["flows"])
    scopes = " ".join(one["scopes"])
    return one["name"], scopes, flows, one["created_at"], one["created_by"], one["expires"] or "never", state, one["id"]


@tokens.command("revoke", settings=_SETTINGS)
@click.argument("name", metavar="NAME|ID")
def revoke_token(name: str, as_json: bool, settings: Settings) -> None:
    """Revoke a token, by its name or its id. It is invalid at once."""
    found = [one for one in call(settings, "GET", "tokens")["items"] if not one["revoked_at"]]
    meant = [one for one in found if name in (one["name"], one["id"])]
    if not meant:
        raise NotFound(f"there is no token {name!r}, or it was revoked already; `hookline tokens list` lists them")
    call(settings, "DELETE", "tokens", meant[0]["id"])
    emit({"id": meant[0]["id"]}, as_json=as_json, text=lambda: f"token {meant[0]['name']} is revoked")
