"""Memory does not grow with the backlog or with a file's size."""

import http.client
import threading
from collections.abc import Callable, Iterator
from json import dumps
from urllib.parse import urlsplit

import pytest

from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

MB = 1_000_000


def _send_many(server: ServerProcess, flow_id: str, numbers: range) -> list[int]:
    """Send numbered messages over one connection; gives the statuses that were not 202."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    others: list[int] = []
    for number in numbers:
        connection.request("POST", f"/hook/{flow_id}", dumps({"n": number}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        if response.status != 202:
            others.append(response.status)
    connection.close()
    return others


@pytest.mark.promise(9)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_20000_messages_for_a_stopped_sink_wait_on_disk_and_drain_when_it_is_back(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = make_server()
    server.flow(
        {
            "id": "tell",
            "trigger": {"use": "webhook", "with": {"verify": "none"}},
            "vars": {"sink": sink.url},
            "steps": [
                {
                    "id": "tell",
                    "use": "http.request",
                    "with": {"method": "POST", "url": "$.vars.sink", "json": "$.body"},
                    "retry": {"attempts": 1000, "wait": "15s", "factor": 1, "cap": "15s"},
                }
            ],
        }
    )
    server.start()
    assert _send_many(server, "tell", range(200)) == []
    eventually("the first messages arrive", lambda: len(sink.received) == 200)
    idle = server.memory()
    sink.stop()

    problems: list[int] = []
    parts = [range(1000 + part * 5000, 1000 + (part + 1) * 5000) for part in range(4)]
    threads = [
        threading.Thread(target=lambda part=part: problems.extend(_send_many(server, "tell", part))) for part in parts
    ]
    for thread in threads:
        thread.start()
    peak = 0
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
            peak = max(peak, server.memory())
    assert problems == []
    grown = (peak - idle) / MB
    print(f"idle {idle / MB:.0f} MB, with 20,000 messages waiting {grown:.0f} MB more")
    assert grown < 100

    sink.start()
    eventually("they drain", lambda: len(sink.keys) == 20_200, 180)
    eventually("they end", server.drained, 60)


def _zeros(size: int) -> Iterator[bytes]:
    chunk = bytes(65536)
    while size > 0:
        yield chunk[:size]
        size -= len(chunk)


@pytest.mark.promise(9)
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_1_gb_upload_passes_through_little_memory(make_server: Callable[..., ServerProcess], chunked: bool) -> None:
    server = make_server()
    server.flow(
        {
            "id": "upload",
            "trigger": {"use": "webhook", "with": {"verify": "none"}},
            "steps": [{"id": "size", "use": "map", "with": {"body": "$.attachments[0].size"}}],
        }
    )
    server.start()
    server.request("POST", "/hook/upload", b"warm", {"Content-Type": "application/octet-stream"})
    idle = server.memory()
    size = 1000 * MB
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    headers = {"Content-Type": "application/octet-stream"}
    if not chunked:
        headers["Content-Length"] = str(size)
    connection.request("POST", "/hook/upload", _zeros(size), headers, encode_chunked=chunked)
    response = connection.getresponse()
    status, answer = response.status, response.read()
    connection.close()
    done.set()
    watcher.join()
    assert status == 202, answer
    grown = (peak - idle) / MB
    print(f"1 GB, {'chunked' if chunked else 'with a length'}: {grown:.0f} MB more")
    assert grown < 40
    execution = server.ended(response.getheader("Hookline-Execution-Id") or "")
    assert execution["steps"][-1]["output"]["body"] == size
