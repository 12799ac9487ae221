"""Where the flows' effects go: an HTTP sink that writes down each call, and a table in a database.

The HTTP sink is never cut off. It answers 503 as often as a message asks for. It takes the time that the message asks
for, or now and then a long one, so that faults meet calls in progress. It finds out which process has called by the
port from which the call comes.
"""

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from aiohttp import web

from tests.acceptance.own_postgres import OwnPostgres
from tests.chaos.history import Call, History, Row

Owner = Callable[[int], tuple[str | None, int]]
Listener = Callable[[str, dict[str, Any]], None]
"""Is told the step and the body of each call that is answered with 200."""

_SLOW_PART: Final = 0.08
"""The part of the calls that take their time."""
_SLOW: Final = 1.5
"""Seconds."""


class HttpSink:
    """`app` is the application to serve; each call is in the history when it is answered."""

    def __init__(self, history: History, owner: Owner) -> None:
        self._history = history
        self._owner = owner
        self.listeners: list[Listener] = []
        self._seen: Counter[str] = Counter()
        self._callers: WeakKeyDictionary[asyncio.BaseTransport, tuple[str | None, int]] = WeakKeyDictionary()
        self.app = web.Application()
        self.app.router.add_post("/", self._take)

    async def _take(self, request: web.Request) -> web.Response:
        started = time.monotonic()
        node, life = self._caller(request)
        body = await request.json()
        key = request.headers.get("Idempotency-Key", "")
        before, self._seen[key] = self._seen[key], self._seen[key] + 1
        status = 503 if before < int(body.get("troubles") or 0) else 200
        await asyncio.sleep(body.get("takes") or _delay(key, before))
        self._history.add(
            Call(
                key=key,
                message=body["message"],
                execution=body["execution"],
                step=body["step"],
                place=body["place"],
                value=body.get("value"),
                edition=body.get("edition"),
                node=node,
                life=life,
                status=status,
                started=started,
                ended=time.monotonic(),
            )
        )
        if status == 200:
            for hear in self.listeners:
                hear(body["step"], body)
        return web.json_response({}, status=status)

    def _caller(self, request: web.Request) -> tuple[str | None, int]:
        transport = request.transport
        if transport is None:
            return None, 0
        if transport not in self._callers:
            self._callers[transport] = self._owner(transport.get_extra_info("peername")[1])
        return self._callers[transport]


def _delay(key: str, count: int) -> float:
    """The seconds that a call takes: the same for the same key, however often the run is repeated."""
    chance = int.from_bytes(hashlib.sha256(f"{key} {count}".encode()).digest()[:4]) / 2**32
    return _SLOW if chance < _SLOW_PART else chance * 0.05


class SqlSink:
    """The table `marks` in the database `books`, into which the flows insert by `sql.insert`."""

    def __init__(self, postgres: OwnPostgres) -> None:
        self._postgres = postgres

    async def create(self) -> None:
        async with self._postgres.session("books") as session:
            await session.execute(
                "CREATE TABLE marks (number bigserial PRIMARY KEY, message text NOT NULL, execution text NOT NULL,"
                " line text, mark text NOT NULL, place text NOT NULL, edition bigint,"
                " at timestamptz NOT NULL DEFAULT clock_timestamp())"
            )

    async def rows(self) -> list[Row]:
        """All rows, in the order of their numbers."""
        # The clock of this machine isn't set during a run, except for processes that libfaketime deceives.
        offset = time.time() - time.monotonic()
        async with self._postgres.session("books") as session:
            found = await session.fetch("SELECT * FROM marks ORDER BY number")
        return [
            Row(
                number=row["number"],
                message=row["message"],
                execution=row["execution"],
                line=row["line"],
                mark=row["mark"],
                place=json.loads(row["place"]),
                edition=row["edition"],
                at=row["at"].timestamp() - offset,
            )
            for row in found
        ]
