"""A log that can't be written: its reader doesn't read, or has gone, or its disk is full. The work goes on."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.own_disk import full, small_disk
from tests.acceptance.server_process import ServerProcess, eventually

FAILS = {
    "id": "fails",
    "trigger": {"use": "webhook", "with": {"verify": "none"}},
    "order_by": "$.body.key",
    "steps": [{"id": "no", "use": "fail", "with": {"message": "no"}}],
}
LOGS = {**FAILS, "id": "logs", "steps": [{"id": "say", "use": "log", "with": {"message": "$.body.text"}}]}


class Reader:
    """The reading end of a log that is a pipe, which is already full."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x" * 1024)
        self._writing = writing

    def leave(self) -> None:
        """Close both ends that are ours."""
        for end in (self.end, self._writing):
            os.close(end)


def works(server: ServerProcess) -> None:
    """Everything that the server is for, with a log of more than a pipe holds."""
    ids = []
    for number in range(10):
        status, answer = server.post("fails", {"key": "same", "n": number})
        assert status == 202
        ids.append(answer["execution_id"])
        assert server.post("logs", {"key": "same", "text": "y" * 8000})[0] == 202
    eventually("all executions have ended", server.drained)
    assert {server.ended(one)["state"] for one in ids} == {"failed"}
    assert server.get("/readyz")[0] == 200
    assert server.request("GET", "/hook/none%0a")[0] == 404


@pytest.mark.rule(37)
@pytest.mark.parametrize(("case", "number"), [("unread", signal.SIGTERM), ("reader gone", signal.SIGINT)])
def test_a_server_whose_log_nobody_reads_works_and_stops(
    make_server: Callable[..., ServerProcess], tmp_path: Path, case: str, number: int
) -> None:
    reader = Reader(tmp_path / "server.log")
    server = make_server("--log-level", "debug")
    server.flow(FAILS)
    server.flow(LOGS)
    server.start()
    if case == "reader gone":
        reader.leave()
    works(server)
    assert server.stop(number) == 0
    if case == "unread":
        reader.leave()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, 4) as disk:
        yield disk


@pytest.mark.rule(37)
def test_a_server_whose_log_has_no_room_works_and_writes_it_once_there_is(disk: Path, tmp_path: Path) -> None:
    (disk / "server.log").touch()
    (tmp_path / "server.log").symlink_to(disk / "server.log")
    server = ForkedServer(tmp_path, "--log-level", "debug")
    server.flow(FAILS)
    server.flow(LOGS)
    server.start()
    try:
        with full(disk):
            works(server)
        assert server.post("fails", {"key": "last", "n": 99})[0] == 202
        server.eventually("the log is written", lambda: server.log().count("execution failed") == 11)
        assert all(
            line.startswith("20")
            for line in server.log().splitlines()
            if not line.startswith(("Hookline", "hooks", "console"))
        )
    finally:
        assert server.stop() == 0


@pytest.mark.rule(37)
@pytest.mark.rule(38)
def test_a_disk_that_is_full_of_log_and_database_answers_503_until_there_is_room(disk: Path, tmp_path: Path) -> None:
    (disk / "server.log").touch()
    (tmp_path / "server.log").symlink_to(disk / "server.log")
    (tmp_path / ".hookline").symlink_to(disk)
    server = ForkedServer(tmp_path)
    server.flow(FAILS)
    server.start()
    try:
        accepted = [server.post("fails", {"key": "same", "n": 1})[1]["execution_id"]]
        with full(disk):
            answers = [
                server.request(
                    "POST",
                    "/hook/fails",
                    b'{"key": "%d", "x": "%s"}' % (n, b"x" * 20_000),
                    {"Content-Type": "application/json"},
                )
                for n in range(40)
            ]
            accepted += [answer["execution_id"] for status, answer, _ in answers if status == 202]
            rejected = [
                (status, answer["code"], headers["retry-after"]) for status, answer, headers in answers if status != 202
            ]
            assert rejected
            assert set(rejected) == {(503, "request.unavailable", "30")}
            assert server.get("/readyz")[0] == 503
        eventually("the server is ready", server.is_ready)
        assert server.post("fails", {"key": "same", "n": 2})[0] == 202
        eventually("all executions have ended", server.drained)
        assert {server.ended(one)["state"] for one in accepted} == {"failed"}
        log = server.log()
        assert "Traceback" not in log
        assert log.count("the store can't be used") <= 2, "a line when it begins: once for each time that it was full"
        told = [line for line in log.splitlines() if "[error" in line]
        assert len(told) < 5, log
    finally:
        assert server.stop() == 0
