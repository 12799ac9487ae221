"""Writing lines from a thread of its own, so that a slow, full or absent reader delays nobody.

Lines wait in a bounded queue. If it is full, lines are dropped and counted. While the descriptor can't be written, the
thread tries again, and goes on at the byte at which it stopped; then it reports how many lines were dropped.
"""

import atexit
import io
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

CAPACITY: Final = 4_000_000
"""Bytes that wait to be written."""
FLUSH_SECONDS: Final = 1.0
"""Seconds in which the last lines must be written when the process ends."""
_AGAIN: Final = 0.25
"""Seconds until a descriptor that can't be written is tried again."""
_AT_ONCE: Final = 65_536


class LogWriter:
    """Writes to a file descriptor, and never lets its callers wait."""

    def __init__(
        self, descriptor: int, dropped: Callable[[int], bytes] = lambda _: b"", *, capacity: int = CAPACITY
    ) -> None:
        """`dropped` makes the line that reports a number of dropped lines."""
        self.descriptor = descriptor
        self.dropped = 0
        """The number of lines that were dropped since the start."""
        self._report = dropped
        self._capacity = capacity
        self._waiting: list[bytes] = []
        self._size = 0
        self._unreported = 0
        # A finalizer may log in the middle of `put`, so that the lock must be one that its owner can take again.
        self._changed = threading.Condition(threading.RLock())
        self._idle = True
        threading.Thread(target=self._run, name=f"hookline writer {descriptor}", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Write a line soon, or drop it."""
        size = len(line)
        with self._changed:
            if self._size + size > self._capacity:
                self.dropped += 1
                self._unreported += 1
            else:
                self._waiting.append(line)
                self._size += size
            self._changed.notify_all()

    def flush(self, seconds: float = FLUSH_SECONDS) -> bool:
        """Wait until everything is written, for a bounded time. Return False if it isn't."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._waiting, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._unreported)
                lines, unreported = self._waiting, self._unreported
                self._waiting, self._size, self._unreported = [], 0, 0
                self._idle = False
            # The dropped lines came after these.
            self._write(b"".join(lines))
            if unreported:
                self._write(self._report(unreported))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self.descriptor, left[:_AT_ONCE]) :]
            except BlockingIOError:
                select.select((), (self.descriptor,), (), 1.0)
            except OSError:
                time.sleep(_AGAIN)


class _Output(io.RawIOBase):
    """A standard stream whose bytes a LogWriter writes."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__()
        self._writer = writer

    def write(self, data: object) -> int:
        written = bytes(data)  # type: ignore[call-overload]  # any buffer; the type of the class is a private one
        self._writer.put(written)
        return len(written)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._writer.descriptor

    def isatty(self) -> bool:
        return os.isatty(self._writer.descriptor)


def descriptor_of(stream: object) -> int | None:
    """The file descriptor of a stream; None if it has none."""
    try:
        number: int = stream.fileno()  # type: ignore[attr-defined]  # streams without one are expected
    except (AttributeError, OSError, ValueError):
        return None
    return number


def at_exit(writer: LogWriter) -> LogWriter:
    """Let a process that ends wait for the last lines, for a bounded time."""
    atexit.register(writer.flush)
    return writer


def take_over_output(log: LogWriter | None) -> None:
    """Let nothing that is printed delay this process: not its own output, and no traceback or warning either.

    `log` writes standard error.
    """
    number = descriptor_of(sys.stdout)
    if number is not None:
        sys.stdout = _text(at_exit(LogWriter(number)))
    if log is not None:
        sys.stderr = _text(log)


def _text(writer: LogWriter) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _Output(writer),  # type: ignore[arg-type]  # needs no buffer between them
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )
