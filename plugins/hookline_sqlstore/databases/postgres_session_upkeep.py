"""Sessions of PostgreSQL that end by themselves, on both sides, when the other side is gone."""

import asyncio
import socket
import time
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from hookline_sqlstore.node_lease import REPLAN

SILENCE: Final = 15
"""Seconds after which a side that hears nothing from the other one ends a session."""
_GOODBYE: Final = 1.0
"""Seconds in which the server may answer that a session is closed."""
_IDLE, _INTERVAL, _COUNT = 5, 3, 3

#: The settings of the server's side. The last ones need PostgreSQL 12 and 14; a server without them ignores them.
_SETTINGS: Final = {
    "tcp_keepalives_idle": str(_IDLE),
    "tcp_keepalives_interval": str(_INTERVAL),
    "tcp_keepalives_count": str(_COUNT),
    "idle_in_transaction_session_timeout": "60s",
    "tcp_user_timeout": f"{SILENCE}s",
    "client_connection_check_interval": f"{_IDLE}s",
}

_OPTIONS: Final = (
    ("TCP_KEEPIDLE", _IDLE),
    ("TCP_KEEPALIVE", _IDLE),  # the name of the same on macOS
    ("TCP_KEEPINTVL", _INTERVAL),
    ("TCP_KEEPCNT", _COUNT),
    ("TCP_USER_TIMEOUT", 1000 * SILENCE),
)


async def prepare(session: Any, *, longest_query: float | None = None) -> None:
    """Let each side of a session of asyncpg end it when the other side is gone. Raises the errors of the driver.

    The server ends a query after `longest_query` seconds.
    """
    _prepare_socket(socket_of(session))
    settings = dict(_SETTINGS)
    if longest_query is not None:
        settings["statement_timeout"] = f"{round(1000 * longest_query)}ms"
    wanted = ", ".join(f"('{name}', '{value}')" for name, value in settings.items())
    await session.execute(
        "SELECT set_config(wanted.name, wanted.value, false)"  # noqa: S608 - the settings are those above
        f" FROM (VALUES {wanted}) AS wanted(name, value) JOIN pg_settings USING (name)"
        # Other systems than Linux reject it, or some versions for them do.
        " WHERE name <> 'client_connection_check_interval' OR version() LIKE '%linux%'"
    )


def sessions_of(engine: Engine) -> WeakSet[Any]:
    """Return the set of an engine's sessions, which each new one joins."""
    sessions: WeakSet[Any] = WeakSet()

    @event.listens_for(engine, "connect")
    def add(connection: Any, _record: Any) -> None:
        sessions.add(connection.driver_connection)

    return sessions


def renew_plans(engine: Engine) -> None:
    """Let each session of an engine make its plans anew when it is used again after `REPLAN` seconds."""

    @event.listens_for(engine, "connect")
    def note(_connection: Any, record: Any) -> None:
        record.info["planned_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def renew(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info["planned_at"] > REPLAN:
            try:
                connection.run_async(lambda driver: driver.execute("DISCARD PLANS"))
            except Exception as error:
                # Whatever it is, another session can do it, which the pool opens then.
                raise DisconnectionError(str(error)) from error
            record.info["planned_at"] = time.monotonic()


async def dispose(engine: AsyncEngine, sessions: WeakSet[Any]) -> None:
    """Close all sessions of an engine, also if the server doesn't answer."""
    closing = asyncio.ensure_future(engine.dispose())
    if not (await asyncio.wait((closing,), timeout=_GOODBYE))[0]:
        for session in sessions:
            session.terminate()
    await closing


def socket_of(driver_connection: Any) -> Any:
    """The socket of a connection of asyncpg, which has no public name for it."""
    return driver_connection._transport.get_extra_info("socket")


def _prepare_socket(sock: Any) -> None:
    """Let the system end a connection whose other side is gone."""
    if sock is None or sock.family == getattr(socket, "AF_UNIX", None):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
