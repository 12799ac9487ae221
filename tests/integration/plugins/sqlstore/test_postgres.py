"""What is special to PostgreSQL: one server for a schema, and connections that break."""

import asyncio
import os
import re
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from hookline.kernel.errors import StoreError
from hookline.storage.changes import Accepted
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend import postgresql

POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")

pytestmark = pytest.mark.postgres


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server() -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(POSTGRES, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable at {POSTGRES}: {error}")
    yield connection
    await connection.close()


@pytest.fixture
async def schema(server: Any) -> AsyncIterator[str]:
    name = f"hookline {uuid.uuid4().hex[:12]}"
    yield name
    await server.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


def _url(schema: str) -> str:
    return f"{POSTGRES}?schema={schema.replace(' ', '%20')}"


@pytest.mark.rule(2)
async def test_a_schema_has_one_server(schema: str, clock: ManualClock) -> None:
    first, second = postgresql(_url(schema), clock=clock), postgresql(_url(schema), clock=clock)
    await first.open()
    with pytest.raises(StoreError, match=r"session \d+ .*one server"):
        await second.open()
    await second.close()
    await first.close()
    await second.open()
    await second.close()


async def test_schemas_of_one_database_are_apart(server: Any, schema: str, clock: ManualClock) -> None:
    envelopes = Envelopes(clock)
    first, second = postgresql(_url(schema), clock=clock), postgresql(_url(f"{schema} b"), clock=clock)
    await first.open()
    await second.open()
    await first.queue.put(envelopes.make(key="k"))
    other = envelopes.make(key="k")
    assert await second.queue.put(other) == Accepted(other.execution_id)
    await first.close()
    await second.close()
    await server.execute(f'DROP SCHEMA "{schema} b" CASCADE')


async def test_a_connection_that_breaks_is_made_again(server: Any, schema: str, clock: ManualClock) -> None:
    envelopes = Envelopes(clock)
    backend = postgresql(_url(schema), clock=clock)
    await backend.open()
    await backend.queue.put(envelopes.make())
    # By the session that the rejection names, and no other: tests beside this one have connections too.
    second = postgresql(_url(schema), clock=clock)
    with pytest.raises(StoreError, match="one server") as rejected:
        await second.open()
    session = re.search(r"session (\d+)", rejected.value.message)
    assert session is not None
    await server.execute("SELECT pg_terminate_backend($1)", int(session[1]))
    failed = await asyncio.gather(backend.queue.put(envelopes.make()), return_exceptions=True)
    assert isinstance(failed[0], StoreError)
    again = envelopes.make()
    assert await backend.queue.put(again) == Accepted(again.execution_id)
    assert await backend.store.execution(again.execution_id) is not None
    await backend.close()


async def test_a_server_that_isnt_there_is_a_store_error_without_the_password(clock: ManualClock) -> None:
    backend = postgresql("postgresql://user:secret-word@127.0.0.1:1/x", clock=clock)
    with pytest.raises(StoreError, match="can't be opened") as raised:
        await backend.open()
    assert "secret-word" not in str(raised.value)
    await backend.close()


def test_unknown_settings_in_the_url_are_rejected(clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="sslmod"):
        postgresql("postgresql://u:secret-word@h/x?sslmod=require", clock=clock)


async def test_a_driver_that_isnt_installed_is_named_with_what_to_install(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    backend = postgresql("postgresql://root@127.0.0.1:1/test", clock=clock)
    with pytest.raises(StoreError, match=r"asyncpg.*pip install 'hookline\[postgres\]'"):
        await backend.open()
    await backend.close()


def test_a_url_with_a_port_that_is_no_number_is_rejected(clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="can't be read") as raised:
        postgresql("postgresql://u:secret-word@h:port/x", clock=clock)
    assert "secret-word" not in str(raised.value)
