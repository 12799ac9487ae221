"""A model check of the fencing: an adversary decides which node sends its next statement to a real PostgreSQL.

Nodes are paused, cut off from their sessions, killed and taken over from, between any two statements, and what they
have sent arrives late. What must hold is judged after each step, from what is durable then.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, ClassVar

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from sqlalchemy import NullPool, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.acceptance.postgres import postgres_schema
from tests.integration.plugins.sqlstore.fencing_cluster import Cluster
from tests.integration.plugins.sqlstore.fencing_judge import Broken

from hookline_sqlstore import node_lease
from hookline_sqlstore.databases import table_versions
from hookline_sqlstore.dialect import Statement
from hookline_sqlstore.writing import accepting, node_agreements, statements

pytestmark = [pytest.mark.postgres, pytest.mark.long, pytest.mark.cluster_rule("C1", "C2", "C3", "C6")]

#: So many schedules are tried, if the environment says so; by default there are a few.
SCHEDULES = int(os.environ.get("HOOKLINE_TEST_MODEL_SEEDS", "0"))
FEW = 10
#: Within so many schedules, each planted fault is found, mostly within a few.
ENOUGH = 2000
STEPS = 60

WORKS = (
    "accept", "accept and start", "accept in order", "cancel", "claim", "go on", "record", "park", "end",
    "take over", "release", "zombie",
)  # fmt: skip
DECISIONS = ("step", "pause", "take over", "cut", "kill", "late", "end late", "change")
_decisions = st.sampled_from((*["step"] * 16, *["take over"] * 3, *["late"] * 3, *DECISIONS))
_nodes = st.integers(0, 2)
_works = st.lists(st.sampled_from((*WORKS, *["claim", "go on", "record", "zombie"] * 2)), min_size=1, max_size=3)
_picks = st.integers(0, 7)
_statements = st.sampled_from((1, 2, 3, 20, 20))


class Room:
    """A schema, the sessions' engine, and an event loop that stands still between steps."""

    def __init__(self, url: str) -> None:
        address = make_url(url)
        self._schema = str(address.query["schema"])
        # What is lost in a crash of the server isn't the subject here.
        settings_ = {"search_path": self._schema, "synchronous_commit": "off"}
        self._plain = address.set(query={}).render_as_string(hide_password=False)
        self._settings = settings_
        self.engine = create_async_engine(
            address.set(drivername="postgresql+asyncpg", query={}),
            poolclass=NullPool,
            connect_args={"server_settings": settings_},
        )
        self.runner = asyncio.Runner()
        self.watching: Any = None

    async def open(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(text(f'CREATE SCHEMA "{self._schema}"'))
            await connection.commit()
            await connection.run_sync(table_versions.upgrade)
        self.watching = await asyncpg.connect(self._plain, server_settings=self._settings)

    async def close(self) -> None:
        await self.watching.close()
        await self.engine.dispose()


class Scheduler(RuleBasedStateMachine):
    """The adversary. Each of its decisions has the same form whatever has happened, so that it can be repeated."""

    room: ClassVar[Room]

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(self.room.engine, self.room.watching)
        self.broken = False
        try:
            self._run(self.cluster.begin())
        except BaseException:
            # Nothing is torn down that was never there.
            self.room.runner.run(self.cluster.close())
            raise

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self.room.runner.run(work)
        except BaseException:
            self.broken = True
            raise

    @rule(decision=_decisions, node=_nodes, other=_nodes, works=_works, pick=_picks, statements_=_statements)
    def decide(self, decision: str, node: int, other: int, works: list[str], pick: int, statements_: int) -> None:
        cluster, one = self.cluster, self.cluster.nodes[node]
        match decision:
            case "step":
                self._run(cluster.step(one, works, pick, statements_))
            case "pause":
                self._run(cluster.expire(one))
            case "take over":
                self._run(cluster.take_over(one, cluster.nodes[other], statements_))
            case "cut":
                self._run(cluster.cut(one, works, pick))
            case "kill":
                self._run(cluster.kill(one))
            case "late":
                self._run(cluster.late(pick, statements_))
            case "end late":
                self._run(cluster.end_late(pick))
            case "change":
                self._run(cluster.change())

    def teardown(self) -> None:
        try:
            if not self.broken:
                self._run(self.cluster.drain())
        finally:
            self.room.runner.run(self.cluster.close())


@pytest.fixture
def room() -> Iterator[Room]:
    # Of its own for each test: a schedule that broke a rule may leave a transaction open.
    with postgres_schema() as url:
        made = Room(url)
        with made.runner as runner:
            runner.run(made.open())
            yield made
            runner.run(made.close())


@pytest.fixture
def scheduler(room: Room) -> type[Scheduler]:
    class Here(Scheduler):
        pass

    Here.room = room
    return Here


def _settings(schedules: int, **more: Any) -> settings:
    return settings(
        max_examples=schedules,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )


@pytest.mark.timeout(60 if not SCHEDULES else 0)
def test_no_schedule_of_statements_breaks_a_rule(scheduler: type[Scheduler]) -> None:
    many = _settings(SCHEDULES) if SCHEDULES else _settings(FEW, derandomize=True)
    run_state_machine_as_test(scheduler, settings=many)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> "Plant":
    return Plant(monkeypatch)


class Plant:
    """Plants faults in the product."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def renewal_without_condition(self) -> None:
        self._monkeypatch.setattr(node_lease, "_HOLDS", "TRUE")

    def claim_of_what_is_owned(self) -> None:
        planted = _replaced(str(node_agreements._CLAIM[False]), " AND owner IS NULL", "")
        self._monkeypatch.setitem(node_agreements._CLAIM, False, text(planted))

    def entry_by_anybody(self) -> None:
        self._in_statement(statements.RECORD, "executions.owner = current_setting('hookline.lease')", "TRUE")

    def end_by_anybody(self) -> None:
        self._in_statement(statements.END, "executions.owner IS NULL AND executions.state <> 'running'", "TRUE")

    def turn_beside_another(self) -> None:
        for accept in accepting._VARIANTS.values():
            self._in_statement(accept, "v.order_seq IS NOT NULL AND EXISTS", "FALSE AND EXISTS")

    def place_that_is_taken(self) -> None:
        self._in_statement(statements.LINES, "lines.last + excluded.last", "excluded.last")

    def _in_statement(self, statement: Statement, part: str, by: str) -> None:
        planted = _replaced(statement.for_postgres, part, by)
        self._monkeypatch.setitem(vars(statement), "for_postgres", planted)


def _replaced(statement: str, part: str, by: str) -> str:
    assert part in statement
    return statement.replace(part, by)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fault",
    [
        Plant.renewal_without_condition,
        Plant.claim_of_what_is_owned,
        Plant.entry_by_anybody,
        Plant.end_by_anybody,
        Plant.turn_beside_another,
        Plant.place_that_is_taken,
    ],
)
def test_a_planted_fault_is_found(scheduler: type[Scheduler], plant: Plant, fault: Callable[[Plant], None]) -> None:
    fault(plant)
    with pytest.raises((Broken, BaseExceptionGroup)) as found:
        run_state_machine_as_test(
            scheduler,
            settings=_settings(ENOUGH, derandomize=True, phases=(Phase.generate,), report_multiple_bugs=False),
        )
    # A group, if the schedule was run again, and ended otherwise then.
    assert isinstance(found.value, Broken) or found.value.subgroup(Broken) is not None
