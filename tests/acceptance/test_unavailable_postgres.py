"""PostgreSQL is away for a minute under nodes with and without an intake queue, and all recover by themselves.

The short forms are in test_jetstream.py and test_hanging_store.py.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.database import query
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.load import Load
from tests.acceptance.own_postgres import OwnPostgres
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.acceptance.test_fail_over import Senders
from tests.acceptance.test_hanging_store import assert_logged_once, sending
from tests.own_nats import OwnNats, url_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400), pytest.mark.promise(1), pytest.mark.rule(38)]

KEY = "mCi7NFMiYYh5HdX_eWYU6aA0JM_tiXOm5SlGpJOcHDs="
AWAY = 60.0
"""Seconds: six times as long as a lease lasts."""


@contextlib.contextmanager
def nodes(folder: Path, database: str, sink: Sink, *options: str) -> Iterator[list[ServerProcess]]:
    """Two nodes over one database."""
    flows = folder / "flows"
    flows.mkdir(parents=True)
    (flows / "f.json").write_text(json.dumps(sending(sink)), encoding="utf-8")
    made = list[ServerProcess]()
    try:
        for name in ("one", "other"):
            (folder / name).mkdir()
            environment = {"HOOKLINE_DB": database, "HOOKLINE_NODE_NAME": name, "HOOKLINE_SECRET_KEY": KEY}
            made.append(ForkedServer(folder / name, "--flows", str(flows), *options, environment=environment))
            made[-1].start()
        yield made
    finally:
        for node in made:
            node.kill()


@pytest.fixture
def other_sink() -> Iterator[Sink]:
    sink = Sink()
    sink.start()
    yield sink
    sink.stop()


@pytest.mark.cluster_rule("C1", "C3", "C21")
def test_after_a_minute_without_postgresql_each_node_goes_on_by_itself(
    tmp_path: Path, sink: Sink, other_sink: Sink
) -> None:
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(OwnPostgres(tmp_path))
        stream = stack.enter_context(OwnNats(tmp_path))
        for name in ("queued", "direct"):
            postgres.run(f"CREATE DATABASE {name}")
        queue = url_of([stream], "?replicas=1&max_bytes=500MB")
        queued = stack.enter_context(nodes(tmp_path / "queued", postgres.database("queued"), sink, "--queue", queue))
        direct = stack.enter_context(nodes(tmp_path / "direct", postgres.database("direct"), other_sink))
        loads = [
            Load(node, "/hook/f", itertools.count(1 + place * 1_000_000), senders=2, pause=0.05)
            for place, node in enumerate(queued)
        ]
        senders = [Senders(node, 2) for node in direct]
        for load in loads:
            load.start()
        try:
            for place, one in enumerate(senders):
                eventually("messages are accepted", lambda: len(loads[place].accepted) >= 20 <= len(one.accepted))  # noqa: B023
            with postgres.down():
                time.sleep(AWAY)
                assert [node.get("/healthz")[0] for node in (*queued, *direct)] == [200] * 4
                assert [node.get("/readyz")[0] for node in (*queued, *direct)] == [200, 200, 503, 503]
            accepted = [len(one.accepted) for one in senders]
            eventually(
                "each node accepts again",
                lambda: all(len(one.accepted) > before + 20 for one, before in zip(senders, accepted, strict=True)),
                60,
            )
        finally:
            for load in loads:
                load.stop()
            for one in senders:
                one.stop()
        assert [(load.failed, load.rejected) for load in loads] == [([], [])] * 2
        assert {status for one in senders for status, _ in one.other} == {503}
        assert all(after is not None and int(after) > 0 for one in senders for _, after in one.other)
        ids = {answer["execution_id"] for load in loads for answer in load.accepted.values()}
        check(queued[0], postgres.database("queued"), sink)
        assert {id_ for (id_,) in query(postgres.database("queued"), "SELECT id FROM executions")} == ids
        check(direct[0], postgres.database("direct"), other_sink)
        sent = sum(len(one.accepted) for one in senders)
        # What was being stored when the server went away may be stored, although its sender got 503.
        assert sent <= len(other_sink.keys) <= sent + 4
        for node in direct:
            assert_logged_once(node)


def check(node: ServerProcess, database: str, sink: Sink) -> None:
    """Everything ran; an action whose result could not be stored may have been called again, with the same key."""

    def inserted() -> bool:
        counts = "SELECT count(*), count(*) FILTER (WHERE state = 'succeeded') FROM executions"
        ((stored, succeeded),) = query(database, counts)
        return bool(stored == succeeded == len(sink.keys))

    eventually("every message is inserted and has run", inserted, 120)
    eventually("nothing is left", node.drained, 60)
