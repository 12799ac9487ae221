"""Fifty kills at random moments under load, in a flow with every kind of step that waits, repeats or branches.

Nothing that was accepted is lost, each execution ends as it must, and nothing happens twice unless it was under way
at a kill: a call whose result was in the journal when the server died is never made again.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.database import query
from tests.acceptance.load import Load
from tests.acceptance.postgres import postgres_database, postgres_schema
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Received, Sink

CONCURRENCY: Final = 16
LINES: Final = 3
REJECTED: Final = 7
"""Every so many orders, one is rejected by its flow."""
SEEDS: Final = {"sqlite": 20_250_317, "postgresql": 4_111_988}


def call(step_id: str, path: str, **more: Any) -> dict[str, Any]:
    """A step that tells the sink of which message and at which path it is."""
    body = {"n": "$.trigger.body.n", "path": path}
    given = {"method": "POST", "url": "$.vars.sink", "json": body}
    # A sink that the test's own process keeps waiting is no reason to fail.
    return {"id": step_id, "use": "http.request", "with": given, "retry": {"attempts": 20, "wait": "100ms"}, **more}


def row(step_id: str, what: str) -> dict[str, Any]:
    """A step that writes a row, exactly once."""
    given = {"url": "$.vars.db", "table": "booked", "row": {"n": "$.trigger.body.n", "what": what}}
    return {"id": step_id, "use": "sql.insert", "with": given}


def flow(database: str, sink: str) -> dict[str, Any]:
    """An order: booked, each of its lines told, packed and billed, paid for, and sent or rejected."""
    rejected = {"use": "fail", "with": {"message": "nobody sends this", "code": "unsendable"}}
    paid = {
        "verify": "none",
        "timeout": "1h",
        "correlate": {"key": "$.trigger.body.n", "from": "$.body.n"},
    }
    return {
        "id": "order",
        "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.n"}},
        "vars": {"db": database, "sink": sink, "lines": LINES, "rejected": REJECTED},
        "concurrency": CONCURRENCY,
        "steps": [
            row("book", "order"),
            {
                "id": "lines",
                "foreach": "{{ range(vars.lines) | list }}",
                "concurrency": 2,
                "steps": [
                    {"id": "line", "use": "map", "with": {"body": "$.item"}},
                    row("write", "{{ 'line ' ~ item }}"),
                    call("tell", "{{ 'lines[' ~ item ~ ']/tell' }}"),
                ],
            },
            {
                "id": "both",
                "parallel": {
                    "packed": [call("pack", "both.packed/pack"), row("note", "packed")],
                    "billed": [row("bill", "billed"), call("post", "both.billed/post")],
                },
            },
            # Longer than a second: it waits as a row in the database.
            {"id": "rest", "use": "sleep", "with": {"for": "1100ms"}},
            call("shaky", "shaky"),
            {"id": "paid", "use": "webhook", "with": paid},
            row("receipt", "{{ 'paid ' ~ body.n }}"),
            {"id": "route", "switch": [{"when": "{{ trigger.body.n % vars.rejected == 0 }}", "steps": [rejected]}]},
            call("send", "send"),
        ],
    }


#: What an execution calls, in order; those of one line may come in any order.
CALLS: Final = (
    frozenset(f"lines[{n}]/tell" for n in range(LINES)),
    frozenset(("both.packed/pack", "both.billed/post")),
    frozenset(("shaky",)),
    frozenset(("send",)),
)


def rows_of(n: int) -> list[str]:
    """What an execution books, sorted."""
    return sorted(["order", *(f"line {line}" for line in range(LINES)), "packed", "billed", f"paid {n}"])


@dataclass(frozen=True)
class Kill:
    """One `kill -9`; times are in seconds, monotonic."""

    at: float
    restarted: float
    """When it was started again: what it had sent by the kill had reached the sink by then."""
    recorded: frozenset[tuple[str, str]]
    """The executions, and the paths of their calls, whose results were in the journal."""


def later(load: Load, moments: random.Random) -> Iterator[int]:
    """The numbers of the accepted orders, each some time later: before its step waits for the payment, or after."""
    due: dict[int, float] = {}
    seen = 0
    while True:
        ended = load.ended
        accepted = list(load.accepted)
        due |= {n: time.monotonic() + moments.uniform(0, 2.5) for n in accepted[seen:]}
        seen = len(accepted)
        now = [n for n, at in due.items() if ended or at <= time.monotonic()]
        for n in now:
            del due[n]
            yield n
        if ended:
            return
        time.sleep(0.02)


def kill(server: ServerProcess) -> Kill:
    """Kill it, see what is recorded, and let it be started again."""
    assert server.running, server.log()[-4000:]
    server.kill()
    at = time.monotonic()
    recorded = server.stored(
        "select execution_id, path from journal where \"use\" = 'http.request' and state = 'succeeded'"
    )
    return Kill(at, time.monotonic(), frozenset((str(execution_id), path) for execution_id, path in recorded))


def survive(server: ServerProcess, sink: Sink, books: str, kills: int, seed: int) -> None:
    """Kill a server over the flow so often under load, and check what it did."""
    moments = random.Random(seed)
    sink.delay = 0.005
    sink.status = lambda body, again: 503 if body["path"] == "shaky" and not again else 200
    server.start()
    orders = Load(server, "/hook/order", senders=4, pause=0.05, insists=True)
    payments = Load(server, "/hook/order/paid", later(orders, moments), senders=1, insists=True)
    orders.start()
    payments.start()
    killed: list[Kill] = []
    for number in range(kills):
        if number % 5 == 4:
            # It dies while it starts, too.
            server.launch()
            time.sleep(moments.uniform(0, 0.4))
        else:
            if number:
                server.start()
            time.sleep(moments.uniform(0.1, 1.0))
        killed.append(kill(server))
    server.start()
    orders.stop()
    payments.join()
    assert orders.rejected == payments.rejected == []
    assert payments.accepted.keys() == orders.accepted.keys()
    eventually("every execution ends", server.drained, 300)

    ids = {n: answer["execution_id"] for n, answer in orders.accepted.items()}
    assert len(ids) > 2 * kills
    assert_ended(server, ids)
    rows = Counter(query(books, "select n, what from booked"))
    assert rows == Counter((n, what) for n in ids for what in rows_of(n)), "each row is there once, and no other"
    repeated = assert_called(sink.received, ids, killed)
    print(f"{len(ids)} orders, {len(killed)} kills, {repeated} calls repeated, {rows.total()} rows")
    assert server.stop() == 0


def assert_ended(server: ServerProcess, ids: dict[int, str]) -> None:
    """Every order has one execution, which ended as its flow says."""
    found = {execution["id"]: execution for execution in server.executions()}
    assert found.keys() == set(ids.values()), "no order was accepted twice"
    for n, execution_id in ids.items():
        execution = found[execution_id]
        ends = ("failed", "unsendable") if n % REJECTED == 0 else ("succeeded", None)
        assert (execution["state"], (execution["error"] or {}).get("code")) == ends, execution


def assert_called(received: list[Received], ids: dict[int, str], kills: list[Kill]) -> int:
    """Each call was made, and once, but for those under way at a kill; gives how many were made again."""
    calls: dict[tuple[int, str], list[Received]] = defaultdict(list)
    for one in received:
        calls[one.body["n"], one.body["path"]].append(one)
    phases = {n: CALLS if n % REJECTED else CALLS[:-1] for n in ids}
    assert calls.keys() == {(n, path) for n, paths in phases.items() for path in frozenset().union(*paths)}
    keys = {one.key: call for call, made in calls.items() for one in made}
    assert len(keys) == len(calls), "a call has one key, and no other has it"
    repeated = 0
    for (n, path), made in calls.items():
        assert [one.status for one in made].count(503) == (path == "shaky")
        for one, again in pairwise(made):
            if one.status == 503:
                continue
            repeated += 1
            assert any(one.at <= kill.restarted and kill.at <= again.at for kill in kills), (
                f"{path} of order {n} was called again without a kill"
            )
        for kill in kills:
            assert (ids[n], path) not in kill.recorded or made[-1].at < kill.at, (
                f"{path} of order {n} was called again although its result was recorded"
            )
    for n, paths in phases.items():
        times = [[one.at for path in phase for one in calls[n, path]] for phase in paths]
        for before, after in pairwise(times):
            assert max(before) < min(after), f"a step of order {n} ran again after a later one had begun"
    assert repeated <= len(kills) * CONCURRENCY * LINES
    return repeated


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def over(
    request: pytest.FixtureRequest, tmp_path: Path, make_server: Callable[..., ServerProcess], sink: Sink
) -> Iterator[Callable[[int], None]]:
    """Survives so many kills, over a database of each kind: that of the server, and that in which the flow books."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            server = make_server()
            books = f"sqlite:///{server.files}/books.db"
        else:
            server = make_server(environment={"HOOKLINE_DB": stack.enter_context(postgres_schema())})
            books = stack.enter_context(postgres_database())
        # No unique constraint: a row that is written twice must show.
        query(books, "create table booked (n integer not null, what varchar(20) not null)")
        server.flow(flow(books, sink.url))
        yield lambda kills: survive(server, sink, books, kills, SEEDS[request.param])


@pytest.mark.promise(1, 2, 3)
@pytest.mark.rule(22)
@pytest.mark.parametrize("over", ["sqlite"], indirect=True)
def test_five_kills_lose_nothing_and_repeat_only_what_was_under_way(over: Callable[[int], None]) -> None:
    over(5)


@pytest.mark.promise(1, 2, 3)
@pytest.mark.rule(22)
@pytest.mark.long
@pytest.mark.timeout(600)
def test_fifty_kills_lose_nothing_and_repeat_only_what_was_under_way(over: Callable[[int], None]) -> None:
    over(50)
