"""The writer of the log: it delays nobody, drops what there is no room for, and says so when it can write again."""

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from hookline.kernel.log_writer import LogWriter

Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):
            os.close(end)


def read_lines(end: int, complete: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Read whole lines until they are complete."""
    found = b""
    while not (found.endswith(b"\n") and complete(found.splitlines())):
        assert select.select((end,), (), (), 10)[0], found[-200:]
        found += os.read(end, 65536)
    return found.splitlines()


def fill(end: int) -> None:
    """Fill a pipe."""
    os.set_blocking(end, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(end, b"x" * 4096)
    os.set_blocking(end, True)


def report(lines: int) -> bytes:
    return b"%d dropped\n" % lines


def reports(lines: Iterable[bytes]) -> list[int]:
    """The numbers of the reports among lines."""
    return [int(line.split()[0]) for line in lines if line.endswith(b" dropped")]


def lines_of(lines: Iterable[bytes], line: bytes) -> int:
    """How often a line is among others; the first follows what filled the pipe."""
    return sum(one.endswith(line[:-1]) for one in lines)


@pytest.mark.rule(37)
def test_lines_are_written_in_their_order(pipe: Pipe) -> None:
    writer = LogWriter(pipe[1])
    for number in range(1000):
        writer.put(b"%d\n" % number)
    assert writer.flush()
    assert read_lines(pipe[0], lambda lines: len(lines) == 1000) == [b"%d" % number for number in range(1000)]


@pytest.mark.rule(37)
def test_a_pipe_that_nobody_reads_delays_nobody_and_what_was_dropped_is_reported(pipe: Pipe) -> None:
    fill(pipe[1])
    writer = LogWriter(pipe[1], report, capacity=10_000)
    line = b"y" * 99 + b"\n"
    for _ in range(5000):
        writer.put(line)
    assert not writer.flush(0.05)
    # At most what it holds and what waits.
    assert 4700 < writer.dropped < 5000
    # Where the writer was slow to begin, it takes the lines in two parts, and each part may end with a report.
    written = read_lines(pipe[0], lambda lines: lines_of(lines, line) + sum(reports(lines)) == 5000)
    assert sum(reports(written)) == writer.dropped
    first = next(place for place, one in enumerate(written) if one.endswith(b" dropped"))
    assert first >= 100, "what waited comes before the report"
    writer.put(b"again\n")
    assert read_lines(pipe[0], bool) == [b"again"]


@pytest.mark.rule(37)
def test_a_full_file_is_continued_at_the_byte_at_which_it_was_full(tmp_path: Path) -> None:
    """A child has the limit: this process couldn't write its own files."""
    log = tmp_path / "log"
    script = f"""
import os, resource, signal, sys
from hookline.kernel.log_writer import LogWriter
number = os.open({str(log)!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
resource.setrlimit(resource.RLIMIT_FSIZE, (1005, resource.RLIM_INFINITY))
writer = LogWriter(number)
for one in range(50):
    writer.put(b"%099d\\n" % one)
assert not writer.flush(0.5)
assert os.fstat(number).st_size == 1005
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert writer.flush(10)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert [int(line) for line in log.read_text().splitlines()] == list(range(50))


@pytest.mark.rule(37)
def test_a_reader_that_has_gone_ends_nothing(pipe: Pipe) -> None:
    writer = LogWriter(pipe[1], capacity=1000)
    os.close(pipe[0])
    for _ in range(100):
        writer.put(b"x" * 100)
    assert not writer.flush(0.05)
    assert writer.dropped > 0


@pytest.mark.rule(37)
def test_a_process_whose_output_nobody_reads_ends(pipe: Pipe) -> None:
    script = """
import logging, sys, threading, warnings
import click, structlog
from hookline.kernel import logs
logs.set_up("info", "json", lambda logger, method, event: event)
logs.take_over_output()
for _ in range(100):
    structlog.get_logger("hookline").error("x" * 8000)
    logging.getLogger("library").error("y" * 8000)
    print("z" * 8000)
    click.echo("z" * 8000, err=True)
    click.echo(b"z" * 8000)
    warnings.warn("w" * 8000)
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise ValueError("x" * 100_000)
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=pipe[1], stderr=pipe[1])
    try:
        assert child.wait(timeout=20) == 1
    finally:
        child.kill()
        child.wait()


@pytest.mark.rule(37)
@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_process_without_an_output_runs(closed: str) -> None:
    script = """
import sys, structlog
from hookline.kernel import logs
logs.set_up("info", "console", lambda logger, method, event: event)
logs.take_over_output()
structlog.get_logger("hookline").error("x")
print("x")
sys.exit(7)
"""
    command = f'exec "$0" -c "$1" {closed}>&-'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, script], capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 7, done.stderr
