"""Each pattern of the flow language on a real server: it does what it should, also where the server is killed.

`flows/<pattern>.json` is the flow. `flows/<pattern>.drive.json` says what is sent, and how that ends:

- `also`: other flows that it takes;
- `does`, one after the other: `send` a body, or `file` a JSON document as a file, with `headers`, and take its `answer`
  as the flow's reply; `resume` a step of the flow that waits, whose URL it has told the sink, with a `body`;
- `expect`: the `executions`, each with its `flow`, `outcome`, the code of its `error` and the bodies of some `outputs`
  by path, and the `calls`: what is said to the sink. Calls with one idempotency key are one. `*` stands for anything;
- `in_order`: the calls come in that order;
- `killed`: what may be instead where the server was killed.

`{run}` in what is sent tells one run from the next.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.acceptance.forked_server import EVERY_KILL, ForkedServer
from tests.acceptance.server_process import eventually
from tests.acceptance.sink import Received, Sink

FLOWS = Path(__file__).parent / "flows"
PATTERNS = sorted(path.name.removesuffix(".drive.json") for path in FLOWS.glob("*.drive.json"))
SIGKILL = -9

T = TypeVar("T")


def read(name: str) -> Any:
    return json.loads((FLOWS / name).read_text(encoding="utf-8"))


class Server:
    """A server over some patterns' flows, which is started again where it has died."""

    def __init__(self, folder: Path, sink: Sink, patterns: Sequence[str]) -> None:
        self.process = ForkedServer(folder)
        self.sink = sink
        self.deaths = 0
        self._runs = count()
        for pattern in patterns:
            for name in (pattern, *read(f"{pattern}.drive.json").get("also", ())):
                document = read(f"{name}.json")
                self.process.flow(document | {"vars": {"sink": sink.url}})
        self.process.start()

    def insist(self, does: Callable[[], T]) -> T:
        """Do something, in the next life of the server if it must be."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return does()
            except (OSError, HTTPException):
                if time.monotonic() > deadline:
                    raise
            if self.process.running:
                time.sleep(0.01)
            else:
                self.rise()

    def rise(self) -> None:
        """Start it again, once it has died as it should."""
        assert self.process.died() == SIGKILL, self.process.log()[-4000:]
        self.deaths += 1
        self.process.start()

    def run(self, pattern: str, fault: str | None = None) -> None:
        """Run a pattern, die of a fault on the way, and see that it ended as it should."""
        drive = read(f"{pattern}.drive.json")
        known = {one["id"] for one in self.process.executions()}
        run, deaths = f"run-{next(self._runs):04}", self.deaths
        if fault is not None:
            self.process.set_fault(fault)
        for step in drive["does"]:
            self._do(pattern, run, step, known)
        expected = drive["expect"]
        self._drain(known, len(expected["executions"]))
        if fault is not None and self.deaths == deaths:
            # It dies of its last commit, and has been seen to end before.
            self.rise()
            self._drain(known, len(expected["executions"]))
        assert self.deaths == deaths + (fault is not None)
        ends = [expected, *(drive.get("killed", ()) if fault is not None else ())]
        seen = {
            "executions": self._executions(known, expected["executions"]),
            "calls": self._calls(run, in_order=drive.get("in_order", False)),
        }
        wanted = [
            {
                "executions": _sorted(end["executions"]),
                "calls": end["calls"] if drive.get("in_order") else _sorted(end["calls"]),
            }
            for end in ends
        ]
        assert seen in wanted, f"{pattern}, killed at {fault}: {seen} and not {wanted[0]}"

    def _do(self, pattern: str, run: str, step: dict[str, Any], known: set[str]) -> None:
        step = json.loads(json.dumps(step).replace("{run}", run))
        if "resume" in step:
            path = self._resume_path(run, known)
            content, kind = step["body"], "application/json"
        else:
            path = f"/hook/{pattern}"
            content, kind = (
                (step["send"], "application/json") if "send" in step else (step["file"], "application/octet-stream")
            )
        headers = {"Content-Type": kind, **step.get("headers", {})}
        body = json.dumps(content).encode()
        status, answer, _ = self.insist(lambda: self.process.request("POST", path, body, headers))
        if "answer" in step:
            assert answer == step["answer"], answer
        else:
            assert status in (200, 202), answer

    def _resume_path(self, run: str, known: set[str]) -> str:
        """The path to call, once the execution is parked: one that is called before doesn't park at all."""

        def told() -> list[str]:
            return [one.body["said"]["url"] for one in self._received(run) if "url" in one.body["said"]]

        def waits() -> bool:
            found = self.insist(lambda: self.process.executions(state="waiting"))
            return bool(told()) and any(one["id"] not in known for one in found)

        eventually("the sink is told where to call, and the step waits", waits)
        return urlsplit(told()[0]).path

    def _drain(self, known: set[str], executions: int) -> None:
        def over() -> bool:
            made = [one for one in self.insist(self.process.executions) if one["id"] not in known]
            return len(made) >= executions and all(one["finished_at"] is not None for one in made)

        eventually("all executions end", over)

    def _executions(self, known: set[str], expected: Sequence[dict[str, Any]]) -> list[Any]:
        """The executions that weren't known, as far as it is said how they end."""
        found = []
        for one in self.process.executions():
            if one["id"] in known:
                continue
            end = {"flow": one["flow_id"], "outcome": one["outcome"]}
            said = next((each for each in expected if each["flow"] == one["flow_id"]), {})
            if "error" in said:
                end["error"] = one["error"]["code"]
            if "outputs" in said:
                steps = self.process.get(f"/api/v1/executions/{one['id']}")[1]["steps"]
                bodies = {step["path"]: step["output"]["body"] for step in steps if step["path"] in said["outputs"]}
                end["outputs"] = bodies
            found.append(end)
        return _sorted(found)

    def _received(self, run: str) -> list[Received]:
        return [one for one in list(self.sink.received) if one.body["run"] == run]

    def _calls(self, run: str, *, in_order: bool) -> list[Any]:
        """What was said to the sink; what came again with its key must be the same."""
        said: dict[str, Any] = {}
        for one in self._received(run):
            words = one.body["said"]
            words = dict.fromkeys(words, "*") if isinstance(words, dict) else words
            assert one.key, "a call has a key"
            assert said.setdefault(one.key, words) == words
        return list(said.values()) if in_order else _sorted(said.values())


def _sorted(values: Any) -> list[Any]:
    return sorted(values, key=json.dumps)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all patterns that nothing is killed of."""
    sink = Sink()
    sink.start()
    server = Server(tmp_path_factory.mktemp("patterns"), sink, PATTERNS)
    yield server
    assert server.process.stop() == 0
    sink.stop()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_does_what_it_should(pattern: str, server: Server) -> None:
    server.run(pattern)


@pytest.mark.long  # it starts a server for each point
@pytest.mark.timeout(300)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_ends_alike_wherever_it_is_killed(pattern: str, tmp_path: Path, sink: Sink) -> None:
    server = Server(tmp_path, sink, [pattern])
    try:
        trace = tmp_path / "trace"
        server.process.trace(trace)
        server.run(pattern)
        # The end of an execution shows before the point after its commit is passed.
        eventually("the trace is complete", lambda: trace.read_text().endswith(".after_commit\n"))
        # Each start looks at what is blocked, and may still do so when the pattern begins.
        points = [point for point in first_passings(trace) if not point.startswith("unblock.")]
        assert len(points) >= 4, "it is accepted, and it ends"
        if not EVERY_KILL:
            # The patterns begin at different ones, so that together they come to all that most of them pass.
            points = points[PATTERNS.index(pattern) % 3 :: 3]
        for point in points:
            server.run(pattern, point)
        assert server.deaths == len(points)
        assert server.process.stop() == 0
    finally:
        server.process.kill()


def first_passings(trace: Path) -> list[str]:
    """A point for each moment at which a run has passed points for the first time."""
    known: set[str] = set()
    firsts: list[str] = []
    for line in trace.read_text().splitlines():
        new = [point for point in line.split() if point not in known]
        firsts += new[:1]
        known.update(new)
    return firsts
