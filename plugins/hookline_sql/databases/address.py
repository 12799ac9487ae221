"""The URL of a step's database, combined with its credential."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hookline.api import Context, PollContext, StepError, VerifyContext
from hookline_sql.connector import SqlCredential

#: The driver for a URL that names none.
_DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "oracle": "oracle+oracledb",
}


def address(ctx: Context[Any] | PollContext[Any] | VerifyContext[Any], text: str | None) -> URL:
    """Return the URL of a step's database. Raises StepError (`sql.url`) if it can't or mustn't be used."""
    credential: SqlCredential | None = ctx.credential
    if credential is not None and credential.url is not None:
        if text is not None:
            raise _wrong("both the step and its credential give a URL; remove one of them")
        url = _read(credential.url.get_secret_value())
    elif text is None:
        raise _wrong("there is no URL; give `url`, or a credential of type `sql` that has one")
    else:
        url = _read(text)
        if url.password is not None:
            raise _wrong(
                "the URL contains a password, which every reader of the flow would see; put it into a credential: "
                "hookline credentials set NAME --type sql password=-"
            )
    if credential is not None:
        if credential.username is not None:
            url = url.set(username=credential.username)
        if credential.password is not None:
            url = url.set(password=credential.password.get_secret_value())
    if url.drivername in _DRIVERS:
        url = url.set(drivername=_DRIVERS[url.drivername])
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise _wrong("a database in memory keeps nothing; name a file, as in sqlite:///accounting.db")
    for host, port in _servers(url):
        ctx.resources.check_host(host, port)
    if ctx.resources.owns_database(url.render_as_string(hide_password=False)):
        raise _wrong("this is the engine's own database, which steps can't use; use another one")
    return url


def shown(url: URL) -> str:
    """Return the URL for messages: without its password, and without options, which may contain one too."""
    return url.set(query={}).render_as_string(hide_password=True)


def _servers(url: URL) -> Iterator[tuple[str, int | None]]:
    """Yield the hosts and ports to which a driver may connect: those of the URL, and of options such as `host`."""
    if url.host is not None:
        yield url.host, url.port
    for name in ("host", "hostaddr", "unix_socket"):
        given = url.query.get(name, ())
        for text in (given,) if isinstance(given, str) else given:
            for one in text.split(","):
                host, _, port = one.rpartition(":")
                yield (host, int(port)) if host and port.isdecimal() else (one, None)


def _read(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        raise _wrong(
            "the URL is invalid; write it as sqlite:///file.db, postgresql://user@host/database or "
            "mysql://user@host/database"
        ) from None


def _wrong(message: str) -> StepError:
    return StepError(message, code="sql.url")
