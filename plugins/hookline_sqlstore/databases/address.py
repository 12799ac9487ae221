"""The address of a PostgreSQL database: its URL, without what only Hookline reads in it."""

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import unquote

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hookline.api import StoreError

CONNECT_TIMEOUT: Final = 5.0
"""Seconds in which a connection has to be there; several hosts share them."""
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
        self.schema = _once(url, "schema")
        _once(url, "target_session_attrs")
        hosts = url.query.get("host", ())
        self._hosts: Collection[str] = hosts.split(",") if isinstance(hosts, str) else hosts
        self._url = url.set(drivername="postgresql+asyncpg").difference_update_query(["schema"])
        shown = self._url.set(drivername="postgresql").render_as_string(hide_password=True)
        self.place = unquote(shown) + (f", schema {self.schema}" if self.schema else "")
        """The URL without its password, and the schema, for people."""
        self.name = f"the database {self.place}"

    def engine(self, **options: Any) -> AsyncEngine:
        """Return an engine that isn't connected yet. Raises StoreError if the driver isn't installed."""
        settings = {"application_name": "hookline"}
        if self.schema is not None:
            settings["search_path"] = quoted(self.schema)
        # The driver's limit is for each host: one that is silent must leave time for the others.
        timeout = CONNECT_TIMEOUT / max(1, len(self._hosts))
        connect = {"timeout": timeout, "server_settings": settings}
        try:
            return create_async_engine(self._url, connect_args=connect, **options)
        except ModuleNotFoundError as error:
            # SQLAlchemy imports the driver only here.
            raise StoreError(f"PostgreSQL needs {error.name}: pip install 'hookline[postgres]'") from error

    def failure(self, what: str, error: BaseException) -> StoreError:
        """Return the error of a database that can't be `what`, such as `read`."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        return StoreError(f"{self.name} can't be {what}: {cause or type(cause).__name__}")


def quoted(name: str) -> str:
    """Return a name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _once(url: URL, name: str) -> str | None:
    value = url.query.get(name)
    if value is None or isinstance(value, str):
        return value
    raise StoreError(f"{url!r}: `{name}` may be in the URL once")
