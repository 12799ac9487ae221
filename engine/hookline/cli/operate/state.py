"""`hookline state list|get|set|rm`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

import click

from hookline.cli.command import CommandGroup, emit, table
from hookline.config import Settings
from hookline.kernel.json import encode

if TYPE_CHECKING:
    from hookline.cli.access import Access

_SETTINGS: Final = ("flows", "db")
_SHOWN: Final = 60
"""Characters of a value in the list."""
_T = TypeVar("_T")


@click.group(cls=CommandGroup)
def state() -> None:
    """What flows keep from one execution to the next: values under keys."""


@state.command("list", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.option("--cursor", help="Where the page starts: the `next` of the page before.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many are shown.")
def list_kept(flow_id: str, cursor: str | None, limit: int, as_json: bool, settings: Settings) -> None:
    """What FLOW keeps, in the order of its keys."""
    page = _held(settings, lambda held: held.kept(flow_id, cursor, limit))

    def text() -> str:
        rows = [(one["key"], one["updated_at"], _short(encode(one["value"]).decode())) for one in page["items"]]
        shown = table(("key", "changed", "value"), rows)
        return shown if page["next"] is None else f"{shown}\nmore: --cursor {page['next']}"

    emit(page, as_json=as_json, text=text)


@state.command("get", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("key")
def get_kept(flow_id: str, key: str, as_json: bool, settings: Settings) -> None:
    """What FLOW keeps under KEY, as JSON."""
    found = _held(settings, lambda held: held.one_kept(flow_id, key))
    emit(found, as_json=as_json, text=lambda: encode(found["value"]).decode())


@state.command("set", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("key")
@click.argument("value")
def set_kept(flow_id: str, key: str, value: str, as_json: bool, settings: Settings) -> None:
    """Let FLOW keep VALUE under KEY: JSON, a text in double quotes too; null removes what there is."""
    _held(settings, lambda held: held.set_kept(flow_id, key, value.encode()))
    emit({"flow_id": flow_id, "key": key}, as_json=as_json, text=lambda: f"{flow_id} keeps {value} under {key}")


@state.command("rm", settings=_SETTINGS)
@click.argument("flow_id", metavar="FLOW")
@click.argument("key")
def remove_kept(flow_id: str, key: str, as_json: bool, settings: Settings) -> None:
    """Remove what FLOW keeps under KEY."""
    _held(settings, lambda held: held.drop_kept(flow_id, key))
    emit({"flow_id": flow_id, "key": key}, as_json=as_json, text=lambda: f"{flow_id} keeps nothing under {key} now")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _held(settings: Settings, ask: Callable[["Access"], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        from hookline.cli.access import access

        async with access(settings) as held:
            return await ask(held)

    return asyncio.run(run())
