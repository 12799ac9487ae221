"""A server that runs out of file descriptors: no message is lost, and no step fails for it."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.forked_server import OPEN_FILES
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.integration.served_hook import JSON, post, read_response, status


def flow(sink: Sink) -> dict[str, object]:
    call = {"use": "http.request", "with": {"method": "POST", "url": "$.vars.sink", "json": "$.body"}}
    return {
        "id": "f",
        "trigger": {"use": "webhook", "with": {"verify": "none"}},
        "vars": {"sink": sink.url},
        "steps": [{"id": "call", **call}],
    }


async def answer_on(link: tuple[asyncio.StreamReader, asyncio.StreamWriter], flow: str = "f") -> int:
    """The status of the response to a message on a connection; 0 if the connection was reset."""
    reader, writer = link
    writer.write(post(JSON, "Content-Length: 2", body=b"{}", path=f"/hook/{flow}"))
    try:
        head, _ = await read_response(reader)
    except (OSError, EOFError):
        return 0
    return status(head)


async def connect_many(server: ServerProcess, count: int) -> Counter[int]:
    """Open connections, send a message on each, and hold them all until each has its answer."""
    held: list[asyncio.StreamWriter] = []
    seen: Counter[int] = Counter()

    async def send() -> None:
        link = await asyncio.open_connection("127.0.0.1", server.port)
        held.append(link[1])
        # Above the bound of connections they are told 503, and above that of such answers they are reset.
        seen[await answer_on(link)] += 1

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(send())
    for writer in held:
        writer.transport.abort()
    return seen


@pytest.mark.promise(1)
@pytest.mark.rule(42)
@pytest.mark.parametrize("kind", ["hypercorn", pytest.param("uvicorn", marks=pytest.mark.long)])
def test_more_connections_than_descriptors_make_no_dead_letter(
    make_server: Callable[..., ServerProcess], sink: Sink, kind: str
) -> None:
    server = make_server("--server", kind, environment={OPEN_FILES: "1024", "HOOKLINE_TRUSTED_PROXIES": "127.0.0.0/8"})
    server.flow(flow(sink))
    server.start()
    assert "the limit of open files is too low" in server.log()
    seen = asyncio.run(connect_many(server, 990))
    assert set(seen) <= {202, 503, 0}, seen
    assert 600 <= seen[202] <= 768  # a quarter of the descriptors is kept for the steps
    eventually("its connections are free again", server.is_ready)
    eventually("all executions have ended", server.drained)
    assert len(server.executions(state="succeeded")) == seen[202]
    assert len(sink.keys) == seen[202]
    assert server.log().count("\n") < 100


@pytest.mark.promise(1)
@pytest.mark.rule(42)
@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the system can't limit another process's files")
def test_a_step_without_a_descriptor_is_tried_again_and_never_fails(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = make_server()
    server.flow(flow(sink))
    server.start()

    async def exhaust() -> tuple[list[int], list[int]]:
        links = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        assert [await answer_on(link, "none") for link in links] == [404] * 5
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (8, before[1]))
        accepted = [await answer_on(link) for link in links]
        # These can't be accepted now: they wait, or are reset.
        waiting = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        async with asyncio.timeout(20):
            while "the engine can't do its part of a step" not in server.log():  # noqa: ASYNC110 - it is another process's
                await asyncio.sleep(0.05)
        await asyncio.sleep(1.5)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        later = [await answer_on(link) for link in waiting]
        for _, writer in (*links, *waiting):
            writer.transport.abort()
        return accepted, later

    accepted, later = asyncio.run(exhaust())
    assert accepted == [202] * 5
    assert set(later) <= {202, 0}
    eventually("all executions have ended", server.drained)
    assert {one["state"] for one in server.executions()} == {"succeeded"}
    assert len(sink.keys) == 5 + later.count(202)
    assert server.log().count("\n") < 30, server.log()
    assert "Traceback" not in server.log()
