"""`hookline db status|upgrade|copy`."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from hookline.cli.client import check_exists
from hookline.cli.command import CommandGroup, emit
from hookline.cli.printable_text import size_text
from hookline.cli.table import table
from hookline.kernel.errors import ConfigError, StoreError
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.maintenance.database_copy import TableDigest
    from hookline.storage.backend import Backend
    from hookline.storage.database_status import DatabaseStatus, Inspectable

_SETTINGS: Final = ("db",)


@click.group(cls=CommandGroup, remote=False)
def db() -> None:
    """Examine, upgrade and copy the database: the commands work on the database itself, not through a server."""


@db.command("status", settings=_SETTINGS, remote=False)
@click.pass_context
def show_status(ctx: click.Context, as_json: bool, settings: Settings) -> None:
    """Show the database, the version of its tables, and its size.

    Nothing is created. Exit code 1 if a server couldn't use the database.
    """
    check_exists(settings)
    found = asyncio.run(_inspectable(settings.db).status())
    emit(found, as_json=as_json, text=lambda: _status_text(found))
    if found.problem is not None:
        ctx.exit(1)


def _status_text(found: "DatabaseStatus") -> str:
    lines = [f"database {found.database}"]
    if found.reachable:
        lines += [f"tables {_version_text(found)}", f"size {size_text(found.size or 0)}"]
    if found.problem is not None:
        lines.append(f"problem: {found.problem}")
    return "\n".join(lines)


def _version_text(found: "DatabaseStatus") -> str:
    if found.version is None:
        return f"none yet; a server or `hookline db upgrade` makes those of version {found.latest}"
    if found.version == found.latest:
        return f"of version {found.version}, the latest"
    if found.problem is not None:
        return f"of version {found.version!r}; the latest is {found.latest}"
    return f"of version {found.version}; a server or `hookline db upgrade` upgrades them to {found.latest}"


@db.command("upgrade", settings=_SETTINGS, remote=False)
def upgrade(as_json: bool, settings: Settings) -> None:
    """Upgrade the tables to the latest version without starting a server, as every server does when it starts.

    An older hookline may not be able to use the database afterwards.
    """
    check_exists(settings)
    before, after = asyncio.run(_upgraded(settings.db))

    def text() -> str:
        if before.version == after.version:
            return f"the tables of {after.database} are of version {after.version}, the latest, already"
        made = "made" if before.version is None else f"upgraded from version {before.version}"
        return f"the tables of {after.database} were {made}: version {after.version}"

    emit({"database": after.database, "before": before.version, "version": after.version}, as_json=as_json, text=text)


async def _upgraded(url: str) -> tuple["DatabaseStatus", "DatabaseStatus"]:
    from hookline.storage.cluster import NodeDescription

    backend = _inspectable(url)
    before = await backend.status()
    if before.problem is not None:
        raise StoreError(before.problem)
    # A backend migrates its tables when it is opened.
    opened = _backend(url)
    await opened.open(NodeDescription(role="command"))
    await opened.close()
    return before, await backend.status()


@db.command("copy", settings=_SETTINGS, remote=False)
@click.option("--to", required=True, metavar="URL", help="The empty database that is filled: postgresql://…")
def copy(to: str, as_json: bool, settings: Settings) -> None:
    """Copy the whole database into an empty one: from SQLite to PostgreSQL.

    Stop the server before. The copy is complete or absent: it is read back and compared before it is stored, and
    nothing of an interrupted one can be served. The database itself (`--db`) isn't changed.
    """
    check_exists(settings)
    tables = asyncio.run(_copied(settings.db, to))
    steps = list(_next_steps(settings, to))

    def text() -> str:
        rows = [(one.table, f"{one.rows:,}", one.sha256) for one in tables if one.rows]
        return "\n".join(
            [
                table(("table", "rows", "sha256"), rows),
                f"{counted(sum(one.rows for one in tables), 'row')} copied; both databases hold the same",
                *(f"{number}. {step}" for number, step in enumerate(steps, start=1)),
            ]
        )

    emit({"tables": [asdict(one) for one in tables], "next": steps}, as_json=as_json, text=text)


async def _copied(source_url: str, target_url: str) -> Sequence["TableDigest"]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from hookline.maintenance.database_copy import copy_database
    from hookline.storage.copy_interfaces import CopySource, CopyTarget

    source, target = _backend(source_url), _backend(target_url)
    if not isinstance(source, CopySource):
        raise ConfigError(f"a {_scheme(source_url)}: database can't be copied; name the database with --db")
    if not isinstance(target, CopyTarget):
        raise ConfigError(f"a {_scheme(target_url)}: database can't be copied into; name a postgresql:// URL with --to")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    with bar:
        task = bar.add_task("copy")
        return await copy_database(
            source, target, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        )


def _next_steps(settings: Settings, to: str) -> Iterator[str]:
    """Yield what is left to do after a copy: what is in files beside the old database isn't in the new one."""
    old, new = settings.data_dir, settings.model_copy(update={"db": to}).data_dir
    yield "Set `db` to the new database, in hookline.toml or as HOOKLINE_DB."
    if old.absolute() != new.absolute():
        key, token, files = old / "secret.key", old / "admin.token", old / "blobs"
        if settings.secret_key is None and key.exists():
            yield (
                f"Move {key} to {new / key.name}, or set HOOKLINE_SECRET_KEY to its content. Without this key, no "
                "server can read the credentials and the redacted values."
            )
        if settings.blobs is None and files.exists():
            yield f'The files of messages stay in {files}: set blobs = "file://{files.absolute()}".'
        if settings.admin_token is None and token.exists():
            yield f"Move {token} to {new / token.name}, or set HOOKLINE_ADMIN_TOKEN to its content."
    else:
        yield f"Leave the key, the admin token and the files in {old}: they are used as before."
    yield (
        f"Start no server on {settings.sqlite_file} again, because it would run the same executions once more: move "
        "the file away, and keep it as a backup."
    )


def _inspectable(url: str) -> "Inspectable":
    from hookline.storage.database_status import Inspectable

    backend = _backend(url)
    if not isinstance(backend, Inspectable):
        raise ConfigError(f"a {_scheme(url)}: database can't be examined: its plugin has no `status`")
    return backend


def _backend(url: str) -> "Backend":
    from hookline.discovery.plugin_loader import load_plugins
    from hookline.kernel.clocks import SystemClock

    return load_plugins().backend(url, SystemClock())


def _scheme(url: str) -> str:
    return url.partition(":")[0]
