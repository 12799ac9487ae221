"""Killed while flows call flows, fail, or run what must not run twice: each is done once, and what isn't known is said.

Each case starts two servers.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

#: Servers that run at once: most of a case is waiting.
AT_ONCE = 4
SIGKILL = -9

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

Flow = dict[str, Any]


def tell(step_id: str, url: str, said: Any, **more: Any) -> dict[str, Any]:
    return {"id": step_id, "use": "http.request", "with": {"method": "POST", "url": url, "json": said}, **more}


def flow(flow_id: str, *steps: Mapping[str, Any], **more: Any) -> Flow:
    trigger = {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}}
    return {"id": flow_id, "trigger": trigger, "steps": list(steps), **more}


def calling(url: str) -> Sequence[Flow]:
    """One that calls another and then fails, and one that takes care of that."""
    return (
        flow(
            "main",
            tell("before", url, "before"),
            {"id": "call", "use": "flow", "with": {"id": "work", "body": {"n": 7}}},
            tell("after", url, "after {{ steps.call.body.n }}"),
            {"use": "fail", "with": {"message": "so it was meant", "code": "meant"}},
            on_error="care",
        ),
        flow("work", tell("work", url, "work"), {"use": "map", "with": {"body": "$.trigger.body"}}),
        flow("care", tell("care", url, "care {{ body.error.code }}")),
    )


def paying(url: str) -> Sequence[Flow]:
    """One with a step that must not run twice."""
    return (flow("main", tell("pay", url, "pay", delivery="at_most_once")),)


def killed(folder: Path, flows: Any, fault: str) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Serve, die of a fault, and serve again until all has ended: how executions ended, and what was said to others.

    Repeated calls with one key count once.
    """
    folder.mkdir()
    sink = Sink()
    sink.start()
    message, servers = {"id": "order-7"}, list[ServerProcess]()

    def server(environment: Mapping[str, str] | None = None) -> ServerProcess:
        made = ForkedServer(folder, environment=environment)
        for document in flows(sink.url):
            made.flow(document)
        servers.append(made)
        return made

    try:
        first = server({"HOOKLINE_FAULT": fault})
        first.launch()
        accepted, deadline = False, time.monotonic() + 60
        while first.running and time.monotonic() < deadline:
            if not accepted:
                with contextlib.suppress(OSError, HTTPException):  # not there yet, or dead
                    accepted = first.post("main", message)[0] in (200, 202)
            time.sleep(0.02)
        assert not first.running, f"{fault} was not passed:\n{first.log()[-4000:]}"
        assert first.died() == SIGKILL
        second = server()
        second.start()
        assert second.post("main", message)[0] in (200, 202)
        count = len(flows(sink.url))
        eventually("each flow has run", lambda: sum(one["outcome"] is not None for one in second.executions()) >= count)
        ends = sorted((one["flow_id"], one["outcome"]) for one in second.executions())
        assert second.stop() == 0
    finally:
        for each in servers:
            if each.running:
                each.kill()
        sink.stop()
    once = {received.key: received.body for received in sink.received}
    return ends, sorted(once.values())


def all_of(folder: Path, flows: Any, faults: Sequence[str]) -> dict[str, Any]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        cases = {
            fault: pool.submit(partial(killed, folder / fault.replace(":", "-"), flows, fault)) for fault in faults
        }
    return {fault: case.result() for fault, case in cases.items()}


def test_a_kill_changes_nothing_of_what_called_flows_do(tmp_path: Path) -> None:
    points = ("begin_wait.before_commit", "begin_wait.after_commit", "callback.before_commit", "callback.after_commit")
    faults = [*points, "end_wait.after_commit", "end.before_commit:2", "end.after_commit:2"]
    ends = [("care", "completed"), ("main", "failed"), ("work", "completed")]
    said = ["after 7", "before", "care meant", "work"]
    assert all_of(tmp_path, calling, faults) == dict.fromkeys(faults, (ends, said))


@pytest.mark.promise(3)
@pytest.mark.rule(23)
def test_what_runs_at_most_once_is_not_run_again_after_a_kill(tmp_path: Path) -> None:
    expected = {
        "record.before_commit": ([("main", "completed")], ["pay"]),
        "record.after_commit": ([("main", "outcome_unknown")], []),
        "end.before_commit": ([("main", "outcome_unknown")], ["pay"]),
        "end.after_commit": ([("main", "completed")], ["pay"]),
    }
    assert all_of(tmp_path, paying, list(expected)) == expected
