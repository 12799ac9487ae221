"""What several modules of these tests need."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.request import urlopen

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hookline.outbound.client import PooledClient
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import eventually
from tests.integration.authorization_server import AuthorizationService
from tests.integration.described_answers import DescribedAnswers
from tests.integration.engine_harness import Harness
from tests.integration.http_servers import HERE, Handler, Serve, StoppedClock
from tests.integration.journal_transitions import watch_transitions
from tests.integration.migrated_schema import MigratedSchema
from tests.ports import free_port


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> Iterator[DescribedAnswers]:
    """Each answer of the admin API is as the OpenAPI document describes it."""
    answers = DescribedAnswers()
    answers.watch(monkeypatch)
    yield answers
    assert answers.problems == []


@pytest.fixture(autouse=True)
def only_declared_transitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step passes only through the states that the docs' chart has."""
    watch_transitions(monkeypatch)


@pytest.fixture(scope="session")
def migrated() -> Iterator[MigratedSchema]:
    """One schema of PostgreSQL for all tests of this process."""
    with postgres_schema() as url:
        yield asyncio.run(MigratedSchema.create(url))


@pytest.fixture
async def tables(migrated: MigratedSchema) -> str:
    """The URL of a schema of PostgreSQL whose tables are as those of a new server."""
    return await migrated.cleared()


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    """Engines over an empty folder, and an empty database."""
    return Harness(tmp_path)


@pytest.fixture
async def client() -> AsyncIterator[PooledClient]:
    """A client that may reach this machine."""
    made = PooledClient(clock=StoppedClock(), egress=HERE)
    yield made
    await made.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts servers: each is given its handlers by their paths."""
    async with AsyncExitStack() as stack:

        async def start(handlers: dict[str, Handler]) -> TestServer:
            app = web.Application()
            for path, handler in handlers.items():
                app.router.add_route("*", path, handler)
            server = TestServer(app)
            await server.start_server()
            stack.push_async_callback(server.close)
            return server

        yield start


@pytest.fixture
def service(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthorizationService]:
    """An OAuth 2 authorization server, with the harness's time."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    made = AuthorizationService(harness.clock.now)
    with made.running():
        yield made


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 server."""
    port = free_port()
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            with urlopen(f"{url}/moto-api/", timeout=5):
                return True
        except OSError:
            return False

    try:
        eventually("the S3 server answers", answers, 60)
        yield url
    finally:
        process.kill()
        process.wait()
