"""`server.json` beside the database, in which a running server tells other commands its address."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from hookline.access.tokens import ServerToken, digest
from hookline.kernel.errors import ConfigError
from hookline.secrets import secret_file
from hookline.secrets.encryption import generate_key
from hookline.server_settings import Settings
from hookline.storage.cluster import Alone

if TYPE_CHECKING:
    from hookline.engine import Engine

NAME: Final = "server.json"


class RunningServer(msgspec.Struct, frozen=True):
    """The address of a server that other commands can call."""

    url: str
    """The URL of its admin API."""
    hooks_url: str
    """The URL of its hooks: another one, if the admin API has an address of its own."""
    pid: int
    database: str
    """The path or URL of its database: a directory may hold several."""
    token_file: str | None
    """The file with its token; None if the token came from the settings."""


def admin_token(settings: Settings) -> str | None:
    """Return the token of the admin API from the settings or its file; None if there is none yet.

    Raises CredentialError if the file can't be used.
    """
    if settings.admin_token is not None:
        return settings.admin_token.get_secret_value()
    path = token_file(settings)
    return secret_file.load_or_create(path, generate_key).strip() if path.exists() else None


def token_file(settings: Settings) -> Path:
    """The file of the token if the settings have none."""
    return settings.data_dir / "admin.token"


async def agree_on_token(settings: Settings, engine: "Engine", token: ServerToken) -> None:
    """Make the token of the admin API if the database has none, and let other nodes accept it.

    A node without a token accepts that of the first node. Raises CredentialError if the file can't be used, and
    StoreError.
    """
    path, shared = token_file(settings), engine.admin_token
    if settings.admin_token is not None:
        # A token in the settings replaces the shared one for all nodes that have none of their own.
        given = digest(settings.admin_token.get_secret_value())
        if shared != given:
            await engine.share_admin_token(given)
    elif token.text is not None:
        await engine.share_admin_token(digest(token.text), first=True)
    elif shared is None or isinstance(engine.membership, Alone):
        # Without other nodes, a file that was removed is replaced.
        made = secret_file.load_or_create(path, generate_key).strip()
        await engine.share_admin_token(digest(made), first=shared is None)
        if engine.admin_token == digest(made):
            token.text = made
        else:
            # Another node was first, at the same moment.
            path.unlink(missing_ok=True)
    token.agreed = True
    if token.text is None:
        engine.log.warning(
            "the admin API accepts the token of the node that started first; if it is lost, set admin_token"
        )


@contextlib.contextmanager
def announced(settings: Settings, url: str, token_file: Path | None, hooks_url: str | None = None) -> Iterator[Path]:
    """Write `server.json` for this process, and remove it after the block.

    `url`: that of the admin API, and of the hooks too if `hooks_url` is None.
    """
    path = settings.data_dir / NAME
    server = RunningServer(
        url=url,
        hooks_url=hooks_url or url,
        pid=os.getpid(),
        database=_database(settings),
        token_file=None if token_file is None else str(token_file.absolute()),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{server.pid}")
    draft.write_bytes(msgspec.json.encode(server))
    draft.replace(path)
    try:
        yield path
    finally:
        # A server that was started later has replaced the file.
        if (found := _read(path)) is not None and found.pid == server.pid:
            path.unlink(missing_ok=True)


def find(settings: Settings) -> tuple[RunningServer, str] | None:
    """Return the running server of the settings' database, with its token; None if none runs.

    Raises ConfigError if its token isn't known here.
    """
    server = _read(settings.data_dir / NAME)
    if server is None or server.database != _database(settings) or not _answers(server):
        return None
    if server.token_file is None:
        if settings.admin_token is None:
            raise ConfigError(
                f"a server runs at {server.url} with another token; set HOOKLINE_ADMIN_TOKEN to the server's"
            )
        return server, settings.admin_token.get_secret_value()
    try:
        return server, Path(server.token_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"a server runs at {server.url}, and its token in {server.token_file} can't be read: {error.strerror}"
        ) from error


def _read(path: Path) -> RunningServer | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunningServer)
    except (OSError, msgspec.DecodeError):
        return None


def _answers(server: RunningServer) -> bool:
    """Return whether the process runs and listens: after a crash, another process may have its number."""
    try:
        os.kill(server.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    parts = urlsplit(server.url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=2).close()
    except OSError:
        return False
    return True


def _database(settings: Settings) -> str:
    if settings.sqlite_file is not None:
        return str(settings.sqlite_file.absolute())
    parts = urlsplit(settings.db)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
