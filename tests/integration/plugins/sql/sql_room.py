"""The actions `sql.…` over a database of a test's own."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy.engine import make_url
from tests.integration.plugins.brokers.proxy import Proxy, proxy_to
from tests.services import need_server

from hookline.api import Context, Message, StepError
from hookline.model.foreach_progress_and_streams import Stream
from hookline.outbound.egress import Egress
from hookline.plugin_host.resources import EngineResources
from hookline.plugin_host.result_conversion import to_json
from hookline.sdk.settings.function_signatures import SettingSources
from hookline_sql import register_connectors
from hookline_sql.databases.address import Address

MARIADB = os.environ.get("HOOKLINE_TEST_MARIADB", "mysql://root@127.0.0.1:3306/test")
POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")

SERIAL = {"sqlite": "INTEGER", "postgresql": "BIGSERIAL", "mysql": "BIGINT AUTO_INCREMENT"}
"""By dialect, a column that counts up by itself."""


class Room:
    """One engine's resources, and the actions."""

    def __init__(self, url: str, files: Path | None = None, *, egress: tuple[str, ...] = ("127.0.0.0/8",)) -> None:
        """`files`: the folder for SQLite; by default that of the URL's file."""
        self.url = url
        place = make_url(url).database if url.startswith("sqlite:////") else None
        self.files = files or (None if place is None else Path(place).parent)
        self.resources = EngineResources(Egress(egress))
        self.exact = False
        """Results are those of a flow whose numbers are exact."""
        (self.connector,) = register_connectors()

    async def __call__(
        self,
        use: str,
        *,
        key: str | None = None,
        credential: BaseModel | None = None,
        with_: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Any:
        """`with_`: settings that are named as a parameter here is. `rows` may be a function that gives one by one."""
        action = self.connector.actions[f"sql.{use}"]
        settings.update(with_ or {})
        if credential is None or "url" in settings:
            settings = {"url": self.url, **settings}
        rows = settings.get("rows")
        if callable(rows):
            settings["rows"] = Stream("rows", 1)
        sources = SettingSources(Message(), lambda _: rows())  # type: ignore[misc]  # there is a stream only then
        read = action.validated(settings, sources)
        context: dict[str, Any] = dict.fromkeys(Context.__dataclass_fields__)
        context.update(
            message=Message(),
            credential=credential,
            resources=self.resources,
            files_root=self.files,
            idempotency_key=key or uuid.uuid4().hex,
        )
        made: Any = action.run(ctx=Context(**context), **action.arguments(read))
        async with AsyncExitStack() as stack:
            for opened in sources.opened:
                stack.push_async_callback(opened.aclose)  # type: ignore[attr-defined]  # they are generators
            returned = await made
        if isinstance(returned, AsyncIterator):
            returned = [row async for row in returned]
        return to_json(returned, exact=self.exact)

    @property
    def dialect(self) -> str:
        """`sqlite`, `postgresql` or `mysql`."""
        return make_url(self.url).get_backend_name()

    def another(self) -> "Room":
        """Another engine's, of the same database."""
        return Room(self.url, self.files)

    async def error(self, use: str, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(use, **settings)
        return caught.value


@asynccontextmanager
async def mariadb_database() -> AsyncIterator[str]:
    """The URL of a database and a user of their own."""
    asyncmy = pytest.importorskip("asyncmy")
    server = make_url(MARIADB)
    need_server("MariaDB", server.port or 3306, server.host or "127.0.0.1")
    connection = await asyncmy.connect(
        host=server.host,
        port=server.port or 3306,
        user=server.username,
        password=server.password or "",
        autocommit=True,
    )
    name = f"steps_{uuid.uuid4().hex}"
    user = f"user_{uuid.uuid4().hex[:8]}"
    async with connection.cursor() as cursor:
        await cursor.execute(f"CREATE DATABASE {name}")
        await cursor.execute(f"CREATE USER {user}@'%'")
        await cursor.execute(f"CREATE USER {user}@localhost")
        await cursor.execute(f"GRANT ALL ON {name}.* TO {user}@'%'")
        await cursor.execute(f"GRANT ALL ON {name}.* TO {user}@localhost")
        try:
            yield server.set(username=user, database=name).render_as_string(hide_password=False)
        finally:
            await cursor.execute(f"DROP DATABASE {name}")
            await cursor.execute(f"DROP USER {user}@'%', {user}@localhost")
    await connection.ensure_closed()


@asynccontextmanager
async def postgres_schema() -> AsyncIterator[str]:
    """The URL of a schema and a user of their own in the test database."""
    asyncpg = pytest.importorskip("asyncpg")
    try:
        connection = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"no PostgreSQL at {POSTGRES}: {error}")
    schema = f"steps_{uuid.uuid4().hex}"
    role = f"role_{uuid.uuid4().hex[:8]}"
    await connection.execute(f"CREATE SCHEMA \"{schema}\"; CREATE ROLE {role} LOGIN PASSWORD 'pass-word'")
    await connection.execute(
        f'ALTER ROLE {role} SET search_path = "{schema}"; GRANT ALL ON SCHEMA "{schema}" TO {role}'
    )
    try:
        yield str(make_url(POSTGRES).set(username=role).render_as_string(hide_password=False))
    finally:
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE; DROP OWNED BY {role}; DROP ROLE {role}')
        await connection.close()


async def count(room: Room, table: str = "invoices") -> int:
    ((row),) = await room("query", sql=f"SELECT count(*) AS n FROM {table}")
    number: int = row["n"]
    return number


def mysql_address(room: Room) -> Address:
    """The address of a room's database."""
    return Address(make_url(room.url).set(drivername="mysql+asyncmy"), None, room.resources)


@asynccontextmanager
async def room_behind_proxy(database: str) -> AsyncIterator[tuple[Room, Proxy]]:
    """A room whose connections to `postgres` or `mariadb` pass a proxy."""
    opened = postgres_schema() if database == "postgres" else mariadb_database()
    async with opened as url:
        parsed = make_url(url)
        async with proxy_to(parsed.port or 5432) as proxy:
            yield Room(parsed.set(port=proxy.port, host="127.0.0.1").render_as_string(hide_password=False)), proxy
