"""Killed at each point at which one can die, over both databases, and started again: what was asked for is there whole
or not at all, a caller that got no answer may ask again, and what had begun comes to its end.

One server for each database lives through all of it. On SQLite it is killed where no other test does that.
"""

import contextlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from hookline.kernel.fault_points import POINTS
from tests.acceptance.forked_server import EVERY_KILL, ForkedServer
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import TOKEN, eventually
from tests.acceptance.sink import Sink
from tests.acceptance.test_deployment_kills import KINDS as DEPLOYMENT_KINDS
from tests.app_thread import AppThread
from tests.github_server import TOKEN as TOKEN_OF_GITHUB
from tests.github_server import GitHubServer

SIGKILL: Final = -9
SECOND: Final = timedelta(seconds=1)

#: What other tests kill a server over SQLite at, by the names of commits.
ELSEWHERE: Final = frozenset(
    (
        *("accept", "start", "record", "park", "resume", "end", "publish", "unblock"),
        *("begin_wait", "callback", "end_wait", "state", "cursor", "subscription", "purge"),
    )
)
_here: set[str] = set()


def killed_at(*kinds: str) -> pytest.MarkDecorator:
    """The test is given a server, and a point at which it is to die: before and after commits of these kinds."""
    _here.update(kinds)
    return pytest.mark.parametrize(
        ("server", "point"),
        [
            pytest.param(database, f"{kind}.{side}_commit", marks=marks)
            for database, marks in (("sqlite", ()), ("postgresql", pytest.mark.postgres))
            for kind in kinds
            if kind not in (ELSEWHERE if database == "sqlite" else ("blob",))
            for side in _sides(kind, database)
        ],
        indirect=["server"],
    )


def _sides(kind: str, database: str) -> tuple[str, ...]:
    """By default one of them, another on the other database: what is durable, and what isn't, is the same to both."""
    sides = ("before", "after")
    return sides if EVERY_KILL else (sides[(len(kind) + (database == "sqlite")) % 2],)


class Server:
    """A server over flows that the tests write, and what these have told a sink."""

    def __init__(self, folder: Path, sink: Sink, environment: Mapping[str, str]) -> None:
        self.process = ForkedServer(folder, environment=environment)
        self.sink = sink
        self._numbers = count(1)
        self.process.set("HOOKLINE_PUBLIC_URL", self.process.url)
        self.process.start()

    @contextlib.contextmanager
    def dying(self, point: str) -> Iterator[None]:
        """What is done in here makes it die at a point, at once or soon; then it is started again."""
        self.process.set_fault(point)
        # It may be dead by then, and have given no answer.
        with contextlib.suppress(OSError, HTTPException):
            yield
        assert self.process.died() == SIGKILL, self.process.log()[-4000:]
        self.process.start()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        content = b"" if body is None else json.dumps(body).encode()
        status, answer, _ = self.process.request(method, f"/api/v1/{path}", content, headers)
        return status, answer

    def asked(self, path: str, body: Any = None) -> Any:
        """Ask for something that isn't rejected."""
        status, answer = self.ask("POST", path, body)
        assert status in (200, 202), answer
        return answer

    def new_id(self) -> str:
        return f"flow-{next(self._numbers)}"

    def write(self, flow_id: str, *steps: Mapping[str, Any], **more: Any) -> None:
        """Write a flow's file, and don't wait."""
        trigger = {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.id"}}
        vars = {"sink": self.sink.url, "flow": flow_id}
        self.process.flow({"id": flow_id, "trigger": trigger, "vars": vars, **more, "steps": steps})

    def deploy(self, flow_id: str, *steps: Mapping[str, Any], **more: Any) -> str:
        """Write a flow's file; gives its version, once that serves and is kept."""
        before = self.versions(flow_id)
        self.write(flow_id, *steps, **more)
        eventually(f"{flow_id} serves", lambda: self.versions(flow_id) != before)
        return self.versions(flow_id)[0]

    def versions(self, flow_id: str) -> list[str]:
        status, page = self.ask("GET", f"flows/{flow_id}/versions")
        return [one["version"] for one in page["items"]] if status == 200 else []

    def flow(self, *steps: Mapping[str, Any], **more: Any) -> str:
        """A new flow's id."""
        flow_id = self.new_id()
        self.deploy(flow_id, *steps, **more)
        return flow_id

    def send(self, flow_id: str, message: str = "1", **more: Any) -> str:
        """Send a message, or send it again; gives the execution's id."""
        status, answer = self.process.post(flow_id, {"id": message, **more})
        assert status in (200, 202), answer
        execution_id: str = answer["execution_id"]
        return execution_id

    def execution(self, execution_id: str) -> dict[str, Any]:
        status, found = self.ask("GET", f"executions/{execution_id}")
        assert status == 200, found
        shown: dict[str, Any] = found
        return shown

    def waits(self, execution_id: str) -> None:
        """Return once the execution waits for a call."""

        def waits() -> bool:
            execution = self.execution(execution_id)
            return execution["state"] == "waiting" and bool(execution["waits"])

        eventually("it waits for a call", waits)

    def completed(self, execution_id: str) -> None:
        ended = self.process.ended(execution_id)
        assert ended["outcome"] == "completed", ended

    def told(self, flow_id: str) -> list[Any]:
        """What a flow told the sink, in order; what came again with its key counts once."""
        mine = {one.key: one.body["said"] for one in self.sink.received if one.body["flow"] == flow_id}
        return list(mine.values())


def tell(said: str, step_id: str = "tell", **more: Any) -> dict[str, Any]:
    body = {"flow": "$.vars.flow", "said": said}
    return {
        "id": step_id,
        "use": "http.request",
        "with": {"method": "POST", "url": "$.vars.sink", "json": body},
        **more,
    }


FAIL: Final = {"id": "fail", "use": "fail", "with": {"message": "so it was meant", "code": "meant"}}
APPROVE: Final = {"id": "approve", "use": "webhook", "with": {"verify": "none", "timeout": "1h"}}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """Gives the one over a database."""
    made: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:

        def over(database: str) -> Server:
            if database not in made:
                sink = Sink()
                sink.start()
                stack.callback(sink.stop)
                url = {} if database == "sqlite" else {"HOOKLINE_DB": stack.enter_context(postgres_schema())}
                made[database] = server = Server(tmp_path_factory.mktemp(database), sink, url)
                stack.callback(server.process.kill)
            return made[database]

        yield over
        for server in made.values():
            assert server.process.stop() == 0


@pytest.fixture
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """The one over the database of a case; each test has flows of its own."""
    return servers(request.param)


pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]


@pytest.mark.promise(1)
@killed_at("accept", "start", "record", "end")
@pytest.mark.parametrize("order", [{}, {"order_by": "$.body.id"}], ids=["at once", "in its turn"])
def test_a_message_runs_to_its_end_once(server: Server, point: str, order: dict[str, str]) -> None:
    """What has to wait for its turn starts with a commit of its own."""
    flow_id = server.flow(tell("first"), tell("second", "again"), **order)
    with server.dying(point):
        server.send(flow_id)
    server.completed(server.send(flow_id))
    assert server.told(flow_id) == ["first", "second"]
    assert len(server.process.executions(flow_id=flow_id)) == 1


@killed_at("park", "resume")
def test_what_sleeps_wakes(server: Server, point: str) -> None:
    flow_id = server.flow(tell("first"), {"use": "sleep", "with": {"for": "1100ms"}}, tell("second", "again"))
    with server.dying(point):
        server.send(flow_id)
    server.completed(server.send(flow_id))
    assert server.told(flow_id) == ["first", "second"]


@killed_at("hold", "advance")
def test_executions_in_order_run_in_order(server: Server, point: str) -> None:
    flow_id = server.flow(tell("{{ body.id }}"), order_by="$.body.key")
    numbers = ("1", "2", "3")
    with server.dying(point):
        for number in numbers:
            server.send(flow_id, number, key="a")
    for execution_id in [server.send(flow_id, number, key="a") for number in numbers]:
        server.completed(execution_id)
    assert server.told(flow_id) == list(numbers)


@killed_at("release_order_key")
def test_a_failure_gives_its_key_back(server: Server, point: str) -> None:
    fails = {"id": "first", "switch": [{"when": "{{ body.id == '1' }}", "steps": [FAIL]}]}
    flow_id = server.flow(fails, tell("{{ body.id }}"), order_by="$.body.key", order_on_failure="hold")
    failed, behind = (server.send(flow_id, number, key="a") for number in ("1", "2"))
    assert server.process.ended(failed)["outcome"] == "failed"
    with server.dying(point):
        server.asked(f"executions/{failed}/release")
    if point == "release_order_key.before_commit":
        assert server.execution(behind)["state"] == "queued"
        server.asked(f"executions/{failed}/release")
    server.completed(behind)


@killed_at("checkpoint_items", "finish_block")
def test_each_of_many_items_is_done(server: Server, point: str) -> None:
    told = tell("{{ index }}", when="{{ index % 100 == 0 }}")
    flow_id = server.flow(
        {"id": "each", "foreach": "{{ range(1100) | list }}", "steps": [told]}, tell("after", "after")
    )
    with server.dying(point):
        server.send(flow_id)
    execution_id = server.send(flow_id)
    server.completed(execution_id)
    assert server.told(flow_id) == [*range(0, 1100, 100), "after"]
    assert server.execution(execution_id)["items"] == []


@killed_at("begin_wait", "callback", "end_wait")
def test_a_step_that_waits_gets_its_call(server: Server, point: str) -> None:
    flow_id = server.flow(tell("first"), APPROVE, tell("{{ body.said }}", "again"))
    call = {"step": "approve", "body": {"said": "second"}}
    with server.dying(point):
        execution_id = server.send(flow_id)
        server.waits(execution_id)
        server.asked(f"executions/{execution_id}/resume", call)
    execution_id = server.send(flow_id)
    if point.startswith("begin_wait") or point == "callback.before_commit":
        server.waits(execution_id)
        server.asked(f"executions/{execution_id}/resume", call)
    server.completed(execution_id)
    assert server.told(flow_id) == ["first", "second"]


@killed_at("join", "close", "take")
def test_what_is_gathered_goes_on_once(server: Server, point: str) -> None:
    gather = {"id": "gather", "use": "batch", "with": {"size": 9, "within": "1s", "body": "$.body.id"}}
    flow_id = server.flow(gather, tell("{{ body | join(' ') }}"))
    with server.dying(point):
        for message in ("a", "b"):
            server.send(flow_id, message)
    for message in ("a", "b"):
        # Which of them have come together depends on when it died.
        assert server.process.ended(server.send(flow_id, message))["state"] == "succeeded"
    assert sorted(" ".join(server.told(flow_id)).split()) == ["a", "b"]


@killed_at("cancel")
def test_what_is_cancelled_ends_and_what_is_not_goes_on(server: Server, point: str) -> None:
    flow_id = server.flow({"id": "t", "try": [APPROVE], "finally": [tell("finally")]}, tell("after", "after"))
    execution_id = server.send(flow_id)
    server.waits(execution_id)
    with server.dying(point):
        server.asked(f"executions/{execution_id}/cancel")
    if point == "cancel.before_commit":
        assert server.execution(execution_id)["state"] == "waiting"
        server.asked(f"executions/{execution_id}/cancel")
    assert server.process.ended(execution_id)["outcome"] == "cancelled"
    assert server.told(flow_id) == ["finally"]


@killed_at("reopen")
def test_a_retry_does_again_only_what_failed(server: Server, point: str) -> None:
    flow_id = server.flow(tell("first"), FAIL)
    execution_id = server.send(flow_id)
    server.process.ended(execution_id)
    with server.dying(point):
        server.asked(f"executions/{execution_id}/retry")
    if point == "reopen.before_commit":
        assert server.execution(execution_id)["attempt"] == 1
        server.asked(f"executions/{execution_id}/retry")
    ended = server.process.ended(execution_id)
    assert (ended["outcome"], ended["attempt"]) == ("failed", 2)
    assert [(step["path"], len(step["earlier"])) for step in ended["steps"]] == [("tell", 0), ("fail", 1)]
    assert [one.body["said"] for one in server.sink.received if one.body["flow"] == flow_id] == ["first"]


@pytest.mark.promise(7)
@pytest.mark.rule(32)
@killed_at("dismiss_dead_letter")
def test_a_failure_is_discarded_or_not(server: Server, point: str) -> None:
    execution_id = server.send(server.flow(FAIL))
    cause = server.process.ended(execution_id)["cause"]
    with server.dying(point):
        server.asked(f"executions/{execution_id}/discard")
    discarded = point == "dismiss_dead_letter.after_commit"
    assert (server.execution(execution_id)["discarded_at"] is not None) == discarded
    assert server.ask("GET", f"dead-letters/{cause}")[0] == (404 if discarded else 200)
    assert server.ask("POST", f"executions/{execution_id}/discard")[0] == (409 if discarded else 200)


@killed_at("replay")
def test_a_replay_from_a_step_is_made_whole_or_not_at_all(server: Server, point: str) -> None:
    flow_id = server.flow(tell("first"), tell("second", "again"))
    execution_id = server.send(flow_id)
    server.completed(execution_id)
    with server.dying(point):
        server.asked(f"executions/{execution_id}/replay?from=again")
    made = server.process.executions(replay_of=execution_id)
    assert len(made) == (point == "replay.after_commit")
    for one in made:
        server.completed(one["id"])
    assert server.told(flow_id) == ["first", "second", *(["second"] if made else ())]


@killed_at("rebind")
def test_an_execution_is_moved_or_stays(server: Server, point: str) -> None:
    flow_id = server.flow(tell("first"), APPROVE, tell("old", "again"))
    (old,) = server.versions(flow_id)
    execution_id = server.send(flow_id)
    server.waits(execution_id)
    new = server.deploy(flow_id, tell("first"), APPROVE, tell("new", "again"))
    with server.dying(point):
        server.asked(f"executions/{execution_id}/move", {"to": "current"})
    server.waits(execution_id)
    assert server.execution(execution_id)["flow_version"] == (new if point == "rebind.after_commit" else old)
    server.asked(f"executions/{execution_id}/move", {"to": "current"})
    server.waits(execution_id)
    server.asked(f"executions/{execution_id}/resume", {"step": "approve"})
    server.completed(execution_id)
    assert server.told(flow_id) == ["first", "new"]


@killed_at("override")
@pytest.mark.parametrize("decision", ["pause", "stop"])
def test_a_flow_is_in_the_state_that_was_decided_or_as_before(server: Server, point: str, decision: str) -> None:
    flow_id = server.flow(tell("first"))
    decided = {"pause": "paused", "stop": "stopped"}[decision]

    def state() -> str:
        found: str = server.ask("GET", f"flows/{flow_id}")[1]["state"]
        return found

    with server.dying(point):
        server.asked(f"flows/{flow_id}/{decision}")
    assert state() == (decided if point == "override.after_commit" else "active")
    server.asked(f"flows/{flow_id}/{decision}")
    if decision == "stop":
        assert server.process.post(flow_id, {"id": "1"})[0] == 404
        return
    kept = server.send(flow_id)
    # The way back removes what was decided, and may be cut off too.
    with server.dying(point):
        server.asked(f"flows/{flow_id}/reset")
    if point == "override.before_commit":
        assert (state(), server.execution(kept)["state"]) == (decided, "queued")
        server.asked(f"flows/{flow_id}/reset")
    server.completed(kept)
    assert server.told(flow_id) == ["first"]


@killed_at("state")
def test_each_execution_counts_once(server: Server, point: str) -> None:
    flow_id = server.flow({"id": "n", "use": "state.set", "with": {"key": "n", "add": 1}})
    with server.dying(point):
        server.send(flow_id)
    for message in ("1", "2"):
        server.completed(server.send(flow_id, message))
    assert server.ask("GET", f"flows/{flow_id}/state/value?key=n")[1]["value"] == 2


@killed_at("credential", "unblock")
def test_what_a_credential_was_missing_for_goes_on(server: Server, point: str) -> None:
    name = f"key-{server.new_id()}"
    flow_id = server.flow(tell("first", credential=name))
    execution_id = server.send(flow_id)
    eventually("it is blocked", lambda: "blocked" in (server.execution(execution_id)["reason"] or ""))
    given = {"type": "bearer", "values": {"token": "a-token-of-the-test"}}
    with server.dying(point):
        server.ask("PUT", f"credentials/{name}", given)
        server.completed(execution_id)  # it is waked behind the answer
    there = server.ask("GET", f"credentials/{name}")[0] == 200
    assert there == (point != "credential.before_commit")
    if not there:
        assert server.ask("PUT", f"credentials/{name}", given)[0] == 200
    server.completed(execution_id)
    assert server.told(flow_id) == ["first"]


@killed_at("publish")
def test_a_version_that_serves_is_kept(server: Server, point: str) -> None:
    flow_id = server.new_id()
    with server.dying(point):
        server.write(flow_id, tell("first"))
    assert len(server.versions(flow_id)) == 1
    server.completed(server.send(flow_id))


@killed_at("cursor")
def test_no_time_of_a_schedule_is_left_out_or_comes_twice(server: Server, point: str) -> None:
    flow_id = server.new_id()
    trigger = {"use": "schedule", "with": {"every": "1s", "missed": "all", "overlap": True}}
    with server.dying(f"{point}:2"):
        server.write(flow_id, {"id": "at", "use": "map", "with": {"body": "$.body.scheduled_at"}}, trigger=trigger)
    before = len(server.process.executions(flow_id=flow_id))
    eventually("it goes on", lambda: len(server.process.executions(flow_id=flow_id)) >= before + 2)
    (server.process.folder / "flows" / f"{flow_id}.json").unlink()
    ends = [server.process.ended(one["id"]) for one in server.process.executions(flow_id=flow_id)]
    times = sorted(datetime.fromisoformat(end["steps"][0]["output"]["body"]) for end in ends)
    assert times == [times[0] + n * SECOND for n in range(len(times))]
    # What has no file and no work left does nothing that the next test would take for its own.
    eventually("it is gone", lambda: server.ask("GET", f"flows/{flow_id}")[0] == 404)


@killed_at("subscription")
def test_a_provider_has_one_subscription(server: Server, point: str) -> None:
    flow_id, github = server.new_id(), GitHubServer()
    with AppThread(github.app) as provider:
        key = {"type": "github-api", "values": {"token": TOKEN_OF_GITHUB, "base_url": provider.url}}
        server.ask("PUT", f"credentials/{flow_id}", key)
        given = {"repository": "octo/app", "events": ["push"]}
        trigger = {"use": "github.events", "with": given, "credential": flow_id}
        with server.dying(f"{point}:2"):
            server.write(flow_id, tell("first"), trigger=trigger)
        eventually(
            "it is subscribed", lambda: (server.ask("GET", f"flows/{flow_id}")[1]["source"] or {}).get("last_at")
        )
        (hook,) = github.all_hooks()
        assert provider.run(github.send(hook, "push", {})) == 202
        (server.process.folder / "flows" / f"{flow_id}.json").unlink()
        eventually("it is unsubscribed", lambda: github.all_hooks() == [])


@pytest.mark.rule(5)
@killed_at("blob")
def test_a_file_is_there_whole_or_not_accepted(server: Server, point: str) -> None:
    said = {"flow": server.new_id(), "said": "a file"}
    forward = {"method": "POST", "url": "$.vars.sink", "file": "$.trigger.attachments[0]"}
    flow_id = said["flow"]
    keyed = {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.headers.x-id"}}
    server.deploy(flow_id, {"id": "forward", "use": "http.request", "with": forward}, trigger=keyed)

    def upload() -> Any:
        headers = {"Content-Type": "application/octet-stream", "X-Id": "1"}
        return server.process.request("POST", f"/hook/{flow_id}", json.dumps(said).encode(), headers)[1]

    with server.dying(point):
        upload()
    assert server.process.executions(flow_id=flow_id) == []
    server.completed(upload()["execution_id"])
    assert server.told(flow_id) == ["a file"]


@pytest.mark.rule(48)
@killed_at("token")
def test_a_token_is_made_or_revoked_with_its_entry_or_not_at_all(server: Server, point: str) -> None:
    name, made = server.new_id(), point == "token.after_commit"

    def stands() -> tuple[list[str], list[str]]:
        tokens = [one for one in server.ask("GET", "tokens")[1]["items"] if one["name"] == name]
        found = server.ask("GET", "audit?limit=200")[1]["items"]
        entries = [one["operation"] for one in found if one["operation"].startswith("token.") and name in one["detail"]]
        return [one["id"] for one in tokens if one["revoked_at"] is None], entries

    with server.dying(point):
        server.ask("POST", "tokens", {"name": name, "scopes": ["read"]})
    tokens, entries = stands()
    assert (len(tokens), entries) == (made, ["token.create"] * made)
    if not made:
        assert server.ask("POST", "tokens", {"name": name, "scopes": ["read"]})[0] == 201
        tokens, entries = stands()
    with server.dying(point):
        server.ask("DELETE", f"tokens/{tokens[0]}")
    assert stands() == (([], ["token.revoke", *entries]) if made else (tokens, entries))


# Deployments are killed at each of their points, and more often, in a file of their own.
_here.update(DEPLOYMENT_KINDS)
_here.add("purge")
_here.add("stream")  # `test_jetstream.py`, with a queue in front of the database
LARGE: Final = 20


def _killed_while_purging(folder: Path, url: str, point: str) -> None:
    folder.mkdir()
    environment = {"HOOKLINE_DB": url, "HOOKLINE_DISK_BUDGET": "1MB"}
    first = ForkedServer(folder, environment=environment | {"HOOKLINE_FAULT": point})
    second = ForkedServer(folder, environment=environment)
    trigger = {"use": "webhook", "with": {"verify": "none"}}
    first.flow({"id": "f", "trigger": trigger, "steps": [{"id": "m", "use": "map", "with": {"body": "$.body.id"}}]})
    first.flow({"id": "w", "trigger": trigger, "steps": [APPROVE]})
    try:
        first.start()
        waiting = first.post("w", {"id": "stays"})[1]["execution_id"]
        for n in range(LARGE):
            assert first.post("f", {"id": n, "large": secrets.token_hex(50_000)})[0] == 202
        assert first.died() == SIGKILL
        second.start()
        left = second.executions(flow_id="f")
        if point == "purge.after_commit":
            assert 0 < len(left) < LARGE, "those that make enough room are purged in one commit"
        else:
            assert len(left) == LARGE
        for one in left:
            assert [step["path"] for step in second.ended(one["id"])["steps"]] == ["m"]
            assert second.get(f"/api/v1/executions/{one['id']}/recording")[0] == 200, "its message is there"
        assert second.get(f"/api/v1/executions/{waiting}")[1]["state"] == "waiting"
        assert second.stop() == 0
    finally:
        first.kill()
        second.kill()


@pytest.mark.postgres
def test_what_is_purged_is_gone_whole_or_there(tmp_path: Path) -> None:
    points = ("purge.before_commit", "purge.after_commit")
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(points)) as pool:
        urls = [stack.enter_context(postgres_schema()) for _ in points]
        runs = [
            pool.submit(_killed_while_purging, tmp_path / point, url, point)
            for point, url in zip(points, urls, strict=True)
        ]
        for run in runs:
            run.result()


def test_a_server_is_killed_at_each_point_that_there_is() -> None:
    assert {f"{kind}.{side}_commit" for kind in _here for side in ("before", "after")} == POINTS
