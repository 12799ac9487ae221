"""Flows made by chance, killed at commits made by chance: they end as the rules of the language say.

A batch of flows runs in one engine, which is dropped at some commit, as by `kill -9`, several times over. Some of them
call others, some run several messages in order, and of those that fail some are retried. What is then held: each
execution ends once, and once more for each retry; nothing that was journalled is done again, and what runs at most
once is never called twice; of those that run in order no two are under way; nothing waits any more; and what each did
and how it ended is what the reference says.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.acceptance.postgres import postgres_schema
from tests.integration.engine_harness import Harness
from tests.integration.flow_reference import Called, Facts, Plan, Reference, done
from tests.integration.random_flows import FlowMaker

from hookline.api import Connector, Context, StepError, hookimpl
from hookline.engine import Engine
from hookline.kernel.errors import IllegalStateChange, ServiceUnavailable, StoreError
from hookline.kernel.ids import idempotency_key
from hookline.kernel.json import decode
from hookline.model.access import SYSTEM
from hookline.model.callbacks_and_pages import Call as Arrived
from hookline.model.callbacks_and_pages import pack_callback, raw_json
from hookline.model.durations import parse_duration
from hookline.model.execution import FINAL, OUTCOME_UNKNOWN, Outcome, State, StepRecord, StepState
from hookline.model.message import Envelope
from hookline.storage.change_declarations import (
    Accept,
    Cancel,
    Change,
    CommitResult,
    End,
    NotWaiting,
    RecordSteps,
    Reopen,
    Resume,
    Start,
    StoreCallback,
)

BODY = [3, 1, 2]
#: Flows that run in one engine.
BATCH = 6
#: So many batches run over each database, if the environment says so; by default there are a few.
SEEDS = int(os.environ.get("HOOKLINE_TEST_MODEL_SEEDS", "0"))


@dataclass
class Flow:
    """A flow, and what comes from outside while it runs."""

    id: str
    document: dict[str, Any]
    plan: Plan


@dataclass
class Case:
    """One execution, and what was seen of it."""

    flow: Flow
    reference: Reference
    """What it does, as far as it is known: in this round, where it is retried."""
    parent: "Case | None" = None
    called_at: str = ""
    """Where one has called it: the path of the step."""
    called_in: int = 0
    """In which round of that."""
    line: list["Case"] = field(default_factory=list)
    """Those that run in order with it, in the order in which they are sent."""
    execution_id: str = ""
    accepted: bool = False
    since: datetime | None = None
    """When it began, or was retried."""
    out_of_time: bool = False
    """It took so long that the flow's timeout may have cut it off."""
    under_way: bool = False
    """It has begun, or gone on after a retry, and not ended."""
    cancel_after: int | None = None
    """So many turns of the driver later an operator cancels it."""
    cancelled: bool = False
    retries: int = 0
    """How often an operator retries it where it fails."""
    round: int = 0
    """How often it was retried."""
    past: list[Reference] = field(default_factory=list)
    """What it did in the rounds before."""
    vague: bool = False
    """How a round before ended was chance, so that nothing is known of the next."""
    sent: set[str] = field(default_factory=set)
    """The paths for which a call has been made."""
    children: dict[str, list["Case"]] = field(default_factory=dict)
    """What its steps have called, by their paths."""
    called: dict[tuple[str, int], list[tuple[int, int, Any]]] = field(default_factory=dict)
    """For each key and attempt: in which life and round it was called, and with what."""
    journal: dict[str, StepRecord] = field(default_factory=dict)
    """The last durable entry of each step."""
    paths: dict[str, str] = field(default_factory=dict)
    """From the key of each step of which anything is known to its path."""
    unknown: set[str] = field(default_factory=set)
    """Paths of what runs at most once and was cut off."""
    ends: list[End] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return len(self.ends) > self.round

    def described(self) -> str:
        """What was wrong, and all that it takes to see why."""
        about = [repr(self.ends), json.dumps(self.flow.document), repr(self.flow.plan), repr(self.reference.facts)]
        return "\n".join([f"{self.flow.id} {self.execution_id}", *dict.fromkeys(self.problems), *about])

    def refer(self) -> Reference:
        """What it does in this round, with all that is known by now."""
        called = {path: children[-1].as_called() for path, children in self.children.items()}
        facts = replace(self.reference.facts, unknown=frozenset(self.unknown), called=called)
        self.reference = Reference(self.flow.document, self.flow.plan, self.reference.trigger, facts)
        self.reference.run()
        return self.reference

    def as_called(self) -> Called:
        """The things that its caller knows of it."""
        if not self.ended:
            return Called(self.execution_id)
        end, reference = self.ends[-1], self.refer()
        error = end.error.code if end.error is not None else None
        if error is None and end.outcome == "cancelled":
            error = "flow.cancelled"
        completed = end.outcome == "completed"
        sure = not completed or reference.outcome == "completed"
        return Called(self.execution_id, True, error, completed, sure, reference.body)


class Killed:
    """Between an engine and its store: from one commit on nothing becomes durable any more."""

    def __init__(self, engine: Engine, world: "World", commits: int | None, *, before: bool) -> None:
        self.dead = asyncio.Event()
        self._left = commits
        self._before = before
        self._world = world
        self._commit = engine.store.commit
        engine.store.commit = self.commit  # type: ignore[method-assign]  # in its place, for everybody who has the store

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self._left is not None:
            self._left -= 1
        last = self._left is not None and self._left <= 0
        if self.dead.is_set() or (last and self._before):
            self.dead.set()
            raise StoreError("dead")
        # What is under way when the rest dies takes place all the same, even if nobody waits for it.
        self._world.asked(changes)
        results = await asyncio.shield(asyncio.ensure_future(self._durable(changes)))
        if last:
            self.dead.set()
        if self.dead.is_set():
            raise StoreError("dead")
        return results

    async def _durable(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results = await self._commit(changes)
        for change in changes:
            self._world.durable(change)
        return results


class World:
    """A batch of flows, and engines over them, one after the other."""

    def __init__(self, folder: Path, seeds: Sequence[int], db: str | None = None) -> None:
        """`db`: as a harness takes it."""
        self.harness = Harness(folder, db=db)
        self.harness.probe = self  # type: ignore[assignment]  # a plugin too
        self.life = 0
        self.kills = 0
        """How many of its engines were dropped."""
        self.killed: Killed | None = None
        self.cases: dict[str, Case] = {}
        """What is sent; what that calls is in `_by_execution` with it."""
        self._flows: dict[str, Flow] = {}
        self.connector = Connector("probe")
        self.connector.action(name="act")(self._act)
        for seed in seeds:
            self._make(Random(seed), f"f{seed}")
        self._by_execution: dict[str, Case] = {}

    def _make(self, dice: Random, flow_id: str) -> None:
        callee = f"{flow_id}c" if dice.random() < 0.5 else None
        if callee is not None:
            self._flow(callee, FlowMaker(dice))
        flow = self._flow(flow_id, FlowMaker(dice, callee), order_by="same" if dice.random() < 0.2 else None)
        line: list[Case] = []
        for number in range(3 if "order_by" in flow.document else 1):
            case = Case(flow, Reference(flow.document, flow.plan, BODY), line=line)
            case.refer()
            line.append(case)
            if dice.random() < 0.1:
                case.cancel_after = dice.randint(1, 30)
            if dice.random() < 0.5:
                case.retries = dice.randint(1, 2)
            self.cases[f"{flow_id}/{number}"] = case

    def _flow(self, flow_id: str, maker: FlowMaker, **settings: Any) -> Flow:
        document = maker.document() | {name: value for name, value in settings.items() if value is not None}
        self.harness.flow(flow_id, **document)
        made = self._flows[flow_id] = Flow(flow_id, document, maker.plan)
        return made

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [self.connector]

    async def _act(self, ctx: Context[None], value: Any = None) -> int:
        """Do what the plan says."""
        case, key = self._by_execution[ctx.execution_id], ctx.idempotency_key
        if self.killed is not None and self.killed.dead.is_set():
            await asyncio.Event().wait()
        seen = case.called.setdefault((key, ctx.attempt), [])
        now = (self.life, case.round)
        if any((life, round_) == now for life, round_, _ in seen):
            case.problems.append(f"{ctx.step_id} was called twice in one life, attempt {ctx.attempt}")
        seen.append((*now, value["of"]))
        path = case.paths.get(key, "")
        past = case.journal.get(path)
        self._check_call(case, key, past, ctx.attempt, once=value["once"])
        if past is None and path in case.reference.facts.stood:
            case.problems.append(f"{path} was called in a retry, although its failure had been taken")
        plan = case.flow.plan.act(ctx.step_id, value["index"])
        if plan.hangs:
            await asyncio.Event().wait()
        for _ in range(plan.turns):
            await asyncio.sleep(0)
        if case.reference.facts.round < plan.rounds:
            if ctx.attempt <= plan.away:
                raise StepError("away", code="probe.away", retryable=True)
            if plan.for_good:
                raise StepError("no", code="probe.no")
        return done(ctx.step_id, value["of"])

    def _check_call(self, case: Case, key: str, past: StepRecord | None, attempt: int, *, once: bool) -> None:
        """Hold a call to what is durable."""
        if past is not None and past.state in (StepState.SUCCEEDED, StepState.FAILED):
            case.problems.append(f"{past.path} was called after it had {past.state}")
        if past is not None and past.attempt >= attempt and not once:
            case.problems.append(f"attempt {attempt} at {past.path} was called after {past.attempt} was journalled")
        if once and (past is None or past.state is not StepState.STARTED):
            case.problems.append(f"{key} was called before it was durable that it is")
        rounds = [round_ for (called, _), seen in case.called.items() if called == key for _, round_, _ in seen]
        if once and rounds.count(case.round) > 1:
            case.problems.append(f"{key} was called twice, and is to be at most once")

    def asked(self, changes: Sequence[Change]) -> None:
        """Take note of executions that are about to be accepted: they may run before anybody hears that they are."""
        for change in changes:
            if isinstance(change, Accept) and change.envelope.arrival.parent is not None:
                self._by_execution.setdefault(change.envelope.execution_id, self._child(change.envelope))

    def _child(self, envelope: Envelope) -> Case:
        parent = envelope.arrival.parent
        assert parent is not None
        caller, flow = self._by_execution[parent.execution_id], self._flows[envelope.flow_id]
        facts = Facts(round=caller.reference.facts.round)
        return Case(
            flow,
            Reference(flow.document, flow.plan, envelope.message.body, facts),
            caller,
            parent.path,
            caller.round,
            execution_id=envelope.execution_id,
        )

    def durable(self, change: Change) -> None:
        """Take note of what a commit has made durable."""
        if isinstance(change, Accept):
            case = self._by_execution[change.envelope.execution_id]
            case.accepted = True
            if change.start is not None:
                self._began(case, change.start.at)
            if case.parent is not None:
                called = case.parent.children.setdefault(case.called_at, [])
                if any(each.called_in == case.called_in for each in called):
                    case.problems.append("it was called twice")
                called.append(case)
                case.refer()
        elif isinstance(change, RecordSteps):
            case = self._by_execution[change.execution_id]
            for record in change.steps:
                case.journal[record.path] = record
                case.paths[idempotency_key(case.execution_id, record.path)] = record.path
                if record.error is not None and record.error.code == OUTCOME_UNKNOWN and record.use == "probe.act":
                    case.unknown.add(record.path)
        elif isinstance(change, Start | Resume):
            case = self._by_execution[change.execution_id]
            self._began(case, change.at if isinstance(change, Start) else case.since)
        elif isinstance(change, Cancel):
            case = self._by_execution[change.execution_id]
            case.cancelled = True
            if case.since is None:
                case.ends.append(End(change.execution_id, State.CANCELLED, Outcome.CANCELLED, change.at))
        elif isinstance(change, Reopen):
            self._reopened(self._by_execution[change.execution_id], change.at)
        elif isinstance(change, End):
            case = self._by_execution[change.execution_id]
            case.ends.append(change)
            case.under_way = False
            limit = case.flow.document.get("timeout")
            if limit is not None and case.since is not None:
                case.out_of_time = change.at >= case.since + parse_duration(limit)

    def _began(self, case: Case, since: datetime | None) -> None:
        case.since = since
        if not case.under_way:
            case.under_way = True
            self._check_line(case)

    def _check_line(self, case: Case) -> None:
        if case.cancelled:
            # What was retried, and is cancelled before its turn has come again, runs each `finally` at once.
            return
        for other in case.line:
            if other is not case and other.under_way and not other.cancelled:
                case.problems.append(f"it began while {other.execution_id} was under way, which has its key")
        before = case.line[: case.line.index(case)] if case.line else []
        if not all(other.ended or other.round for other in before):
            case.problems.append("it began before one that was accepted before it")

    def _reopened(self, case: Case, at: datetime) -> None:
        """An operator's retry is durable: what has failed is tried again, unless something in the flow had taken it."""
        _compare_end(case, case.refer())
        case.vague = case.vague or case.reference.outcome is None or case.out_of_time
        case.since, case.out_of_time = at, False
        case.past.append(case.reference)
        case.round += 1
        # What was cut off has not failed yet, whatever it would have come to.
        failed = {path for path, record in case.journal.items() if record.state is StepState.FAILED}
        failed |= case.reference.facts.stood.keys()
        stood = {path: code for path, code in case.reference.stood.items() if path in failed}
        results = {
            path: decode(record.output or b"{}")["body"]
            for path, record in case.journal.items()
            if record.state is StepState.SUCCEEDED and record.use == "probe.act"
        }
        facts = Facts(round=case.round, stood=stood, results=results)
        case.reference = Reference(case.flow.document, case.flow.plan, case.reference.trigger, facts)
        case.sent.clear()
        for path, record in list(case.journal.items()):
            if record.state is StepState.FAILED and path not in case.unknown:
                del case.journal[path]
        case.refer()

    async def run(self, dice: Random, lives: int) -> None:
        """Run every flow to its end, in so many lives."""
        async with self.harness.engine() as engine:
            for case in self.cases.values():
                case.execution_id = engine.ids.new()
                self._by_execution[case.execution_id] = case
        for life in range(lives):
            self.life = life
            engine = self.harness.engine(grace=0)
            last = life == lives - 1
            commits = None if last else dice.randint(1, 4 * len(self.cases) if life else 8 * len(self.cases))
            self.killed = Killed(engine, self, commits, before=dice.random() < 0.5)
            try:
                await engine.start()
                await self._drive(engine, dice, self.killed)
            except (StoreError, ServiceUnavailable):
                if not self.killed.dead.is_set():
                    raise
            finally:
                self.kills += self.killed.dead.is_set()
                with contextlib.suppress(StoreError):
                    await engine.stop(0)

    async def _drive(self, engine: Engine, dice: Random, killed: Killed) -> None:
        for case in self.cases.values():
            if not case.accepted:
                await self._send(engine, case)
        for turn in range(3000):
            await asyncio.sleep(0.001)
            if killed.dead.is_set():
                return
            known = self.all()
            left = [case for case in known if case.accepted and not await self._over(engine, case)]
            for case in left:
                await self._call(engine, case, dice, turn)
            # One that has ended since may have called another.
            if not left and len(self.all()) == len(known):
                await self._check_left(engine)
                return
            self.harness.clock.advance(dice.choice([0.3, 0.3, 1, 6]))
        for case in left:
            case.problems.append(f"it never ended: {await engine.store.execution(case.execution_id)}")

    def all(self) -> list[Case]:
        return list(self._by_execution.values())

    async def _over(self, engine: Engine, case: Case) -> bool:
        """Whether an execution has come to its end, and isn't retried."""
        execution = await engine.store.execution(case.execution_id)
        assert execution is not None
        if execution.state not in FINAL:
            return False
        if execution.state is State.FAILED and case.retries > case.round:
            await engine.operations.retry(case.execution_id, by=SYSTEM)
            return False
        return True

    async def _send(self, engine: Engine, case: Case) -> None:
        # The engine gives an execution its id; what it calls is to be known before it does.
        ids, engine.ids.new = engine.ids.new, lambda: case.execution_id  # type: ignore[method-assign]
        try:
            await self.harness.send(engine, case.flow.id, BODY)
        finally:
            engine.ids.new = ids  # type: ignore[method-assign]

    async def _call(self, engine: Engine, case: Case, dice: Random, turn: int) -> None:
        """Call steps that wait, when their time has come; and cancel, where that is to be."""
        if case.cancel_after is not None and turn >= case.cancel_after:
            case.cancel_after = None
            case.cancelled = True
            with contextlib.suppress(IllegalStateChange):
                await engine.operations.cancel(case.execution_id, by=SYSTEM)
        # A step that calls a flow waits too, and not for this.
        waiting = [
            path
            for path in await engine.store.waits(case.execution_id)
            if path.rpartition("/")[2] in case.flow.plan.calls
        ]
        early = {path for path, call in case.reference.waits.items() if call.when == "early"}
        for path in sorted(early.union(waiting) - case.sent):
            step_id, call = path.rpartition("/")[2], case.reference.call(path)
            if call.when == "never":
                continue
            if dice.random() < 0.5:
                continue
            now, payload = engine.clock.now(), pack_callback(Arrived(body=raw_json(call.body)))
            answer = await engine.callbacks.deliver(
                StoreCallback(
                    engine.ids.new(), case.execution_id, path, case.flow.id, step_id, None, payload, now, None, payload
                )
            )
            if not isinstance(answer, NotWaiting):
                # What was cut off and is retried may not have begun to wait again.
                case.sent.add(path)

    async def _check_left(self, engine: Engine) -> None:
        for case in self.all():
            if case.accepted and (waits := await engine.store.waits(case.execution_id)):
                case.problems.append(f"{waits} still wait")

    def verdict(self) -> str:
        """What was wrong, with the flows that were."""
        cases = [case for case in self.all() if case.accepted]
        for case in cases:
            _compare(case)
        return "\n\n".join(case.described() for case in cases if case.problems)


def _compare_end(case: Case, reference: Reference) -> None:
    """Hold the end of a round to the reference."""
    end, problems = case.ends[-1], case.problems
    if case.cancelled and case.parent is not None and not _may_be_cut_off(case):
        problems.append("it was cancelled, and nothing cut off what had called it")
    if case.vague or reference.outcome is None or case.cancelled:
        return
    code = None if end.error is None else end.error.code
    if end.outcome == "timed_out" and not (case.out_of_time and code == "flow.timed_out"):
        problems.append(f"it ended as timed out, with {end.error}")
    if case.out_of_time:
        return
    expected = "outcome_unknown" if code == OUTCOME_UNKNOWN and reference.outcome == "failed" else reference.outcome
    if end.outcome != expected:
        problems.append(f"it ended as {end.outcome} and not as {reference.outcome}, with {end.error}")
    elif end.error is not None and (end.error.code, end.error.step) not in reference.errors:
        problems.append(f"it failed with {end.error}, and not one of {sorted(reference.errors)}")


def _may_be_cut_off(case: Case) -> bool:
    """Whether the end of something may have cut an execution off: of its caller, or of what the step stands in."""
    caller = case.parent
    if caller is None:
        return False
    timed_out = caller.out_of_time or any(end.outcome == "timed_out" for end in caller.ends)
    rounds = (caller.reference, *caller.past)
    optional = any(one.outcome is None or one.is_optional(case.called_at) for one in rounds)
    return caller.cancelled or timed_out or optional or _may_be_cut_off(caller)


def _compare(case: Case) -> None:
    problems, reference = case.problems, case.refer()
    if len(case.ends) != case.round + 1:
        problems.append(f"it ended {len(case.ends)} times, and was retried {case.round} times")
        return
    _compare_end(case, reference)
    rounds = [*case.past, reference]
    if case.vague or any(one.outcome is None for one in rounds) or case.cancelled:
        return
    if case.out_of_time:
        # Where it was cut off is chance, and so is what reached each `finally` on the way out.
        return
    keys = {idempotency_key(case.execution_id, path): path for one in rounds for path, _ in one.calls}
    keys.update(case.paths)
    called = {(keys.get(key, key), attempt): values for (key, attempt), values in case.called.items()}
    for (path, attempt), seen in called.items():
        if any(one.is_optional(path) for one in rounds):
            continue
        expected = [one.calls[path, attempt]["of"] for one in rounds if (path, attempt) in one.calls]
        if not expected:
            problems.append(f"{path} was called, attempt {attempt}")
        for _, _, value in seen:
            if expected and value not in expected:
                problems.append(f"{path} got {value} and not {expected}")
    once = {path for path, _ in called}
    for path, attempt in reference.calls:
        there = path in once if case.round or path in case.unknown else (path, attempt) in called
        if not there and path not in case.unknown and not reference.is_optional(path):
            problems.append(f"{path} was not called, attempt {attempt}")
    for path in reference.flows:
        if path not in case.children and not reference.is_optional(path):
            problems.append(f"{path} called no flow")
    for record in case.journal.values():
        optional = any(one.is_optional(record.path) for one in rounds)
        if record.state is StepState.WAITING and not optional:
            problems.append(f"{record.path} still waits in the journal")


def _worlds() -> Iterator[Any]:
    """A database and a seed each; by default two over SQLite and one over PostgreSQL, and some more with `long`."""
    for database, few, default in (("sqlite", range(4), 2), ("postgresql", range(4, 6), 1)):
        kind = [pytest.mark.postgres] if database == "postgresql" else []
        for place, seed in enumerate(range(SEEDS) if SEEDS else few):
            marks = [*kind, pytest.mark.long] if place >= default and not SEEDS else kind
            yield pytest.param(database, seed, marks=marks, id=f"{database}-{seed}")


@pytest.fixture
def db(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """What a harness takes: the URL of a schema of its own, or None for a file of SQLite."""
    with postgres_schema() if request.param == "postgresql" else contextlib.nullcontext() as url:
        yield url


@pytest.mark.rule(31)
@pytest.mark.timeout(300)  # it asks PostgreSQL for everything in each of its turns
@pytest.mark.parametrize(("db", "seed"), list(_worlds()), indirect=["db"])
async def test_flows_end_as_the_language_says_wherever_they_are_killed(
    db: str | None, seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    world = World(tmp_path, range(seed * BATCH, (seed + 1) * BATCH), db)
    await world.run(Random(seed), lives=4)
    record_property("executions", sum(case.accepted for case in world.all()))
    record_property("kills", world.kills)
    assert world.verdict() == ""


def test_the_flows_differ(tmp_path: Path) -> None:
    world = World(tmp_path, range(6 * BATCH))
    assert {case.reference.outcome for case in world.cases.values()} >= {"completed", "stopped", "failed"}
