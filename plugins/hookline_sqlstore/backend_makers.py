"""The backends by their URLs.

The one that is used is imported when it is made, since all plugins are loaded by many processes that open no database.
"""

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from hookline.api import StoreError
from hookline.api_storage import Backend, Clock


def sqlite(url: str, *, clock: Clock) -> Backend:
    """Make the backend of `sqlite:///file`: a path relative to the current directory, or with a fourth slash, an
    absolute one."""
    from hookline_sqlstore.sqlite_backend import SqliteBackend

    return SqliteBackend(_parse(url), clock)


def postgresql(url: str, *, clock: Clock) -> Backend:
    """Make the backend of `postgresql://user:password@host/database`, with `?schema=name` in a shared database."""
    from hookline_sqlstore.postgres_backend import PostgresBackend

    return PostgresBackend(_parse(url), clock)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise StoreError(
            "the database's URL can't be read: write sqlite:///file.db, or postgresql://user@host/database"
        ) from error
