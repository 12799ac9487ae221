"""`hookline state list|get|set|delete`."""

from typing import Any, Final

import click

from hookline.cli.client import call, created_for
from hookline.cli.command import CommandGroup, emit, emit_page, paged
from hookline.kernel.json import encode
from hookline.server_settings import Settings

_SETTINGS: Final = ("flows", "db")
_SHOWN: Final = 60
"""Characters of a value in the list."""


@click.group(cls=CommandGroup)
def state() -> None:
    """Manage the values that flows keep between executions."""


@state.command("list", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@paged
def list_kept(flow_id: str, cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """List the values that FLOW keeps, in the order of their keys."""
    page = call(settings, "GET", "flows", flow_id, "state", cursor=cursor, limit=limit)
    emit_page(
        page,
        as_json=as_json,
        columns=("key", "changed", "value"),
        row=lambda one: (one["key"], one["updated_at"], _short(encode(one["value"]).decode())),
        texts=("value",),
    )


@state.command("get", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("key")
def get_kept(flow_id: str, key: str, as_json: bool, settings: Settings) -> None:
    """Print the value that FLOW keeps under KEY, as JSON."""
    found = _value(settings, "GET", flow_id, key)
    emit(found, as_json=as_json, text=lambda: encode(found["value"]).decode())


@state.command("set", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("key")
@click.argument("value")
def set_kept(flow_id: str, key: str, value: str, as_json: bool, settings: Settings) -> None:
    """Store VALUE under KEY for FLOW. VALUE is JSON, so a text is in double quotes; null deletes the key."""
    import msgspec

    _value(settings, "PUT", flow_id, key, body=msgspec.Raw(value.encode()), missing=created_for(settings, flow_id))
    emit({"flow_id": flow_id, "key": key}, as_json=as_json, text=lambda: f"{flow_id} keeps {value} under {key}")


@state.command("delete", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("key")
def delete_kept(flow_id: str, key: str, as_json: bool, settings: Settings) -> None:
    """Delete the value that FLOW keeps under KEY."""
    _value(settings, "DELETE", flow_id, key)
    emit({"flow_id": flow_id, "key": key}, as_json=as_json, text=lambda: f"{flow_id} keeps nothing under {key} now")


def _value(settings: Settings, method: str, flow_id: str, key: str, **more: Any) -> Any:
    return call(settings, method, "flows", flow_id, "state", "value", key=key, **more)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
