"""`hookline serve` while PostgreSQL is away: it starts, isn't ready, and becomes ready by itself."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.postgres import POSTGRES, postgres_schema
from tests.acceptance.server_process import ServerProcess
from tests.chaos.proxy import Link, Links

pytestmark = [pytest.mark.postgres, pytest.mark.cluster_rule("C21")]

FLOW = {
    "id": "plain",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "steps": [{"id": "m", "use": "map", "with": {"body": 1}}],
}


@pytest.fixture
def database() -> Iterator[str]:
    with postgres_schema() as url:
        yield url


@pytest.fixture
def link() -> Iterator[Link]:
    """The way to PostgreSQL, which is closed."""
    with Links() as links:
        made = links.open(urlsplit(POSTGRES).port or 5432)
        made.close()
        yield made


@pytest.fixture
def server(tmp_path: Path, database: str, link: Link) -> Iterator[ServerProcess]:
    url = database.replace(f":{urlsplit(POSTGRES).port or 5432}/", f":{link.port}/")
    made = ForkedServer(tmp_path, environment={"HOOKLINE_DB": url})
    made.flow(FLOW)
    made.launch()
    yield made
    if made.running:
        made.kill()


def _listens(server: ServerProcess) -> bool:
    try:
        return server.get("/healthz")[0] == 200
    except OSError:
        return False


def test_a_server_that_starts_while_the_database_is_away_becomes_ready_when_it_is_back(
    server: ServerProcess, link: Link
) -> None:
    server.eventually("it listens", lambda: _listens(server))
    status, answer = server.get("/readyz")
    assert (status, answer["status"]) == (503, "not ready")
    assert "can't be opened" in answer["reason"]
    status, answer, headers = server.request("POST", "/hook/plain", b"1")
    assert (status, answer["code"], "retry-after" in headers) == (503, "request.unavailable", True)
    assert server.get("/api/v1/flows")[0] == 503
    link.heal()
    server.eventually("it is ready", server.is_ready)
    assert server.post("plain", 1)[0] == 202
    assert "the server waits for its database or intake queue" in server.log()


def test_sigterm_ends_the_wait_for_the_database(server: ServerProcess) -> None:
    server.eventually("it listens", lambda: _listens(server))
    assert server.stop() == 0
