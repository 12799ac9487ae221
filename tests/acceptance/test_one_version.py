"""Killed between the acceptance of a message and its first effects, and started again with another version of its flow:
an execution runs on one version and at one time, whichever of the two it had begun with.

What is bound is read from the database after the kill, so these tests hold wherever an execution is bound: at its
start, or already when its message is accepted.
"""

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import pytest

from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

SIGKILL: Final = -9
#: More than run at once: some of them have begun when the server dies, and some wait for their turn.
MESSAGES: Final = 4
AT_ONCE: Final = 2
#: Servers that run at once: most of a case is waiting.
CASES_AT_ONCE: Final = 4

#: Not a point, but a moment: the first effect has reached the other side, which hasn't answered.
UNDER_WAY: Final = "under way"
POINTS: Final = (
    *(f"{kind}.{side}_commit:{n}" for kind in ("accept", "start") for side in ("before", "after") for n in (1, 3)),
    *(f"record.{side}_commit:{n}" for side in ("before", "after") for n in (1, 2, 3)),
    UNDER_WAY,
)


def flow(said: str, sink: str) -> dict[str, Any]:
    """A version of the flow: `said` is in its vars and its steps, and each effect tells both."""
    at = ["{{ execution.started_at }}", "{{ execution.now }}"]
    mapped = {"said": said, "vars": ["$.vars.said", "$.vars.region"], "at": at}

    def tell(step_id: str) -> dict[str, Any]:
        told = {"n": "$.trigger.body.n", "step": step_id, "mapped": "$.steps.first.body", **mapped}
        return {
            "id": step_id,
            "use": "http.request",
            "with": {"method": "POST", "url": "$.vars.sink", "json": told},
        }

    return {
        "id": "tell",
        "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.n"}},
        "vars": {"said": said, "region": "nowhere", "sink": sink},
        "concurrency": AT_ONCE,
        "steps": [{"id": "first", "use": "map", "with": {"body": mapped}}, tell("effect"), tell("again")],
    }


def bound(server: ServerProcess) -> dict[str, tuple[str, int]]:
    """The executions that are bound, with their versions and the times at which they started."""
    found = server.stored("select id, flow_version, started_at from executions where flow_version is not null")
    return {str(id_): (version, started_at) for id_, version, started_at in found}


def journal(server: ServerProcess) -> set[tuple[Any, ...]]:
    """The results that are recorded."""
    found = server.stored("select execution_id, path, output from journal where state = 'succeeded'")
    return {(str(id_), path, output if output is None else bytes(output)) for id_, path, output in found}


def dies(server: ServerProcess, sink: Sink, point: str) -> None:
    """Send messages until the server dies at the point."""
    if point == UNDER_WAY:
        sink.delay = 5
    server.start()
    for n in range(MESSAGES):
        with contextlib.suppress(OSError, HTTPException):
            server.post("tell", {"n": n})
    if point == UNDER_WAY:
        eventually("an effect is under way", lambda: bool(sink.received))
        server.kill()
        sink.delay = 0
    else:
        assert server.died() == SIGKILL, f"{point} was not passed"


def outcome(folder: Path, environment: dict[str, str], point: str, sink: Sink) -> None:
    """Die at the point, deploy, go on, and compare what was bound, recorded and told."""
    folder.mkdir()
    with ExitStack() as stack:

        def serving(said: str, **more: str) -> ServerProcess:
            # An operator's value of a var changes with the version, and belongs to the start just so.
            given = {**environment, "HOOKLINE_VARS_TELL__REGION": said, **more}
            server = ForkedServer(folder, environment=given)
            server.flow(flow(said, sink.url))
            stack.callback(server.kill)
            return server

        old = serving("old", **({} if point == UNDER_WAY else {"HOOKLINE_FAULT": point}))
        dies(old, sink, point)
        bound_before, journal_before = bound(old), journal(old)
        new = serving("new")
        new.start()
        # A sender that got no answer sends the same again.
        ids = [new.post("tell", {"n": n})[1]["execution_id"] for n in range(MESSAGES)]
        executions = {n: new.ended(id_) for n, id_ in enumerate(ids)}
        assert new.stop() == 0
        bound_after, journal_after = bound(new), journal(new)

    assert {execution["outcome"] for execution in executions.values()} == {"completed"}
    assert bound_before.items() <= bound_after.items(), "what is bound stays so"
    assert journal_before <= journal_after, "what is recorded stays so"
    old_versions = {version for version, _ in bound_before.values()}
    for n, execution in executions.items():
        said = "old" if execution["id"] in bound_before else "new"
        version, _ = bound_after[execution["id"]]
        assert (version in old_versions) == (said == "old")
        for step_id in ("effect", "again"):
            effects = [one.body for one in sink.received if (one.body["n"], one.body["step"]) == (n, step_id)]
            assert effects, f"{step_id} of message {n} is missing"
            assert all(effect == effects[0] for effect in effects), "an effect that is repeated is the same"
            for part in (effects[0], effects[0]["mapped"]):
                assert (part["said"], part["vars"]) == (said, [said, said])
                assert part["at"][0] == execution["started_at"]
            assert effects[0]["mapped"]["at"][1] == execution["started_at"], "before the first effect, no time passes"
    keys = {(one.body["n"], one.body["step"], one.key) for one in sink.received}
    assert len(keys) == MESSAGES * 2


def all_hold(folder: Path, database: str, points: Sequence[str]) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(CASES_AT_ONCE) as pool:
        runs = {}
        for point in points:
            sink = Sink()
            sink.start()
            stack.callback(sink.stop)
            url = {"HOOKLINE_DB": stack.enter_context(postgres_schema())} if database == "postgresql" else {}
            runs[point] = pool.submit(outcome, folder / point.replace(":", "-"), url, point, sink)
        for point, run in runs.items():
            try:
                run.result()
            except Exception as error:
                error.add_note(f"killed at {point}")
                raise


@pytest.mark.promise(6)
@pytest.mark.rule(11)
def test_an_execution_runs_on_one_version_and_at_one_time(tmp_path: Path) -> None:
    all_hold(tmp_path, "sqlite", ("accept.after_commit:3", "start.after_commit:1", "record.before_commit:2"))


@pytest.mark.promise(6)
@pytest.mark.rule(11)
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_an_execution_runs_on_one_version_and_at_one_time_wherever_it_died(tmp_path: Path, database: str) -> None:
    all_hold(tmp_path, database, POINTS)
