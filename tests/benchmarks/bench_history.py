"""What a long history costs those who look into it: python tests/benchmarks/bench_history.py [--executions 1000000].

Each list is asked for from many places, and each answer is made into JSON as the admin API makes it. The bound is 50 ms
for 95 of 100 answers; where the machine has other work, look at the mean processor time. `--url postgresql://…` takes a
schema of its own, which has to be empty.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from typing import Any, Final

from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from hookline.kernel.json import encode
from hookline.kernel.time import SystemClock
from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.model.message import pack
from hookline.service.admin.executions.dead_letters import dead_letters_view
from hookline.service.views.executions import execution_view, page_view, steps_view
from hookline.storage.backend import Backend
from hookline.storage.store import Store
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend import postgresql, sqlite

BOUND_MS: Final = 50.0
ROUNDS: Final = 200
OPEN: Final = 10_000
"""Executions of each state that has not ended."""
BEGAN: Final = datetime(2026, 1, 1, tzinfo=UTC)
BODY: Final = {"id": "evt_1", "resource": {"id": "PAY-1", "amount": {"value": "10.00"}, "note": "x" * 100}}

#: The kinds of ends: state, outcome, code, and of how many executions one is such.
ENDS: Final = (
    ("cancelled", "outcome_unknown", "outcome_unknown", 50_000),
    ("cancelled", "cancelled", None, 10_000),
    ("failed", "timed_out", "timed_out", 5_000),
    ("failed", "failed", "http.404", 2_000),
    ("failed", "failed", "http.503", 50),
    ("succeeded", "stopped", None, 2_000),
    ("succeeded", "filtered", None, 100),
    ("succeeded", "completed", None, 1),
)


def _case(column: int) -> str:
    parts = [f"when n % {end[3]} = 0 then {'null' if end[column] is None else repr(end[column])}" for end in ENDS]
    return f"case {' '.join(parts)} end"


def _id(dialect: str, number: str) -> str:
    """An id of version 7, one for each second since `BEGAN`."""
    start = int(BEGAN.timestamp() * 1000)
    at = f"({start} + {number} * 1000)"
    if dialect == "sqlite":
        hexed = f"printf('%012x', {at})"
        tail = f"printf('%012x', {number})"
    else:
        hexed, tail = f"lpad(to_hex({at}::bigint), 12, '0')", f"lpad(to_hex({number}::bigint), 12, '0')"
    return f"substr({hexed}, 1, 8) || '-' || substr({hexed}, 9, 4) || '-7000-8000-' || {tail}"


def _fill(connection: Connection, count: int) -> None:
    dialect = connection.dialect.name
    if dialect == "sqlite":
        for pragma in ("synchronous = off", "cache_size = -200000"):
            connection.exec_driver_sql(f"pragma {pragma}")
        connection.commit()
    payload = pack(Envelopes(SystemClock()).make(body=BODY))
    source = (
        "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < :count)"
        if dialect == "sqlite"
        else "with numbers(n) as (select generate_series(1, cast(:count as bigint)))"  # microseconds
    )
    id_, error = _id(dialect, "n"), _case(2)
    micros = f"({int(BEGAN.timestamp())} + n) * 1000000"
    ended = {
        "id": id_,
        "flow_id": "'flow-' || (n % 20)",
        "flow_version": "'v1'",
        "state": _case(0),
        "outcome": _case(1),
        "created_at": micros,
        "started_at": micros,
        "finished_at": micros,
        "attempt": "1",
        "order_holds": "false",
        "error_code": error,
        "error_message": f"case when {error} is not null then 'it failed' end",
        "error_step": f"case when {error} is not null then 'post' end",
        "error_retryable": f"case when {error} is not null then true end",
        "error_cause": f"case when {_case(0)} = 'failed' then 'cause' || (n % 100) end",
        "replay_of": f"case when n % 1000 = 0 then {_id(dialect, '(n - 1)')} end",
        "history": f"({_case(0)} <> 'failed')",
        "payload": ":payload",
    }
    open_ = {
        **dict.fromkeys(("outcome", "finished_at", "error_code", "error_message", "error_step", "replay_of"), "null"),
        **dict.fromkeys(("error_retryable", "error_cause"), "null"),
        "history": "false",
    }
    with connection.begin():
        for columns, where in (
            (ended, f"n <= {count}"),
            ({**ended, **open_, "state": "'waiting'"}, f"n > {count} and n <= {count + OPEN}"),
            ({**ended, **open_, "state": "'queued'", "started_at": "null"}, f"n > {count + OPEN}"),
        ):
            names, values = ", ".join(columns), ", ".join(columns.values())
            statement = f"insert into executions ({names}) {source} select {values} from numbers where {where}"
            if dialect == "sqlite":
                statement = f"insert into executions ({names}) select * from ({source} select {values} from numbers where {where})"  # noqa: E501
            connection.execute(text(statement), {"count": count + 2 * OPEN, "payload": payload})
        # Of each 20th: what others hold is never read with it.
        connection.execute(
            text(
                'insert into journal (execution_id, seq, step_id, path, "use", state, attempt, started_at, finished_at,'
                " input, output) select id, seq, 'post' || seq, 'post' || seq, 'http.request', 'succeeded', 1,"
                " created_at, created_at, :said, :said from executions cross join (select 1 as seq union all"
                " select 2 union all select 3) as steps where finished_at > 0 and flow_id = 'flow-0' order by id, seq"
            ),
            {"said": encode({"body": BODY})},
        )
    if dialect == "postgresql":
        # As the server does by itself after a while. Without it each entry of an index is looked up in its table too.
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("executions", "journal"):
            connection.execute(text(f"vacuum (analyze) {table}"))


def _asked(store: Store, count: int) -> dict[str, Callable[[str, int], Awaitable[Any]]]:
    """What is asked, from a cursor and a number."""

    async def listed(cursor: str | None = None, limit: int = 50, **chosen: Any) -> Any:
        return page_view(await store.executions(ExecutionFilter(**chosen), cursor=cursor, limit=limit))

    async def dead(**chosen: Any) -> Any:
        return [dead_letters_view(one) for one in (await store.dead_letters(**chosen)).items]

    def around(number: int) -> dict[str, datetime]:
        at = BEGAN + timedelta(seconds=number)
        return {"since": at - timedelta(hours=6), "until": at}

    asked: dict[str, Callable[[str, int], Awaitable[Any]]] = {
        "list": lambda cursor, _: listed(cursor=cursor),
        "list, 200 a page": lambda cursor, _: listed(cursor=cursor, limit=200),
        "flow": lambda cursor, _: listed(cursor=cursor, flow_id="flow-3"),
        "since, until": lambda _, number: listed(**around(number)),
        "since, until of failed": lambda _, number: listed(**around(number), state=State.FAILED),
        "replays of one": lambda _, number: listed(replay_of=_uuid(number - number % 1000 - 1)),
        "code": lambda cursor, _: listed(cursor=cursor, error_code="http.404"),
        "code of a flow": lambda cursor, _: listed(cursor=cursor, error_code="http.503", flow_id="flow-10"),
        "code and outcome": lambda cursor, _: listed(cursor=cursor, error_code="http.503", outcome=Outcome.FAILED),
        "cause": lambda cursor, _: listed(cursor=cursor, flow_id="flow-10", cause="cause50"),
        "dead letters": lambda _, __: dead(),
        "dead letters of a flow": lambda _, __: dead(flow_id="flow-10"),
        "one execution": lambda _, number: execution_view(store, _uuid(number - number % 20)),
        "its steps": lambda _, number: steps_view(store, _uuid(number - number % 20), None, 50),
    }
    for state in State:
        asked[f"state {state}"] = lambda cursor, _, state=state: listed(cursor=cursor, state=state)
        asked[f"state {state} of a flow"] = lambda cursor, _, state=state: listed(
            cursor=cursor, state=state, flow_id="flow-10"
        )
    for outcome in Outcome:
        asked[f"outcome {outcome}"] = lambda cursor, _, outcome=outcome: listed(cursor=cursor, outcome=outcome)
    return asked


def _uuid(number: int) -> str:
    text_ = f"{int(BEGAN.timestamp() * 1000) + number * 1000:012x}"
    return f"{text_[:8]}-{text_[8:]}-7000-8000-{number:012x}"


async def _measure(backend: Backend, count: int) -> bool:
    fine = True
    chooser = random.Random(7)
    print(f"{'':28}{'p50':>9}{'p95':>9}   ms{'CPU':>8} ms")
    for name, ask in _asked(backend.store, count).items():
        times, spent = [], 0.0
        for _ in range(ROUNDS):
            number = chooser.randrange(1001, count)
            cursor = _uuid(count + 2 * OPEN + 1 if "queued" in name or "waiting" in name else number)
            began, used = time.perf_counter(), time.process_time()
            encode(await ask(cursor, number))
            times.append((time.perf_counter() - began) * 1000)
            spent += (time.process_time() - used) * 1000 / ROUNDS
        cuts = quantiles(times, n=20)
        fine = fine and cuts[18] <= BOUND_MS
        verdict = "" if cuts[18] <= BOUND_MS else "   too slow"
        print(f"{name:28}{cuts[9]:9.2f}{cuts[18]:9.2f}     {spent:6.2f}{verdict}", flush=True)
    return fine


async def _fill_behind(url: str, count: int) -> None:
    """Fill the tables that the backend has made, behind its back."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(url)

        def fill() -> None:
            with engine.connect() as connection:
                _fill(connection, count)

        await asyncio.to_thread(fill)
        engine.dispose()
        return
    schema = parsed.query.get("schema", "public")
    settings = {"server_settings": {"search_path": str(schema)}}
    server = create_async_engine(parsed.set(drivername="postgresql+asyncpg", query={}), connect_args=settings)
    async with server.connect() as connection:
        await connection.run_sync(_fill, count)
    await server.dispose()


async def _run(url: str | None, count: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        make = postgresql if url is not None else sqlite
        backend = make(url or f"sqlite:///{folder}/history.db", clock=SystemClock())
        await backend.open()
        try:
            began = time.perf_counter()
            await _fill_behind(url or f"sqlite:///{folder}/history.db", count)
            print(f"{count:,} executions written in {time.perf_counter() - began:.0f} s")
            return await _measure(backend, count)
        finally:
            await backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--url")
    given = parser.parse_args()
    raise SystemExit(0 if asyncio.run(_run(given.url, given.executions)) else 1)
