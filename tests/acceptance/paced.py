"""Messages that are sent at a rate, whatever the answers take, and how long each answer took."""

import asyncio
import contextlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.acceptance.load import Address
from tests.integration.served_hook import read_response, status

_PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """The answer to one message."""

    due: float
    """Seconds from the beginning until the message was to be sent."""
    seconds: float
    """From then until its answer: a message that was sent late because the one before it had no answer waits, too."""
    status: int


@dataclass
class Paced:
    """What was sent at a rate."""

    answers: list[Answer] = field(default_factory=list)

    def statuses(self) -> set[int]:
        return {answer.status for answer in self.answers}

    def p99(self) -> float:
        """The 99th percentile of the seconds until an answer: the median of those of each second.

        So one pause of a busy machine isn't the result.
        """
        seconds: dict[int, list[float]] = {}
        for answer in self.answers:
            seconds.setdefault(int(answer.due), []).append(answer.seconds)
        return statistics.median(sorted(found)[int(len(found) * 0.99)] for found in seconds.values())


@dataclass(frozen=True)
class Line:
    """A sender with a connection of its own, which sends a message after it has the answer to the one before."""

    server: Address
    path: str
    key: str


async def send(lines: Sequence[Line], rate: float, seconds: float, first: int = 0) -> Paced:
    """Send messages evenly over all lines. Each has the key of its line and a number, which grows along the line."""
    sent = Paced()
    began = asyncio.get_running_loop().time()
    every = len(lines) / rate

    async def run(place: int, line: Line) -> None:
        host, _, port = urlsplit(line.server.url).netloc.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            for turn in range(int(seconds / every)):
                due = place / rate + turn * every
                await asyncio.sleep(began + due - asyncio.get_running_loop().time())
                body = json.dumps({"key": line.key, "n": first + turn}).encode()
                writer.write(
                    f"POST {line.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                async with asyncio.timeout(_PATIENCE):
                    head, _ = await read_response(reader)
                now = asyncio.get_running_loop().time()
                sent.answers.append(Answer(due, now - began - due, status(head)))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async with asyncio.TaskGroup() as tasks:
        for place, line in enumerate(lines):
            tasks.create_task(run(place, line))
    return sent
