"""Messages that a step of a real server gathers: each is in one batch, also where the server is killed."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually

COUNT = 200
SIZE = 10
SENDERS = 16
SIGKILL = -9


def flow(flow_id: str = "gather", **gathered: Any) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}}
    steps = [
        {"id": "orders", "use": "batch", "with": gathered},
        {"id": "ids", "use": "map", "with": {"body": "{{ body | map(attribute='id') | list }}"}},
    ]
    return {"id": flow_id, "trigger": trigger, "steps": steps}


LATE = flow("late", key="$.body.of", within="1h") | {"timeout": "1s"}


class Sender:
    """Sends a message again until it is accepted, as senders do."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server

    def __call__(self, id_: str) -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                status, answer = self.server.post("gather", {"id": id_})
            except (OSError, HTTPException):
                time.sleep(0.02)  # it is dead, or not there yet
                continue
            assert status in (200, 202), answer
            return
        raise AssertionError(f"{id_} was not accepted")


def lists(server: ServerProcess) -> list[list[str]]:
    """What each leader has gathered, once everything has ended; all others have joined one of them."""
    eventually("all have ended", server.drained)
    found: dict[str, list[str]] = {}
    members: dict[str, list[int]] = {}
    for one in server.executions(flow_id="gather"):
        steps = {step["path"]: step for step in server.get(f"/api/v1/executions/{one['id']}")[1]["steps"]}
        output = steps["orders"]["output"]
        if one["outcome"] == "completed":
            found[one["id"]] = steps["ids"]["output"]["body"]
            members.setdefault(one["id"], []).append(1)
            assert output["executions"][0] == one["id"]
            assert len(output["executions"]) == len(output["body"])
        else:
            assert (one["outcome"], list(steps)) == ("filtered", ["orders"])
            members.setdefault(output["body"]["batch"], []).append(output["body"]["place"])
    assert {leader: sorted(places) for leader, places in members.items()} == {
        leader: list(range(1, len(ids) + 1)) for leader, ids in found.items()
    }
    return list(found.values())


def assert_each_once(gathered: Sequence[Sequence[str]], ids: Sequence[str]) -> None:
    assert sorted(id_ for one in gathered for id_ in one) == sorted(ids)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One for what kills nothing."""
    server = ForkedServer(tmp_path_factory.mktemp("batches"))
    server.flow(flow(size=SIZE, within="1h"))
    server.flow(flow("three", size=3, within="1h"))
    server.flow(LATE)
    server.start()
    yield server
    assert server.stop() == 0


def test_of_many_messages_at_once_each_is_in_one_full_batch(server: ServerProcess) -> None:
    ids = [f"m{number:03}" for number in range(COUNT)]
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(Sender(server), ids))
    gathered = lists(server)
    assert [len(one) for one in gathered] == [SIZE] * (COUNT // SIZE)
    assert_each_once(gathered, ids)


@pytest.mark.timeout(120)
@pytest.mark.long  # four servers, one after the other
def test_of_many_messages_each_is_in_one_full_batch_also_where_the_server_is_killed(tmp_path: Path) -> None:
    server = ForkedServer(tmp_path)
    server.flow(flow(size=SIZE, within="1h"))
    server.start()
    ids = [f"m{number:03}" for number in range(COUNT)]
    try:
        with ThreadPoolExecutor(SENDERS) as pool:
            sent = [pool.submit(Sender(server), id_) for id_ in ids]
            for wanted in (COUNT // 4, COUNT // 2, COUNT * 3 // 4):

                def accepted(wanted: int = wanted) -> bool:
                    return sum(one.done() for one in sent) >= wanted

                eventually("some are accepted", accepted)
                server.kill()
                server.start()
            for one in sent:
                one.result()
        gathered = lists(server)
        assert [len(one) for one in gathered] == [SIZE] * (COUNT // SIZE)
        assert_each_once(gathered, ids)
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.mark.long  # it starts a server for each point
@pytest.mark.timeout(120)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(("kind", "passings"), [("join", (1, 2, 3)), ("close", (1,)), ("take", (1,))])
def test_killed_where_it_gathers_nobody_is_lost_or_there_twice(
    kind: str, passings: Sequence[int], side: str, tmp_path: Path
) -> None:
    server = ForkedServer(tmp_path)
    # By time, where the end of that is what is to be killed; a start takes longer than this, and then there are two.
    by_time = kind == "close"
    server.flow(flow(within="1s") if by_time else flow(size=3, within="1h"))
    server.start()
    try:
        for passing in passings:
            ids = [f"{kind}-{side}-{passing}-{number}" for number in range(3)]
            for id_ in ids[: passing - 1]:
                Sender(server)(id_)
                eventually("it has come to the step", lambda: _settled(server))
            server.set_fault(f"{kind}.{side}_commit")
            with ThreadPoolExecutor(3) as pool:
                sent = [pool.submit(Sender(server), id_) for id_ in ids[passing - 1 :]]
                assert server.died() == SIGKILL
                server.start()
                for one in sent:
                    one.result()
            gathered = [one for one in lists(server) if one[0] in ids]
            assert by_time or len(gathered) == 1
            assert_each_once(gathered, ids)
        assert server.stop() == 0
    finally:
        server.kill()


@pytest.fixture(scope="module")
def recorded(server: ServerProcess) -> list[str]:
    """The executions of a batch of three, that which leads first."""
    ids = []
    for name in ("a", "b", "c"):
        ids.append(server.post("three", {"id": name})[1]["execution_id"])
        eventually("it has come to the step", lambda: _settled(server))
    for id_ in ids:
        # The leader goes on once the batch is full.
        server.ended(id_)
    return ids


def test_a_backtest_takes_what_was_gathered_and_who_joined_as_they_were(
    server: ServerProcess, recorded: list[str]
) -> None:
    changed = flow("three", size=2)
    changed["steps"][1]["with"]["body"] = "{{ body | map(attribute='id') | join('+') }}"
    server.folder.joinpath("changed").mkdir()
    server.folder.joinpath("changed", "three.json").write_text(json.dumps(changed))
    found = json.loads(server.run("backtest", "three", "--flows", "changed", "--json").stdout)
    assert (found["executions"], found["same"], found["unknown"]) == (len(recorded), 2, 0)
    (kind,) = found["kinds"]
    assert (kind["kind"], kind["step"], kind["count"]) == ("output", "ids", 1)
    assert kind["examples"][0]["after"] == "a+b+c"


def test_a_backtest_of_a_leader_whose_time_was_up_finds_nothing_and_says_where_it_asks_for_another_key(
    server: ServerProcess,
) -> None:
    (server.folder / "late").mkdir()
    ids = [server.post("late", {"id": "a", "of": "x"})[1]["execution_id"]]
    eventually("its time is up", lambda: server.executions(flow_id="late")[0]["finished_at"])
    ids.append(server.post("late", {"id": "b"})[1]["execution_id"])
    eventually("both have ended", server.drained)
    assert [server.ended(id_)["outcome"] for id_ in ids] == ["timed_out", "failed"]
    found = json.loads(server.run("backtest", "late", "--json").stdout)
    assert (found["executions"], found["same"], found["kinds"]) == (2, 2, [])
    (server.folder / "late" / "late.json").write_text(json.dumps(LATE).replace("$.body.of", "$.body.id"))
    found = json.loads(server.run("backtest", "late", "--flows", "late", "--json").stdout)
    kinds = sorted(f"{kind['kind']} of {kind['step']}" for kind in found["kinds"])
    # Of the one that had no key it isn't known with whom it would have been.
    assert (kinds, found["unknown"]) == (["changed call of orders", "new call of orders"], 1)


def test_a_case_is_made_of_an_execution_that_led(server: ServerProcess, recorded: list[str]) -> None:
    written = json.loads(server.run("test", "--from-execution", recorded[0], "--write", "--json").stdout)
    (case,) = json.loads((server.folder / written["file"]).read_text())["cases"]
    assert case["stubs"]["orders"]["result"] == [{"id": "a"}, {"id": "b"}, {"id": "c"}]
    assert case["expect"]["body"] == ["a", "b", "c"]


def _settled(server: ServerProcess) -> bool:
    """Whether nothing is on its way: what hasn't ended waits."""
    return not any(
        server.get(f"/api/v1/executions?state={state}&limit=1")[1]["items"] for state in ("queued", "running")
    )
