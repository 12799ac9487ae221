"""Connections to database servers: only to addresses that the settings allow, and with no file of this machine.

The drivers would read password files, certificates and variables of the machine on which the server runs. So each
setting is given, and the name of the host is resolved by the guard of outgoing connections.
"""

import ssl
from typing import Any, Final

from hookline.api import StepError
from hookline_sql.databases.address import Address

_NO_FILE: Final = "/dev/null"


async def connect_postgres(address: Address, **_given: Any) -> Any:
    """Connect with asyncpg, with our settings alone. Raises StepError (`engine.egress`), and the errors of asyncpg."""
    # From an extra, which is installed if there is a connection; it has no type hints.
    import asyncpg  # type: ignore[import-untyped]

    url = address.url
    settings: dict[str, Any] = {
        "host": await _addresses(address),
        "port": url.port,
        "user": url.username,
        "database": url.database,
        # An empty one keeps the driver from PGPASSWORD.
        "password": url.password or "",
        "passfile": _NO_FILE,
        "target_session_attrs": "any",
        # See `pools`: a session is used for the steps of any flow, and made as new in between.
        "statement_cache_size": 0,
    }
    if address.tls == "disable":
        return await asyncpg.connect(ssl=False, **settings)
    try:
        return await asyncpg.connect(ssl=_context(address), **settings)
    except ConnectionError as error:
        # This is how the driver says that the server has no TLS; a subclass says that nobody answers.
        if address.tls != "prefer" or type(error) is not ConnectionError:
            raise
    return await asyncpg.connect(ssl=False, **settings)


async def connect_mysql(address: Address, **given: Any) -> Any:
    """Connect with asyncmy, to run one statement in a text, because further ones would run unnoticed.

    `given`: the settings that SQLAlchemy needs.
    """
    import asyncmy
    from asyncmy.constants.CLIENT import LOCAL_FILES, MULTI_STATEMENTS

    if address.tls == "prefer":
        raise StepError("the option `ssl` of MySQL can't be `prefer`; use `require` or `disable`", code="sql.url")
    failure: Exception | None = None
    for host in await _addresses(address):
        tls = None if address.tls == "disable" else _context(address)
        settings = {**given, "host": host, "ssl": tls, "local_infile": False}
        connection: Any = asyncmy.Connection(**settings)  # type: ignore[no-untyped-call]  # its hints say nothing of it
        # The driver always requests several statements; the server could request files of this machine.
        connection._client_flag &= ~(MULTI_STATEMENTS | LOCAL_FILES)
        try:
            await connection.connect()
        except (OSError, asyncmy.errors.OperationalError) as error:
            failure = error
        else:
            return connection
    assert failure is not None  # noqa: S101 - there is an address at least
    raise failure


async def _addresses(address: Address) -> list[str]:
    """The addresses of the host. The driver gets no name, which could stand for another address when it connects."""
    assert address.url.host is not None  # noqa: S101 - see `address`
    assert address.url.port is not None  # noqa: S101
    return list(await address.resources.resolve(address.url.host, address.url.port))


def _context(address: Address) -> ssl.SSLContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.host = address.url.host
    context.check_hostname = address.tls == "verify-full"
    if address.tls in ("verify-ca", "verify-full"):
        context.load_default_certs()
        if address.ca is not None:
            context.load_verify_locations(cadata=address.ca)
    else:
        context.verify_mode = ssl.CERT_NONE
    return context


class _NamedContext(ssl.SSLContext):
    """A context that checks a certificate for the name of the host, of which the driver knows only the address."""

    host: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """See `SSLContext`."""
        return super().wrap_bio(incoming, outgoing, server_side, self.host, session)
