"""Ten times as many messages as two nodes run: they are accepted as fast as before, and all run, in order if asked."""

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.database import query
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.paced import Line, Paced, send
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

pytestmark = [pytest.mark.postgres, pytest.mark.promise(1)]

KEY = "mCi7NFMiYYh5HdX_eWYU6aA0JM_tiXOm5SlGpJOcHDs="
LINES = 32
"""Half of them send messages that run in order."""
CONCURRENCY = 5
"""Of each of the two flows."""


@dataclass(frozen=True)
class Burst:
    """Messages a second that run, and that come; and for how long."""

    runs: float
    comes: float
    before: float
    seconds: float

    @property
    def messages(self) -> int:
        return int(self.runs * self.before + self.comes * self.seconds)


def flow(id_: str, sink: Sink, most: int, **settings: object) -> dict[str, object]:
    step = {"id": "call", "use": "http.request", "with": {"method": "POST", "url": sink.url, "json": "$.body"}}
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    return {"id": id_, "trigger": trigger, "concurrency": CONCURRENCY, "max_queued": most, "steps": [step], **settings}


@contextlib.contextmanager
def two_nodes(folder: Path, database: str, *flows: dict[str, object]) -> Iterator[list[ServerProcess]]:
    (folder / "flows").mkdir()
    for one in flows:
        (folder / "flows" / f"{one['id']}.json").write_text(json.dumps(one), encoding="utf-8")
    nodes = list[ServerProcess]()
    try:
        for name in ("one", "other"):
            (folder / name).mkdir()
            environment = {"HOOKLINE_DB": database, "HOOKLINE_NODE_NAME": name, "HOOKLINE_SECRET_KEY": KEY}
            options = ("--flows", str(folder / "flows"), "--server", "uvicorn")
            nodes.append(ForkedServer(folder / name, *options, environment=environment))
            nodes[-1].start()
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def run(burst: Burst, folder: Path, sink: Sink) -> tuple[Paced, Paced]:
    """Send as much as runs, and then the burst; return what came of both. All messages are accepted and run."""
    # No less than what comes: the backlog may grow to this, and not a message further.
    most = burst.messages
    flows = (flow("plain", sink, most), flow("ordered", sink, most, order_by="$.body.key"))
    with postgres_schema() as database, two_nodes(folder, database, *flows) as nodes:
        lines = [
            Line(nodes[place // 2 % 2], f"/hook/{('plain', 'ordered')[place % 2]}", f"{place}")
            for place in range(LINES)
        ]
        sink.delay = 2 * CONCURRENCY / burst.runs
        before = asyncio.run(send(lines, burst.runs, burst.before))
        during = asyncio.run(send(lines, burst.comes, burst.seconds, first=len(before.answers)))
        assert (before.statuses(), during.statuses()) == ({202}, {202})
        sent = len(before.answers) + len(during.answers)
        ran = len(sink.received)
        assert ran < sent / 2, "there was no backlog"
        # What is left would take as long again as it takes to run; now the service is faster.
        sink.delay = 0.0
        eventually("the backlog is gone", lambda: len(sink.received) >= sent, 60 + sent / 20)
        eventually("every execution has ended", nodes[0].drained, 60)
        states = query(database, "SELECT state, count(*) FROM executions GROUP BY state")
        assert states == [("succeeded", sent)]
    check(sink, sent)
    return before, during


def check(sink: Sink, sent: int) -> None:
    """Each message ran once, and those with an order key in the order in which they were sent."""
    assert len(sink.received) == len(sink.keys) == sent
    ran: dict[str, list[int]] = defaultdict(list)
    for received in sink.received:
        ran[received.body["key"]].append(received.body["n"])
    assert max(Counter((key, n) for key, numbers in ran.items() for n in numbers).values()) == 1
    for place in range(1, LINES, 2):
        assert ran[f"{place}"] == sorted(ran[f"{place}"])


@pytest.mark.timeout(120)
@pytest.mark.cluster_rule("C5", "C6", "C7")
def test_a_burst_is_accepted_and_runs_later(tmp_path: Path, sink: Sink) -> None:
    before, during = run(Burst(runs=32, comes=100, before=3, seconds=3), tmp_path, sink)
    # How long it takes depends on what else the machine does now.
    print(f"99 % were accepted within {before.p99() * 1000:.0f} ms before, and {during.p99() * 1000:.0f} ms during it")


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.timeout(900)
@pytest.mark.cluster_rule("C5", "C6", "C7")
def test_a_minute_with_ten_times_as_many_messages_is_accepted_as_fast_as_before(tmp_path: Path, sink: Sink) -> None:
    before, during = run(Burst(runs=100, comes=1000, before=20, seconds=60), tmp_path, sink)
    print(f"99 % were accepted within {before.p99() * 1000:.0f} ms before, and {during.p99() * 1000:.0f} ms during it")
    assert during.p99() <= 2 * before.p99()
