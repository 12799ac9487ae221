"""PostgreSQL, for tests over real servers."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.acceptance.database import query

POSTGRES = os.environ.get("HOOKLINE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


@contextlib.contextmanager
def postgres_schema() -> Iterator[str]:
    """The URL of a schema of its own; the test is skipped where there is no server, unless one is required."""
    name = _new_name()
    try:
        yield f"{POSTGRES}?schema={name}"
    finally:
        query(POSTGRES, f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@contextlib.contextmanager
def postgres_database() -> Iterator[str]:
    """The URL of a database and a user of their own, for steps: these write to any but the engine's."""
    name, server = _new_name(), urlsplit(POSTGRES)
    query(POSTGRES, f'CREATE ROLE "{name}" LOGIN')
    query(POSTGRES, f'CREATE DATABASE "{name}" OWNER "{name}"')
    try:
        yield server._replace(path=f"/{name}", netloc=f"{name}@{server.netloc.rpartition('@')[2]}").geturl()
    finally:
        query(POSTGRES, f'DROP DATABASE "{name}" WITH (FORCE)')
        query(POSTGRES, f'DROP ROLE "{name}"')


def _new_name() -> str:
    try:
        query(POSTGRES, "SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(f"PostgreSQL is not reachable at {POSTGRES}: {error}")
    return f"hookline_{uuid.uuid4().hex[:12]}"
