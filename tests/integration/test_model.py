"""Flows made by chance, killed at commits made by chance: they end as the rules of the language say.

A batch of flows runs in one engine, which is dropped at some commit, as by `kill -9`, several times over. What is then
held: each ends once, nothing that was journalled is done again, nothing waits any more, and what it did and how it
ended is what the reference says.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hookline.api import Connector, Context, StepError, hookimpl
from hookline.errors import CannotTake, IllegalStateChange, StoreError
from hookline.ids import idempotency_key
from hookline.model.callback import Call as Arrived
from hookline.model.callback import pack_callback, raw_json
from hookline.model.execution import FINAL, StepRecord, StepState
from hookline.ports import Accept, CallBack, Change, CommitResult, End, Record
from hookline.runtime.engine import Engine
from tests.integration.engine_harness import Harness
from tests.integration.flow_reference import Reference, done
from tests.integration.random_flows import FlowMaker

BODY = [3, 1, 2]
#: Flows that run in one engine.
BATCH = 6


@dataclass
class Case:
    """One flow, and what was seen of its execution."""

    flow_id: str
    flow: dict[str, Any]
    reference: Reference
    execution_id: str = ""
    accepted: bool = False
    cancel_after: int | None = None
    """So many turns of the driver later an operator cancels it."""
    sent: set[str] = field(default_factory=set)
    """The paths for which a call has been made."""
    called: dict[tuple[str, int], list[tuple[int, Any]]] = field(default_factory=dict)
    """For each key and attempt: in which life it was called, and with what."""
    journal: dict[str, StepRecord] = field(default_factory=dict)
    """The last durable entry of each step."""
    paths: dict[str, str] = field(default_factory=dict)
    """From the key of each step of which anything is known to its path."""
    ends: list[End] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


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
        # What is under way when the rest dies takes place all the same, whoever waits for it.
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

    def __init__(self, folder: Path, seeds: Sequence[int]) -> None:
        self.harness = Harness(folder)
        self.harness.probe = self  # type: ignore[assignment]  # a plugin too
        self.life = 0
        self.killed: Killed | None = None
        self.cases: dict[str, Case] = {}
        self.connector = Connector("probe")
        self.connector.action(name="act")(self._act)
        for seed in seeds:
            dice = Random(seed)
            maker = FlowMaker(dice)
            flow = maker.document()
            reference = Reference(flow, maker.plan, BODY)
            reference.run()
            case = Case(f"f{seed}", flow, reference)
            if dice.random() < 0.1:
                case.cancel_after = dice.randint(1, 30)
            self.cases[case.flow_id] = case
            self.harness.flow(case.flow_id, **flow)
        self._by_execution: dict[str, Case] = {}

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [self.connector]

    async def _act(self, ctx: Context[None], value: Any = None) -> int:
        """Do what the plan says."""
        case, key = self._by_execution[ctx.execution_id], ctx.idempotency_key
        if self.killed is not None and self.killed.dead.is_set():
            await asyncio.Event().wait()
        seen = case.called.setdefault((key, ctx.attempt), [])
        if any(life == self.life for life, _ in seen):
            case.problems.append(f"{ctx.step_id} was called twice in one life, attempt {ctx.attempt}")
        seen.append((self.life, value["of"]))
        past = case.journal.get(case.paths.get(key, ""))
        if past is not None and past.state in (StepState.SUCCEEDED, StepState.FAILED):
            case.problems.append(f"{past.path} was called after it had {past.state}")
        if past is not None and past.attempt >= ctx.attempt:
            case.problems.append(f"attempt {ctx.attempt} at {past.path} was called after {past.attempt} was journalled")
        plan = case.reference.plan.act(ctx.step_id, value["index"])
        for _ in range(plan.turns):
            await asyncio.sleep(0)
        if ctx.attempt <= plan.away:
            raise StepError("away", code="probe.away", retryable=True)
        if plan.for_good:
            raise StepError("no", code="probe.no")
        return done(ctx.step_id, value["of"])

    def durable(self, change: Change) -> None:
        """Take note of what a commit has made durable."""
        if isinstance(change, Accept):
            self._by_execution[change.envelope.execution_id].accepted = True
        elif isinstance(change, Record):
            case = self._by_execution[change.execution_id]
            for record in change.steps:
                case.journal[record.path] = record
                case.paths[idempotency_key(case.execution_id, record.path)] = record.path
        elif isinstance(change, End):
            self._by_execution[change.execution_id].ends.append(change)

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
            commits = None if last else dice.randint(1, 12 * len(self.cases) if life else 25 * len(self.cases))
            self.killed = Killed(engine, self, commits, before=dice.random() < 0.5)
            try:
                await engine.start()
                await self._drive(engine, dice, self.killed)
            except (StoreError, CannotTake):
                if not self.killed.dead.is_set():
                    raise
            finally:
                with contextlib.suppress(StoreError):
                    await engine.stop(0)

    async def _drive(self, engine: Engine, dice: Random, killed: Killed) -> None:
        for case in self.cases.values():
            if not case.accepted:
                await self._send(engine, case)
        left = set(self.cases)
        for turn in range(3000):
            await asyncio.sleep(0.001)
            if killed.dead.is_set():
                return
            for flow_id in sorted(left):
                case = self.cases[flow_id]
                execution = await engine.store.execution(case.execution_id)
                assert execution is not None
                if execution.state in FINAL:
                    left.remove(flow_id)
                    await self._check_left(engine, case)
                    continue
                await self._call(engine, case, dice, turn)
            if not left:
                return
            self.harness.clock.advance(dice.choice([0.3, 0.3, 1, 6]))
        for flow_id in left:
            case = self.cases[flow_id]
            execution = await engine.store.execution(case.execution_id)
            case.problems.append(f"it never ended: {execution}")

    async def _send(self, engine: Engine, case: Case) -> None:
        # The engine gives an execution its id; what it calls is to be known before it does.
        ids, engine.ids.new = engine.ids.new, lambda: case.execution_id  # type: ignore[method-assign]
        try:
            await self.harness.send(engine, case.flow_id, BODY)
        finally:
            engine.ids.new = ids  # type: ignore[method-assign]

    async def _call(self, engine: Engine, case: Case, dice: Random, turn: int) -> None:
        """Call steps that wait, when their time has come; and cancel, where that is to be."""
        if case.cancel_after is not None and turn >= case.cancel_after:
            case.cancel_after = None
            case.reference.outcome = None
            case.reference.optional.add("")
            with contextlib.suppress(IllegalStateChange):
                await engine.cancel(case.execution_id)
        waiting = await engine.store.waits(case.execution_id)
        early = {path for path, call in case.reference.waits.items() if call.when == "early"}
        for path in sorted(early.union(waiting) - case.sent):
            step_id, call = path.rpartition("/")[2], case.reference.call(path)
            if call.when == "never":
                continue
            if dice.random() < 0.5:
                continue
            now, payload = engine.clock.now(), pack_callback(Arrived(body=raw_json(call.body)))
            await engine.call_back(
                CallBack(
                    engine.ids.new(), case.execution_id, path, case.flow_id, step_id, None, payload, now, None, payload
                )
            )
            case.sent.add(path)

    async def _check_left(self, engine: Engine, case: Case) -> None:
        if waits := await engine.store.waits(case.execution_id):
            case.problems.append(f"{waits} still wait")

    def verdict(self) -> str:
        """What was wrong, with the flows that were."""
        for case in self.cases.values():
            _compare(case)
        return "\n\n".join(
            "\n".join([case.flow_id, *dict.fromkeys(case.problems), json.dumps(case.flow), repr(case.reference.plan)])
            for case in self.cases.values()
            if case.problems
        )


def _compare(case: Case) -> None:
    problems, reference = case.problems, case.reference
    if len(case.ends) != 1:
        problems.append(f"it ended {len(case.ends)} times")
        return
    (end,) = case.ends
    if reference.outcome is None:
        return
    if end.outcome != reference.outcome:
        problems.append(f"it ended as {end.outcome} and not as {reference.outcome}, with {end.error}")
        return
    if end.error is not None and (end.error.code, end.error.step) not in reference.errors:
        problems.append(f"it failed with {end.error}, and not one of {sorted(reference.errors)}")
    keys = {idempotency_key(case.execution_id, path): path for path, _ in reference.calls}
    keys.update(case.paths)
    called = {(keys.get(key, key), attempt): values for (key, attempt), values in case.called.items()}
    for (path, attempt), values in called.items():
        if reference.is_optional(path):
            continue
        if (path, attempt) not in reference.calls:
            problems.append(f"{path} was called, attempt {attempt}")
            continue
        expected = reference.calls[path, attempt]["of"]
        for _, value in values:
            if value != expected:
                problems.append(f"{path} got {value} and not {expected}")
    for path, attempt in reference.calls:
        if (path, attempt) not in called and not reference.is_optional(path):
            problems.append(f"{path} was not called, attempt {attempt}")
    for record in case.journal.values():
        if record.state is StepState.WAITING and not reference.is_optional(record.path):
            problems.append(f"{record.path} still waits in the journal")


@pytest.mark.parametrize("seed", range(6))
async def test_flows_end_as_the_language_says_wherever_they_are_killed(seed: int, tmp_path: Path) -> None:
    world = World(tmp_path, range(seed * BATCH, (seed + 1) * BATCH))
    await world.run(Random(seed), lives=4)
    assert world.verdict() == ""
    outcomes = Counter(case.ends[0].outcome for case in world.cases.values())
    assert len(outcomes) > 1, "the flows differ"
