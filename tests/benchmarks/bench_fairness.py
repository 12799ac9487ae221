"""What a flood on one flow does to another: B's latency alone, and beside a load on A far above A's rate.

    python -m tests.benchmarks.bench_fairness [--server hypercorn|uvicorn] [--seconds 3] [--rounds 7]

B gets 100 messages a second, at their times whatever becomes of those before, and answers once they are stored, or
once its flow has ended. A takes 20 a second, and `wrk` sends as fast as it can over 32 connections. Rounds alone, alone
again and beside A take turns, so that what else the machine does falls on each: `again` is the ratio that it makes by
itself. Exit code 1 where B's p99 beside A is more than 1.5 times that alone.
"""

import argparse
import asyncio
import gc
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from tests.benchmarks.bench_server import BODY, served

RATE = 100
RATE_OF_A = 20
LIMIT = 1.5


def write_flows(folder: Path) -> None:
    """A, which is flooded, and B, twice: for its senders, and for those who wait for it to finish."""
    flows = folder / "flows"
    flows.mkdir(exist_ok=True)
    mapped = [{"id": "map", "use": "map", "with": {"body": {"reference": "$.body.resource.id"}}}]
    for flow_id, with_, settings in (
        ("a", {}, {"rate": f"{RATE_OF_A}/s"}),
        ("b", {}, {}),
        ("b-finished", {"respond": "finished"}, {}),
    ):
        trigger = {"use": "webhook", "with": {"verify": "none", **with_}}
        document = {"id": flow_id, "trigger": trigger, "steps": mapped, **settings}
        (flows / f"{flow_id}.json").write_text(json.dumps(document))


async def latencies(url: str, seconds: int) -> list[float]:
    """What each message of B took, in ms."""
    taken: list[float] = []
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200), headers=headers) as session:

        async def send() -> None:
            began = time.perf_counter()
            async with session.post(url, data=BODY) as answer:
                await answer.read()
                if answer.status >= 300:
                    raise SystemExit(f"B was answered {answer.status}")
            taken.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(RATE * seconds):
                await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                group.create_task(send())
    return taken


def flood(url: str, folder: Path, seconds: int, connections: int) -> "subprocess.Popen[str]":
    """A load on A that lasts longer than a round."""
    script = folder / "a.lua"
    script.write_text(
        f"wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.body = {json.dumps(BODY)}\n"
    )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"{url}/hook/a"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def high(rounds: list[list[float]], part: float) -> float:
    """A percentile: the median of those of the rounds, of which one may have been disturbed."""
    return statistics.median(sorted(taken)[int(len(taken) * part)] for taken in rounds)


def measure(url: str, flow_id: str, folder: Path, seconds: int, rounds: int, connections: int) -> float:
    """Print the figures of one flow; gives the ratio of the 99th percentiles."""
    alone: list[list[float]] = []
    again: list[list[float]] = []
    beside: list[list[float]] = []
    rejected = ""
    asyncio.run(latencies(f"{url}/hook/{flow_id}", 2))
    for _ in range(rounds):
        alone.append(asyncio.run(latencies(f"{url}/hook/{flow_id}", seconds)))
        again.append(asyncio.run(latencies(f"{url}/hook/{flow_id}", seconds)))
        with flood(url, folder, seconds + 2, connections) as load:
            time.sleep(1)
            beside.append(asyncio.run(latencies(f"{url}/hook/{flow_id}", seconds)))
            rejected = next(
                (line.split(":")[1].strip() for line in load.communicate()[0].splitlines() if "Requests/sec" in line),
                "",
            )
    ratio = high(beside, 0.99) / high(alone, 0.99)
    print(
        f"{flow_id:12}{high(alone, 0.5):>9.1f}{high(alone, 0.99):>9.1f}{high(beside, 0.5):>11.1f}"
        f"{high(beside, 0.99):>9.1f}{ratio:>8.2f}{high(again, 0.99) / high(alone, 0.99):>8.2f}{rejected:>14}",
        flush=True,
    )
    return ratio


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], default="hypercorn")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; apt-get install wrk")
    gc.disable()
    print(
        f"{given.server}, B {RATE}/s, A {given.connections} connections, {given.rounds} rounds of {given.seconds} s\n"
    )
    print(f"{'':12}{'alone':>9}{'p99 ms':>9}{'beside A':>11}{'p99 ms':>9}{'ratio':>8}{'again':>8}{'A requests/s':>14}")
    with tempfile.TemporaryDirectory(prefix="hookline-bench-") as name:
        folder = Path(name)
        write_flows(folder)
        with served("all", given.server, folder) as (url, _):
            ratios = [
                measure(url, flow_id, folder, given.seconds, given.rounds, given.connections)
                for flow_id in ("b", "b-finished")
            ]
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
