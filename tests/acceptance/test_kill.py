"""kill -9 under load, ten times in a row, then a start: nothing accepted is lost, and little runs twice."""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from itertools import count
from json import dumps, loads
from urllib.parse import urlsplit

import pytest

from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

KILLS = 10
SENDERS = 8
CONCURRENCY = 16
#: A call that ended so long before a kill, in seconds, was journalled by then.
JOURNALLED = 2.0


class Load:
    """Sends numbered messages without pause, from several threads, and keeps those that were accepted."""

    def __init__(self, server: ServerProcess, flow_id: str) -> None:
        self.accepted: dict[int, str] = {}
        self.rejected: list[int] = []
        self._numbers = count(1)
        self._going = True
        self._path = f"/hook/{flow_id}"
        self._address = urlsplit(server.url).netloc
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection = HTTPConnection(self._address, timeout=10)
        while self._going:
            number = next(self._numbers)
            try:
                connection.request("POST", self._path, dumps({"n": number}), {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = response.read()
                if response.status == 202:
                    self.accepted[number] = loads(answer)["execution_id"]
                else:
                    self.rejected.append(response.status)
            except (OSError, HTTPException):
                # It connects anew at the next request.
                connection.close()
                time.sleep(0.02)
        connection.close()


@pytest.mark.promise(1)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_ten_kills_lose_nothing_and_repeat_only_what_was_under_way(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = make_server()
    database = server.folder / "sink.db"
    with sqlite3.connect(database) as connection:
        # No unique constraint: a row that is written twice must show.
        connection.execute("create table booked (n integer not null)")
    connection.close()
    server.flow(
        {
            "id": "book",
            "trigger": {"use": "webhook", "with": {"verify": "none"}},
            "vars": {"db": f"sqlite:///{database}", "sink": sink.url},
            "concurrency": CONCURRENCY,
            "steps": [
                {"id": "row", "use": "map", "with": {"body": {"n": "$.body.n"}}},
                {"id": "write", "use": "sql.insert", "with": {"url": "$.vars.db", "table": "booked", "row": "$.body"}},
                {
                    "id": "tell",
                    "use": "http.request",
                    "with": {"method": "POST", "url": "$.vars.sink", "json": {"n": "$.trigger.body.n"}},
                    "retry": {"attempts": 10, "wait": "100ms"},
                },
            ],
        }
    )
    sink.delay = 0.005
    kills: list[float] = []
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    server.start()
    load = Load(server, "book")
    load.start()
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.3, 1.2))
        server.kill()
        kills.append(time.monotonic())
        server.start()
    load.stop()

    eventually("every execution ends", server.drained, 120)
    assert len(load.accepted) > 50
    assert load.rejected == []
    states = {execution["id"]: execution["state"] for execution in server.executions()}
    assert {states.get(execution_id) for execution_id in load.accepted.values()} == {"succeeded"}

    with sqlite3.connect(database) as connection:
        rows = Counter(n for (n,) in connection.execute("select n from booked"))
    connection.close()
    assert [n for n in load.accepted if rows[n] != 1] == [], "each accepted message has exactly one row"
    assert max(rows.values()) == 1, "whatever was stored without its answer reaching the sender is booked once, too"

    calls: dict[int, list[float]] = {}
    keys: dict[int, set[str]] = {}
    for received in sink.received:
        calls.setdefault(received.body["n"], []).append(received.at)
        keys.setdefault(received.body["n"], set()).add(received.key)
    assert [n for n in load.accepted if n not in calls] == []
    assert [n for n, found in keys.items() if len(found) != 1] == [], "a repeated call carries the same key"
    assert len({key for found in keys.values() for key in found}) == len(keys), "no two messages share a key"
    for n, times in calls.items():
        for earlier in times[:-1]:
            assert any(earlier <= kill < earlier + JOURNALLED for kill in kills), (
                f"message {n} ran again without a kill"
            )
    repeated = sum(len(times) - 1 for times in calls.values())
    assert repeated <= KILLS * CONCURRENCY
    print(f"{len(load.accepted)} accepted, {KILLS} kills, {repeated} calls repeated, {sum(rows.values())} rows")
    assert server.stop() == 0
