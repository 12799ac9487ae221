"""What the store costs: python tests/benchmarks/bench_store.py [--url URL] [--count N] [--callers N] [--busy].

With `--busy` the event loop has other work all the time, as a server's has: a thread that writes gets the interpreter's
lock only when the loop lets go of it.
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from hookline.kernel.clocks import SystemClock
from hookline.kernel.json import encode
from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accept, End, RecordSteps, Start
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql, sqlite

BODY = {"id": "evt_1", "resource": {"id": "PAY-1", "amount": {"value": "10.00"}, "note": "x" * 600}}
OUTPUT = encode({"body": BODY})

Work = Callable[[int], Awaitable[object]]


async def _measure(name: str, count: int, callers: int, work: Work) -> None:
    numbers: Iterator[int] = iter(range(count))
    slowest = 0.0

    async def caller() -> None:
        nonlocal slowest
        for number in numbers:
            began = time.perf_counter()
            await work(number)
            slowest = max(slowest, time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    print(f"{name:<28} {count / wall:>9,.0f}/s {used / count * 1e6:>8.0f} µs CPU {slowest * 1000:>8.1f} ms slowest")


async def _busy() -> None:
    for number in itertools.count():
        sum(range(3000))
        if number % 4 == 0:
            await asyncio.sleep(0)


async def _run(backend: Backend, count: int, callers: int) -> None:
    clock = SystemClock()
    envelopes = Envelopes(clock)
    made = [envelopes.make(body=BODY, key=f"evt-{number}") for number in range(count)]
    again = [envelopes.make(body=BODY, key=f"evt-{number}") for number in range(count)]
    unkeyed = [envelopes.make(body=BODY) for _ in range(count)]
    batched = [envelopes.make(body=BODY) for _ in range(count)]
    store, now = backend.store, clock.now()

    async def lifetime(number: int) -> None:
        id_ = batched[number].execution_id
        await store.commit([Accept(batched[number])])
        await store.commit([Start(id_, "v1", now), RecordSteps(id_, (envelopes.record(1, output=OUTPUT),))])
        await store.commit(
            [
                RecordSteps(id_, (envelopes.record(2, output=OUTPUT),)),
                End(id_, State.SUCCEEDED, Outcome.COMPLETED, now),
            ]
        )

    await _measure("accept", count, callers, lambda n: backend.queue.put(unkeyed[n]))
    await _measure("accept with a key", count, callers, lambda n: backend.queue.put(made[n]))
    await _measure("accept a duplicate", count, callers, lambda n: backend.queue.put(again[n]))
    await _measure("start", count, callers, lambda n: store.commit([Start(made[n].execution_id, "v1", now)]))
    await _measure(
        "record and end",
        count,
        callers,
        lambda n: store.commit(
            [
                RecordSteps(made[n].execution_id, (envelopes.record(1, output=OUTPUT),)),
                End(made[n].execution_id, State.SUCCEEDED, Outcome.COMPLETED, now),
            ]
        ),
    )
    await _measure("a life of three commits", count, callers, lifetime)
    await _measure("read an execution", count, callers, lambda n: store.execution(made[n].execution_id))
    await _measure("a page of 50", 200, 1, lambda _: store.executions(ExecutionFilter(state=State.SUCCEEDED)))

    numbers = iter(range(count))
    deliveries = backend.queue.deliveries("orders")

    async def deliver(_: int) -> None:
        delivery = await anext(deliveries)
        await delivery.ack()
        next(numbers)

    await _measure("deliver a backlog", count - 1, 1, deliver)
    await deliveries.aclose()


async def _main(url: str, count: int, callers: int, busy: bool) -> None:
    backend = (sqlite if url.startswith("sqlite") else postgresql)(url, clock=SystemClock())
    await backend.open()
    print(f"{url.partition(':')[0]}, {callers} callers, {count:,} each{', a busy event loop' if busy else ''}")
    load = asyncio.create_task(_busy()) if busy else None
    try:
        await _run(backend, count, callers)
    finally:
        if load is not None:
            load.cancel()
            await asyncio.wait({load})
        await backend.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a new SQLite file by default")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        chosen = options.url or f"sqlite:///{folder}/bench.db"
        asyncio.run(_main(chosen, options.count, options.callers, options.busy))
