"""Those who send requests: the senders of messages, and the caller of the steps that wait for a callback.

They do what good senders do: what isn't answered with 200 or 202 is sent again, under the same dedupe key, and maybe to
another node. The sender of a line sends the next message only when the one before is accepted. Now and then an accepted
message is sent once more, which must start nothing. Each attempt is in the history when it has ended.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from tests.chaos.history import Callback, History, Request

ACCEPTED: Final = (200, 202)
_LIMIT: Final = 15.0
"""Seconds after which a client gives a request up."""
_OPEN: Final = 2
"""Messages of one line that are accepted and not done, at which its sender waits."""
_NOTES: Final = 30
"""Messages without a line that are begun and not accepted, at which their sender waits."""
_REPEATED: Final = 0.05
"""The part of the messages that are sent once more."""

Nodes = Sequence[tuple[str, str]]
"""The names of the nodes, and their URLs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt; status 0 means that there was no response."""

    node: str
    status: int
    execution: str | None
    detail: str
    started: float
    ended: float


class Poster:
    """Sends JSON to nodes, each time to one that is chosen at random."""

    def __init__(self, nodes: Nodes, seed: str) -> None:
        self._nodes = nodes
        self.random = random.Random(seed)

    async def post(self, session: aiohttp.ClientSession, path: str, body: Any) -> Answer:
        name, url = self.random.choice(self._nodes)
        started = time.monotonic()
        status, text = 0, ""
        try:
            async with session.post(url + path, json=body) as response:
                text = await response.text()
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            text = repr(error)
        execution = None
        if status in ACCEPTED:
            execution = json.loads(text).get("execution_id")
        return Answer(name, status, execution, text[:300], started, time.monotonic())


def client_session() -> aiohttp.ClientSession:
    """A session that gives a request up after a time."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_LIMIT))


class Senders:
    """The senders of a run, as tasks of one event loop."""

    def __init__(self, history: History, nodes: Nodes, *, seed: int, lines: int, rate: float) -> None:
        """`rate`: messages a second without a line."""
        self._history = history
        self._nodes = nodes
        self._seed = seed
        self._lines = lines
        self._rate = rate
        self._stopping = asyncio.Event()
        self._open: Counter[str] = Counter()
        """The messages of each line that are begun and not done."""
        self._done: set[str] = set()
        self._changed = asyncio.Event()

    def hear(self, step: str, body: dict[str, Any]) -> None:
        """Listen to the HTTP sink: a message is done when it has reached its last call."""
        if step == "closed" and body["message"] not in self._done:
            self._done.add(body["message"])
            self._open[body["message"].split("-")[0]] -= 1
            self._changed.set()

    def stop(self) -> None:
        """Begin no more messages. Called in the event loop."""
        self._stopping.set()
        self._changed.set()

    async def run(self) -> None:
        """Send until `stop`, and return when everything that was begun is accepted."""
        async with client_session() as session, asyncio.TaskGroup() as tasks:
            for number in range(self._lines):
                tasks.create_task(self._send_line(session, f"line{number}", "a"))
            # Two senders, whose requests overlap, share the last line.
            tasks.create_task(self._send_line(session, f"line{self._lines - 1}", "b"))
            tasks.create_task(self._send_notes(session))

    async def _send_line(self, session: aiohttp.ClientSession, line: str, sender: str) -> None:
        poster = Poster(self._nodes, f"{self._seed} {line} {sender}")
        number = 0
        while await self._may_send(line):
            self._open[line] += 1
            message = f"{line}-{sender}-{number}"
            body = {
                "message": message,
                "line": line,
                "troubles": poster.random.choice((0, 0, 0, 1, 2)),
                "parts": list(range(poster.random.randint(0, 3))),
            }
            await self._deliver(session, poster, "orders", message, line, body)
            number += 1

    async def _may_send(self, line: str) -> bool:
        while self._open[line] >= _OPEN and not self._stopping.is_set():
            self._changed.clear()
            await self._changed.wait()
        return not self._stopping.is_set()

    async def _send_notes(self, session: aiohttp.ClientSession) -> None:
        poster = Poster(self._nodes, f"{self._seed} notes")
        number = 0
        places = asyncio.Semaphore(_NOTES)

        async def deliver(message: str) -> None:
            body = {"message": message, "troubles": poster.random.choice((0, 0, 0, 0, 1))}
            try:
                await self._deliver(session, poster, "notes", message, None, body)
            finally:
                places.release()

        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                await places.acquire()
                tasks.create_task(deliver(f"note-{number}"))
                number += 1
                await asyncio.sleep(poster.random.expovariate(self._rate))

    async def _deliver(
        self,
        session: aiohttp.ClientSession,
        poster: Poster,
        flow: str,
        message: str,
        line: str | None,
        body: dict[str, Any],
    ) -> None:
        """Send a message until it is accepted, and maybe once more."""
        times = 2 if poster.random.random() < _REPEATED else 1
        while times:
            answer = await poster.post(session, f"/hook/{flow}", body)
            self._history.add(
                Request(
                    message=message,
                    flow=flow,
                    line=line,
                    node=answer.node,
                    status=answer.status,
                    execution=answer.execution,
                    parts=len(body.get("parts", ())),
                    detail="" if answer.status in ACCEPTED else answer.detail,
                    started=answer.started,
                    ended=answer.ended,
                )
            )
            if answer.status in ACCEPTED:
                times -= 1
            else:
                await asyncio.sleep(poster.random.uniform(0.2, 1.0))


class Caller:
    """Sends the callbacks for which executions wait: one to the URL that `ask` hands out, one by a key after `done`."""

    def __init__(self, history: History, nodes: Nodes, *, seed: int) -> None:
        self._history = history
        self._poster = Poster(nodes, f"{seed} caller")
        self._asked: asyncio.Queue[tuple[str, str, str, dict[str, Any]]] = asyncio.Queue()
        self._known: set[tuple[str, str]] = set()

    def hear(self, step: str, body: dict[str, Any]) -> None:
        """Listen to the HTTP sink."""
        execution, message = body["execution"], body["message"]
        if step not in ("ask", "done") or (execution, step) in self._known:
            return
        self._known.add((execution, step))
        if step == "ask":
            call = ("approve", urlsplit(body["callback"]).path, {"value": f"yes to {message}"})
        else:
            call = ("confirm", "/hook/orders/confirm", {"value": f"sure of {message}", "message": message})
        self._asked.put_nowait((execution, *call))

    async def run(self) -> None:
        """Call until cancelled."""
        async with client_session() as session, asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._call(session, *await self._asked.get()))

    async def _call(
        self, session: aiohttp.ClientSession, execution: str, step: str, path: str, body: dict[str, Any]
    ) -> None:
        # Now before the step waits, now after it.
        await asyncio.sleep(self._poster.random.choice((0.0, 0.3)))
        status = 0
        while status not in ACCEPTED:
            answer = await self._poster.post(session, path, body)
            status = answer.status
            self._history.add(
                Callback(
                    execution=execution,
                    step=step,
                    node=answer.node,
                    value=body["value"],
                    status=status,
                    detail="" if status in ACCEPTED else answer.detail,
                    started=answer.started,
                    ended=answer.ended,
                )
            )
            if status not in ACCEPTED:
                await asyncio.sleep(self._poster.random.uniform(0.2, 1.0))
