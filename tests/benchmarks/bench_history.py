"""What a long history costs those who look into it: python -m tests.benchmarks.bench_history [--executions N].

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
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Any, Final

from tests.benchmarks.large.rows import History, fill

from hookline.kernel.clocks import SystemClock
from hookline.kernel.json import encode
from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.service.admin.executions.dead_letters import dead_letters_view
from hookline.service.views.executions import execution_view, page_view, steps_view
from hookline.storage.backend import Backend
from hookline.storage.store import Store
from hookline_sqlstore.backend_makers import postgresql, sqlite

BOUND_MS: Final = 50.0
ROUNDS: Final = 200
OPEN: Final = 10_000
"""Executions of each state that has not ended."""


def _asked(store: Store, history: History) -> dict[str, Callable[[str, int], Awaitable[Any]]]:
    """What is asked, from a cursor and a number."""

    async def listed(cursor: str | None = None, limit: int = 50, **chosen: Any) -> Any:
        return page_view(await store.executions(ExecutionFilter(**chosen), cursor=cursor, limit=limit))

    async def dead(**chosen: Any) -> Any:
        return [dead_letters_view(one) for one in (await store.dead_letters(**chosen)).items]

    def around(number: int) -> dict[str, datetime]:
        at = history.began + timedelta(seconds=number)
        return {"since": at - timedelta(hours=6), "until": at}

    asked: dict[str, Callable[[str, int], Awaitable[Any]]] = {
        "list": lambda cursor, _: listed(cursor=cursor),
        "list, 200 a page": lambda cursor, _: listed(cursor=cursor, limit=200),
        "flow": lambda cursor, _: listed(cursor=cursor, flow_id="flow-3"),
        "since, until": lambda _, number: listed(**around(number)),
        "since, until of failed": lambda _, number: listed(**around(number), state=State.FAILED),
        "replays of one": lambda _, number: listed(replay_of=history.id_of(number - number % 1000 - 1)),
        "code": lambda cursor, _: listed(cursor=cursor, error_code="http.404"),
        "code of a flow": lambda cursor, _: listed(cursor=cursor, error_code="http.503", flow_id="flow-10"),
        "code and outcome": lambda cursor, _: listed(cursor=cursor, error_code="http.503", outcome=Outcome.FAILED),
        "cause": lambda cursor, _: listed(cursor=cursor, flow_id="flow-10", cause="cause50"),
        "dead letters": lambda _, __: dead(),
        "dead letters of a flow": lambda _, __: dead(flow_id="flow-10"),
        "one execution": lambda _, number: execution_view(store, history.id_of(number - number % 20)),
        "its steps": lambda _, number: steps_view(store, history.id_of(number - number % 20), None, 50),
    }
    for state in State:
        asked[f"state {state}"] = lambda cursor, _, state=state: listed(cursor=cursor, state=state)
        asked[f"state {state} of a flow"] = lambda cursor, _, state=state: listed(
            cursor=cursor, state=state, flow_id="flow-10"
        )
    for outcome in Outcome:
        asked[f"outcome {outcome}"] = lambda cursor, _, outcome=outcome: listed(cursor=cursor, outcome=outcome)
    return asked


async def _measure(backend: Backend, history: History) -> bool:
    fine = True
    chooser = random.Random(7)
    print(f"{'':28}{'p50':>9}{'p95':>9}   ms{'CPU':>8} ms")
    for name, ask in _asked(backend.store, history).items():
        times, spent = [], 0.0
        for _ in range(ROUNDS):
            number = chooser.randrange(1001, history.count)
            cursor = history.id_of(history.end + 1 if "queued" in name or "waiting" in name else number)
            began, used = time.perf_counter(), time.process_time()
            encode(await ask(cursor, number))
            times.append((time.perf_counter() - began) * 1000)
            spent += (time.process_time() - used) * 1000 / ROUNDS
        cuts = quantiles(times, n=20)
        fine = fine and cuts[18] <= BOUND_MS
        verdict = "" if cuts[18] <= BOUND_MS else "   too slow"
        print(f"{name:28}{cuts[9]:9.2f}{cuts[18]:9.2f}     {spent:6.2f}{verdict}", flush=True)
    return fine


async def _run(url: str | None, count: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        make = postgresql if url is not None else sqlite
        url = url or f"sqlite:///{folder}/history.db"
        history = History(count, waiting=OPEN, queued=OPEN)
        backend = make(url, clock=SystemClock())
        await backend.open()
        try:
            began = time.perf_counter()
            await fill(url, history)
            print(f"{count:,} executions written in {time.perf_counter() - began:.0f} s")
            return await _measure(backend, history)
        finally:
            await backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--url")
    given = parser.parse_args()
    raise SystemExit(0 if asyncio.run(_run(given.url, given.executions)) else 1)
