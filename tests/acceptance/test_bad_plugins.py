"""A plugin that misbehaves is named, contained, and doesn't slow others: on a real server, beside a flow of others."""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.acceptance.bad_plugins import BAD, RAISES, SCHEME, STUCK, install
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink
from tests.metric_samples import sample

pytestmark = pytest.mark.long

NAMED = "'bad' (hookline-bad 0.3)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("bad")
    site = folder / "site"
    install(site, "hookline-bad", "0.3", "bad", BAD)
    install(site, "hookline-ends", "0.1", "ends", SCHEME)
    install(site, "hookline-raises", "1.1", "raises", RAISES)
    install(site, "hookline-stuck", "2.0", "stuck", STUCK)
    sink = Sink()
    sink.start()
    made = ServerProcess(
        folder,
        environment={
            "PYTHONPATH": str(site),
            "HOOKLINE_PLUGIN_TIMEOUT": "2s",
            "HOOKLINE_STEP_TIMEOUT": "1s",
            "HOOKLINE_LOG_FORMAT": "json",
        },
    )
    request = {"id": "ask", "use": "http.request", "with": {"url": sink.url, "method": "POST", "json": "$.body"}}
    made.flow({"id": "good", "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": [request]})
    try:
        made.start()
        yield made
        # What takes no notice of being ended keeps the server from nothing.
        assert made.stop() == 0
    finally:
        if made.running:
            made.kill()
        sink.stop()


def run(server: ServerProcess, use: str, settings: dict[str, Any] | None = None, **step: Any) -> dict[str, Any]:
    """What became of an execution with this one step."""
    flow_id = f"bad-{time.monotonic_ns()}"
    bad = {"id": "bad", "use": use, "with": settings or {}, **step}
    after = {"id": "after", "use": "map", "with": {"body": "$.trigger.body"}}
    server.flow({"id": flow_id, "trigger": {"use": "webhook", "with": {"verify": "none"}}, "steps": [bad, after]})
    eventually("the flow is served", lambda: server.request("HEAD", f"/hook/{flow_id}")[0] == 200)
    status, answer = server.post(flow_id, {"n": 1})
    assert status == 202, answer
    return server.ended(answer["execution_id"])


def lines(server: ServerProcess, event: str) -> list[dict[str, Any]]:
    """What the server logged of something."""
    logged = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    return [line for line in logged if event in line["event"]]


def seconds(execution: dict[str, Any]) -> float:
    """From when it was accepted until it ended."""
    began, ended = (datetime.fromisoformat(execution[name]) for name in ("created_at", "finished_at"))
    return (ended - began).total_seconds()


def test_what_a_plugin_does_wrong_is_named_and_stays_its_own(server: ServerProcess) -> None:
    # At import: those that raise and those that hang.
    failed = {line["plugin"]: line["error"] for line in lines(server, "a plugin can't be used")}
    assert failed["'raises' (hookline-raises 1.1)"].startswith("RuntimeError: no licence")
    assert "longer than 2 s; it was at" in failed["'stuck' (hookline-stuck 2.0)"]
    assert "time.sleep(3600)" in failed["'stuck' (hookline-stuck 2.0)"]

    # In an action: what it raises and gives is its defect, and the process goes on.
    for use, settings, text in (
        ("bad.raises", {"what": "exit"}, "SystemExit"),
        ("bad.raises", {"what": "interrupt"}, "KeyboardInterrupt"),
        ("bad.raises", {"what": "base"}, "Base: no"),
        ("bad.breaks_its_promise", {}, "its result is a list, not an object"),
        ("bad.gives_no_json", {}, "result.it is of type object, which has no JSON form"),
        ("bad.closes", {"what": "http"}, "ctx.http is shared by all plugins"),
        ("bad.closes", {"what": "blobs"}, "ctx.blobs is shared by all plugins"),
        ("bad.closes", {"what": "resources"}, "ctx.resources is shared by all plugins"),
    ):
        error = run(server, use, settings)["error"]
        assert error["code"] == "connector.defect", error
        assert NAMED in error["message"]
        assert text in error["message"]
    enormous = run(server, "bad.enormous")["error"]
    assert enormous["code"] == "step.too_large"
    assert NAMED in enormous["message"]

    # What it changes is its own copy.
    mutated = run(server, "bad.mutates", {"given": "$.body"})
    assert mutated["outcome"] == "completed", mutated["error"]
    assert [step["input"] for step in mutated["steps"]] == [{"given": {"n": 1}}, {"body": {"n": 1}}]
    assert mutated["steps"][-1]["output"]["body"] == {"n": 1}

    # What holds the event loop up is named while it does, with its place.
    assert run(server, "bad.blocks", timeout="30s")["outcome"] == "completed"
    (held,) = lines(server, "the event loop is blocked")
    assert (held["plugin"], held["component"], held["line"]) == (NAMED, "bad.blocks", "time.sleep(2)")
    assert "hookline_bad/__init__.py" in held["place"]

    # A scheme that would end the process rejects the request instead.
    trigger = {"use": "webhook", "with": {"verify": {"scheme": "ends"}}}
    server.flow({"id": "ends", "trigger": trigger, "steps": [{"id": "stop", "use": "stop"}]})
    eventually("it is served", lambda: server.request("HEAD", "/hook/ends")[0] == 200)
    for how in ("exit", "interrupt"):
        assert server.post("ends", {}, {"x-how": how})[0] == 503

    # So does what judges an action's settings.
    judged = run(server, "bad.judges", {"given": "{{ body.n }}"})["error"]
    assert judged["code"] == "connector.defect"
    assert NAMED in judged["message"]

    metrics = server.request("GET", "/metrics", headers={"Authorization": "Bearer test-admin-token"})[1]
    for fault in ("defect", "blocked_loop"):
        assert sample(metrics, "hookline_plugin_faults_total", fault=fault, plugin="bad"), metrics


def test_what_hangs_slows_nobody_and_ends_at_its_time(server: ServerProcess) -> None:
    status, first = server.post("good", {"n": 0})
    assert status == 202
    server.ended(first["execution_id"])
    hanging = {"id": "bad", "use": "bad.hangs"}
    stubborn = {"id": "bad", "use": "bad.stubborn", "timeout": "300ms"}
    leaking = {"id": "bad", "use": "bad.leaks"}
    for flow_id, step in (("hanging", hanging), ("stubborn", stubborn), ("leaking", leaking)):
        trigger = {"use": "webhook", "with": {"verify": "none"}}
        server.flow(
            {"id": flow_id, "trigger": trigger, "concurrency": 50, "steps": [{**step, "retry": {"attempts": 1}}]}
        )
    eventually("they are served", lambda: server.request("HEAD", "/hook/leaking")[0] == 200)
    bad: dict[str, list[str]] = {"hanging": [], "stubborn": [], "leaking": []}
    good: list[str] = []
    for number in range(8):
        for flow_id, ids in bad.items():
            ids.append(server.post(flow_id, {"n": number})[1]["execution_id"])
        good.append(server.post("good", {"n": number})[1]["execution_id"])
    took, theirs = (sorted(seconds(server.ended(one)) for one in ids) for ids in (good, bad["hanging"]))
    # It waits for none of theirs.
    assert took[len(took) // 2] < theirs[0] / 2, (took, theirs)
    for flow_id, limit in (("hanging", "1 s; a step that takes longer says so itself"), ("stubborn", "0.3 s")):
        errors = [server.ended(one)["error"] for one in bad[flow_id]]
        assert {error["code"] for error in errors} == {"timed_out"}
        assert all(limit in error["message"] for error in errors)
    assert {server.ended(one)["outcome"] for one in bad["leaking"]} == {"completed"}
    stubborn_ones = set(bad["stubborn"])

    def told() -> bool:
        return {line["execution_id"] for line in lines(server, "ignores its cancellation")} == stubborn_ones

    eventually("each is told of", told, 15)
    assert {line["plugin"] for line in lines(server, "ignores its cancellation")} == {NAMED}
    metrics = server.request("GET", "/metrics", headers={"Authorization": "Bearer test-admin-token"})[1]
    assert sample(metrics, "hookline_plugin_faults_total", fault="abandoned_call", plugin="bad"), metrics
