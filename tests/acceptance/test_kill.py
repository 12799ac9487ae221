"""kill -9 under load, ten times in a row, then a start: nothing accepted is lost, and little runs twice."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.load import Load
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

KILLS = 10
CONCURRENCY = 16
#: A call that ended so long before a kill, in seconds, was journalled by then.
JOURNALLED = 2.0


@pytest.mark.promise(1)
@pytest.mark.long
@pytest.mark.timeout(300)
def test_ten_kills_lose_nothing_and_repeat_only_what_was_under_way(
    make_server: Callable[..., ServerProcess], sink: Sink
) -> None:
    server = make_server()
    database = server.files / "sink.db"
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
    load = Load(server, "/hook/book")
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
    assert {states.get(answer["execution_id"]) for answer in load.accepted.values()} == {"succeeded"}

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
