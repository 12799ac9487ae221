"""The database of a step: its URL, combined with the credential, and checked."""

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hookline.api import Context, PollContext, Resources, StepError, VerifyContext, file_place
from hookline_sql.connector import SqlCredential

#: The drivers that a URL may name, and the one that is used.
_DRIVERS: Final = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mysql+asyncmy": "mysql+asyncmy",
    "mariadb": "mariadb+asyncmy",
    "mariadb+asyncmy": "mariadb+asyncmy",
}
#: The options that a URL may have, by backend. Others of the drivers name files and programs of this machine.
_OPTIONS: Final = {"sqlite": (), "postgresql": ("ssl",), "mysql": ("ssl",), "mariadb": ("ssl",)}
TLS_MODES: Final = ("disable", "prefer", "require", "verify-ca", "verify-full")
"""The values of the option `ssl`: no TLS, TLS if the server has it, always, and always with a checked certificate, for
any name or for the host's."""
_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}
_SQLITE_NAMES: Final = (".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and how to reach it. Two addresses are equal if they are of the same connections."""

    url: URL
    """With the driver, and for a server with its host and its port. A file is named by its place."""
    ca: str | None = None
    """Certificates of an authority that is trusted beside those of the system, in PEM."""
    resources: Resources = field(compare=False, repr=False, default=None)  # type: ignore[assignment]  # always given

    @property
    def tls(self) -> str:
        """One of `TLS_MODES`."""
        default = "prefer" if self.url.get_backend_name() == "postgresql" else "disable"
        return str(self.url.query.get("ssl", default))


def address(ctx: Context[Any] | PollContext[Any] | VerifyContext[Any], text: str | None) -> Address:
    """Return the database of a step. Raises StepError (`sql.url`, `sql.driver`) if it can't or mustn't be used."""
    credential: SqlCredential | None = ctx.credential
    url = _combined(credential, text)
    backend = url.get_backend_name()
    if url.drivername not in _DRIVERS:
        raise StepError(
            f"steps can't use the driver {url.drivername!r}; they use {', '.join(sorted(_DRIVERS))}", code="sql.driver"
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    backend = url.get_backend_name()
    for option in url.query:
        if option not in _OPTIONS[backend]:
            known = f"only {', '.join(_OPTIONS[backend])}" if _OPTIONS[backend] else "none"
            raise _wrong(f"the option {option!r} can't be used; a URL of {backend} has {known}")
    url = _file(ctx, url) if backend == "sqlite" else _server(ctx, url)
    return Address(url, None if credential is None else credential.ca, ctx.resources)


def _combined(credential: SqlCredential | None, text: str | None) -> URL:
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
    return url


def _file(ctx: Context[Any] | PollContext[Any] | VerifyContext[Any], url: URL) -> URL:
    """Return the URL of a SQLite file below the folder for files."""
    if url.host is not None or url.username is not None or url.password is not None:
        raise _wrong("a URL of SQLite has no user and no host: sqlite:///file.db")
    name = url.database
    if name in (None, "", ":memory:"):
        raise _wrong("a database in memory keeps nothing; name a file, as in sqlite:///accounting.db")
    if name.startswith("file:") or not name.endswith(_SQLITE_NAMES):
        raise _wrong(
            f"{name!r} is not the name of a file that ends in {', '.join(_SQLITE_NAMES)}, as a SQLite database must"
        )
    try:
        place = file_place(ctx.files_root, name, absolute=True)
    except StepError as error:
        raise StepError(error.message, code="sql.url", retryable=error.retryable) from error
    try:
        found = place.lstat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise _wrong(f"{name!r:.100} can't be the name of a file: {error.strerror}") from error
    # The driver would follow a link, and read from a device.
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise _wrong(f"{name!r} is not a file: a link or a folder can't be a database")
    if found is not None and ctx.resources.owns(f"file:{found.st_dev}/{found.st_ino}"):
        raise _wrong("this is the engine's own database, which steps can't use; use another one")
    return URL.create(url.drivername, database=str(place))


def _server(ctx: Context[Any] | PollContext[Any] | VerifyContext[Any], url: URL) -> URL:
    """Return the URL of a database server, with its host and port."""
    if not url.host or "/" in url.host or "," in url.host:
        raise _wrong(
            "a URL of a server has one host, and sockets of this machine can't be used: "
            f"{url.get_backend_name()}://user@127.0.0.1/database"
        )
    if not url.database:
        raise _wrong(f"the URL names no database: {url.get_backend_name()}://user@host/database")
    if not url.username:
        raise _wrong(f"the URL names no user: {url.get_backend_name()}://user@host/database")
    port = url.port or _PORTS[url.get_backend_name()]
    mode = url.query.get("ssl")
    if mode is not None and mode not in TLS_MODES:
        raise _wrong(f"the option `ssl` is one of {', '.join(TLS_MODES)}, not {mode!r}")
    ctx.resources.check_host(url.host, port)
    return url.set(port=port)


def shown(url: URL) -> str:
    """Return the URL for messages: without its password, its options, and the place of a file."""
    if url.get_backend_name() == "sqlite":
        # Its place on the host is nobody's business.
        return f"sqlite:///{Path(url.database or '').name}"
    return url.set(query={}).render_as_string(hide_password=True)


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
