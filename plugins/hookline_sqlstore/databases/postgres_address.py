"""The address of a PostgreSQL database: its URL, without what only Hookline reads in it."""

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hookline.api import StoreError
from hookline.api_storage import StoreAway
from hookline_sqlstore.databases.postgres_session_upkeep import prepare

CONNECT_TIMEOUT: Final = 5.0
"""Seconds in which a session has to be there; several hosts share them."""
_SETTINGS: Final = ("schema", "host", "target_session_attrs")


class Address:
    """A schema of a database: `public`, unless the URL has `?schema=name`.

    A URL may name several hosts, as `?host=one:5432&host=two:5432`; the first one that accepts a session is used.
    """

    def __init__(self, url: URL) -> None:
        """Raise StoreError for settings in the URL that aren't known."""
        unknown = ", ".join(sorted(set(url.query) - set(_SETTINGS)))
        if unknown:
            raise StoreError(f"{url!r}: the settings in the URL are {', '.join(_SETTINGS)}; there is no {unknown}")
        self._used: tuple[str | None, int | None] | None = None
        """The host and port of the last session."""
        self.schema = _once(url, "schema")
        _once(url, "target_session_attrs")
        self._url = url.set(drivername="postgresql+asyncpg").difference_update_query(["schema"])
        shown = self._url.set(drivername="postgresql").render_as_string(hide_password=True)
        self.place = unquote(shown) + (f", schema {self.schema}" if self.schema else "")
        """The URL without its password, and the schema, for people."""
        self.name = f"the database {self.place}"

    def engine(self, *, longest_query: float | None = None, **options: Any) -> AsyncEngine:
        """Return an engine that isn't connected yet. Raises StoreError if the driver isn't installed.

        The server ends a query after `longest_query` seconds.
        """
        connect = partial(self._connect, longest_query=longest_query)
        arguments = {"server_settings": self._server_settings(), "async_creator_fn": connect}
        try:
            return create_async_engine(self._url, connect_args=arguments, **options)
        except ModuleNotFoundError as error:
            # SQLAlchemy imports the driver only here.
            raise StoreError(f"PostgreSQL needs {error.name}: pip install 'hookline[postgres]'") from error

    async def session(self) -> Any:
        """Return a session of the driver itself, outside of an engine. Raises OSError and the errors of the driver."""
        _, options = self.engine().dialect.create_connect_args(self._url)
        return await self._connect(server_settings=self._server_settings(), **options)

    def _server_settings(self) -> dict[str, str]:
        settings = {"application_name": "hookline"}
        if self.schema is not None:
            settings["search_path"] = quoted(self.schema)
        return settings

    async def _connect(self, *, longest_query: float | None = None, **options: Any) -> Any:
        """Return a session of the driver on the first host that accepts one; the last such host is asked first.

        The driver would give its whole time to a host that is silent, such as one without power.
        """
        places = _places(options.pop("host", None), options.pop("port", None))
        problems: list[str] = []
        for host, port in sorted(places, key=lambda place: place != self._used):
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT / len(places)):
                    session = await _prepared(longest_query, host=host, port=port, **options)
            except OSError as error:
                if len(places) == 1:
                    raise
                problems.append(f"{host}:{port}: {str(error) or type(error).__name__}")
            else:
                self._used = (host, port)
                return session
        raise OSError("; ".join(problems))

    def failure(self, what: str, error: BaseException, *, in_doubt: bool = False) -> StoreError:
        """Return the error of a database that can't be `what`, such as `read`: StoreAway if it may be reached soon."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        said = f"{self.name} can't be {what}: {str(cause) or type(cause).__name__}"
        if is_away(error):
            return StoreAway(said, in_doubt=in_doubt)
        remedy = _UNKNOWN_HOST if isinstance(error, socket.gaierror) else _REMEDIES.get(_state(error))
        if remedy is not None:
            said += f"; {remedy} in the setting `db` (HOOKLINE_DB)"
        return StoreError(said, in_doubt=in_doubt)


_UNKNOWN_HOST: Final = "correct the host"
_REMEDIES: Final[Mapping[str | None, str]] = {
    "28P01": "correct the user or the password",
    "28000": "let the server accept this user (pg_hba.conf), or correct the user",
    "3D000": "create the database, or correct its name",
}
"""By the SQLSTATE of an error that a person has to do something about."""
#: Too many connections; the server stops, was ended by a crash, or starts.
_AWAY: Final = frozenset({"53300", "57P01", "57P02", "57P03"})
_CONNECTION: Final = "08"
"""The class of errors of connections."""


def database_errors() -> tuple[type[Exception], ...]:
    """The errors of a session, also of what the driver sends outside of SQLAlchemy."""
    from asyncpg import (  # type: ignore[import-untyped]  # it has no types
        InterfaceError,
        InternalClientError,
        PostgresError,
    )

    # The internal one comes if the server has ended the session, and the driver hasn't finished reading that.
    return SQLAlchemyError, PostgresError, InterfaceError, InternalClientError, OSError, TimeoutError


def _state(error: BaseException) -> str | None:
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)


def is_rolled_back(error: BaseException) -> bool:
    """Return true if a server has rejected a statement, so that nothing of its transaction becomes durable."""
    return _state(error) is not None and not is_away(error)


def is_away(error: BaseException) -> bool:
    """Return true if a server can't be reached, or isn't ready, although its address may be right."""
    state = _state(error)
    if state is not None and (state in _AWAY or state.startswith(_CONNECTION)):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    return isinstance(error, OSError | TimeoutError) and not isinstance(error, ssl.SSLError | PermissionError)


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


async def _prepared(longest_query: float | None, **options: Any) -> Any:
    """Return a session that is prepared. Raises OSError if the server can't have one now, such as after a failover."""
    import asyncpg

    lost = (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError)
    try:
        session = await asyncpg.connect(**options)
    except (asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched, *lost) as error:
        raise ConnectionError(str(error)) from error
    try:
        await prepare(session, longest_query=longest_query)
    except (asyncpg.InterfaceError, *lost) as error:
        session.terminate()
        raise ConnectionError(str(error)) from error
    except BaseException:
        session.terminate()
        raise
    return session


def _places(host: Any, port: Any) -> Sequence[tuple[str | None, int | None]]:
    """The hosts and ports of a session's options: one each, or lists of the same length."""
    return list(zip(host, port, strict=True)) if isinstance(host, list) else [(host, port)]


def _once(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    if value is None or isinstance(value, str):
        return value
    raise StoreError(f"{url!r}: `{name}` may be in the URL once")
