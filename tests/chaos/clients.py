"""Those who send requests: senders of messages, the caller of the steps that wait for a callback, and a deployer.

The senders do what good senders do: what isn't answered with 200 or 202 is sent again, under the same dedupe key, and
maybe to another node. The sender of a line sends the next message only when the one before is accepted. Now and then an
accepted message is sent once more, which must start nothing. A message of a flow without a dedupe key is sent once,
whatever the response is. Each attempt is in the history when it has ended.
"""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from tests.acceptance.server_process import TOKEN
from tests.chaos.cluster import FLOWS
from tests.chaos.history import NOT_SENT, Callback, Deployment, History, Request

ACCEPTED: Final = (200, 202)
_LIMIT: Final = 15.0
"""Seconds after which a client gives a request up."""
_OPEN: Final = 2
"""Messages of one line that are accepted and not done, at which its sender waits."""
_NOTES: Final = 30
"""Messages of a flow without a line that are begun and not accepted, at which their sender waits."""
_PAIRS: Final = 5
"""Messages of the flow that runs two at a time that are begun and not done, at which their sender waits."""
_DEPLOYMENT_LIMIT: Final = 40.0
"""Seconds after which the deployer gives a request up: nodes have 15 s to adopt a deployment."""
EDITED: Final = ("notes", "orders")
"""The flows that are deployed again and again."""
_REPEATED: Final = 0.05
"""The part of the messages that are sent once more."""

Nodes = Sequence[tuple[str, str]]
"""The names of the nodes, and their URLs."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One attempt; status 0 means that there was no response."""

    node: str
    status: int
    body: Any
    """The decoded body of a response that is accepted; otherwise None."""
    code: str
    detail: str
    started: float
    ended: float

    @property
    def execution(self) -> str | None:
        return None if self.body is None else self.body.get("execution_id")


class Poster:
    """Sends JSON to nodes, each time to one that is chosen at random."""

    def __init__(self, nodes: Nodes, seed: str) -> None:
        self._nodes = nodes
        self.random = random.Random(seed)

    async def post(self, session: aiohttp.ClientSession, path: str, body: Any) -> Answer:
        name, url = self.random.choice(self._nodes)
        started = time.monotonic()
        status, text, code = 0, "", ""
        try:
            async with session.post(url + path, json=body) as response:
                text = await response.text()
                status = response.status
        except aiohttp.ClientConnectorError as error:
            text, code = repr(error), NOT_SENT
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            text = repr(error)
        ended = time.monotonic()
        if status in ACCEPTED:
            return Answer(name, status, json.loads(text), "", "", started, ended)
        return Answer(name, status, None, code or _code(text), text[:300], started, ended)


def _code(text: str) -> str:
    """The code of a problem document, or nothing if the text is none."""
    try:
        return str(json.loads(text)["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def client_session(limit: float = _LIMIT, headers: Mapping[str, str] | None = None) -> aiohttp.ClientSession:
    """A session that gives a request up after a time."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=limit), headers=headers)


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
        """Listen to the HTTP sink: a message of a line or of `pairs` is done when it has reached its last call."""
        if step in ("closed", "hold") and body["message"] not in self._done:
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
            tasks.create_task(self._send_steadily(session, "notes", self._rate))
            tasks.create_task(self._send_steadily(session, "memos", self._rate / 2, once=True))
            tasks.create_task(self._send_pairs(session))

    async def _send_line(self, session: aiohttp.ClientSession, line: str, sender: str) -> None:
        poster = Poster(self._nodes, f"{self._seed} {line} {sender}")
        number = 0
        while await self._may_send(line, _OPEN):
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

    async def _may_send(self, line: str, limit: int) -> bool:
        while self._open[line] >= limit and not self._stopping.is_set():
            self._changed.clear()
            await self._changed.wait()
        return not self._stopping.is_set()

    async def _send_pairs(self, session: aiohttp.ClientSession) -> None:
        poster = Poster(self._nodes, f"{self._seed} pairs")
        number = 0
        async with asyncio.TaskGroup() as tasks:
            while await self._may_send("pair", _PAIRS):
                self._open["pair"] += 1
                message = f"pair-{number}"
                body = {"message": message, "takes": round(poster.random.uniform(0.4, 1.0), 2)}
                tasks.create_task(self._deliver(session, poster, "pairs", message, None, body))
                number += 1

    async def _send_steadily(
        self, session: aiohttp.ClientSession, flow: str, rate: float, *, once: bool = False
    ) -> None:
        """Send messages without a line; each of them only once if it has no dedupe key."""
        poster = Poster(self._nodes, f"{self._seed} {flow}")
        number = 0
        places = asyncio.Semaphore(_NOTES)

        async def deliver(message: str) -> None:
            body = {"message": message, "troubles": poster.random.choice((0, 0, 0, 0, 1))}
            try:
                await self._deliver(session, poster, flow, message, None, body, once=once)
            finally:
                places.release()

        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                await places.acquire()
                tasks.create_task(deliver(f"{flow}-{number}"))
                number += 1
                await asyncio.sleep(poster.random.expovariate(rate))

    async def _deliver(
        self,
        session: aiohttp.ClientSession,
        poster: Poster,
        flow: str,
        message: str,
        line: str | None,
        body: dict[str, Any],
        *,
        once: bool = False,
    ) -> None:
        """Send a message until it is accepted, and maybe once more; or only `once`, whatever the response is."""
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
                    code=answer.code,
                    detail=answer.detail,
                    started=answer.started,
                    ended=answer.ended,
                )
            )
            if once:
                return
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
                    detail=answer.detail,
                    started=answer.started,
                    ended=answer.ended,
                )
            )
            if status not in ACCEPTED:
                await asyncio.sleep(self._poster.random.uniform(0.2, 1.0))


class Deployer:
    """Deploys another edition of some flows now and then, all of them at once and by any node.

    An edition is in the flow's calls and rows. A deployment names the versions that it replaces, so a request that a
    node handles late doesn't bring an earlier edition back.
    """

    def __init__(self, history: History, nodes: Nodes, *, seed: int) -> None:
        self._history = history
        self._poster = Poster(nodes, f"{seed} deployer")
        self._nodes = nodes
        self._stopping = asyncio.Event()
        self._flows = {flow: json.loads((FLOWS / f"{flow}.json").read_text(encoding="utf-8")) for flow in EDITED}

    def stop(self) -> None:
        """Begin no more deployments. Called in the event loop."""
        self._stopping.set()

    async def run(self) -> None:
        """Deploy until `stop`, and return when the last deployment is answered."""
        edition = 0
        async with client_session(_DEPLOYMENT_LIMIT, {"Authorization": f"Bearer {TOKEN}"}) as session:
            while not await self._stops_within(self._poster.random.uniform(2.0, 6.0)):
                expected = await self._versions(session)
                if expected is not None:
                    edition += 1
                    await self._deploy(session, edition, expected)

    async def _stops_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    async def _versions(self, session: aiohttp.ClientSession) -> dict[str, str] | None:
        """The versions that serve, as one of the nodes says; None if it can't be asked now."""
        _, url = self._poster.random.choice(self._nodes)
        try:
            async with session.get(f"{url}/api/v1/flows") as response:
                if response.status != 200:
                    return None
                items = (await response.json())["items"]
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        return {item["id"]: item["version"] for item in items if item["id"] in EDITED}

    async def _deploy(self, session: aiohttp.ClientSession, edition: int, expected: dict[str, str]) -> None:
        flows = {name: _in_edition(document, edition) for name, document in self._flows.items()}
        answer = await self._poster.post(session, "/api/v1/deployments", {"flows": flows, "expected": expected})
        self._history.add(
            Deployment(
                edition=edition,
                node=answer.node,
                status=answer.status,
                pending=[] if answer.body is None else answer.body.get("pending", []),
                detail=answer.detail,
                started=answer.started,
                ended=answer.ended,
            )
        )


def _in_edition(document: Any, edition: int) -> Any:
    """Return a flow's document with a number in place of each `edition`."""
    if isinstance(document, dict):
        return {name: edition if name == "edition" else _in_edition(value, edition) for name, value in document.items()}
    return [_in_edition(value, edition) for value in document] if isinstance(document, list) else document
