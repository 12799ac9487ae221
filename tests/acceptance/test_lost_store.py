"""A database that is lost, or can't be written, under a server that runs."""

import json
import resource
from collections.abc import Iterator
from contextlib import closing
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess

FLOW = {"id": "f", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": []}


def readiness_without_token(server: ServerProcess) -> dict[str, str]:
    with pytest.raises(HTTPError) as rejected, urlopen(f"{server.url}/readyz") as _:
        pass
    with closing(rejected.value) as answer:
        assert answer.code == 503
        said: dict[str, str] = json.loads(answer.read())
        return said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ForkedServer(tmp_path_factory.mktemp("server"))
    server.flow(FLOW)
    server.start()
    assert server.post("f", 1)[0] == 202
    yield server
    server.kill()


@pytest.mark.promise(1)
@pytest.mark.rule(38)
def test_a_server_whose_database_was_deleted_isnt_ready_and_accepts_nothing(server: ServerProcess) -> None:
    database = server.folder / ".hookline" / "hookline.db"
    for file in (database, database.with_name("hookline.db-wal")):
        assert server.get("/readyz")[0] == 200
        moved = file.rename(file.with_name("moved"))
        # The first one finds it out, after it was written into the file that nobody can open any more.
        status, problem = server.post("f", 2)
        assert (status, problem["code"]) == (503, "request.possibly_stored")
        status, said = server.get("/readyz")
        assert (status, said["status"]) == (503, "the store can't be used")
        assert f"{file} was deleted while the server ran" in said["reason"]
        assert "reason" not in readiness_without_token(server), "it names the file"
        status, problem = server.post("f", 3)
        assert (status, problem["code"]) == (503, "request.unavailable")
        assert str(file) not in json.dumps(problem)
        assert server.get("/healthz")[0] == 200, "to restart it would lose what is still there"
        moved.rename(file)
    assert server.get("/readyz")[0] == 200
    assert f"{database} was deleted" in server.log()
    assert server.post("f", 4)[0] == 202
    assert 2 <= len(server.executions()) <= 4, "accepted, or possibly stored"


@pytest.mark.promise(1)
@pytest.mark.rule(38)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the system can't limit another process's files")
def test_a_server_whose_database_cant_be_written_isnt_ready_until_it_can(server: ServerProcess) -> None:
    log = (server.folder / ".hookline" / "hookline.db-wal").stat().st_size
    assert log > (server.folder / "server.log").stat().st_size + 10_000, "the limit must leave room for what it logs"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (log, unlimited[1]))
    status, said = server.get("/readyz")
    assert (status, said["status"]) == (503, "the store can't be used")
    assert "hookline.db can't be written" in said["reason"]
    assert server.post("f", "x" * 5000)[0] == 503
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
    assert server.get("/readyz")[0] == 200
    assert server.post("f", 2)[0] == 202
