"""Steps that run at most once, of actions that can say whether an attempt took effect whose answer never came."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hookline.api import NOT_DONE, NOT_KNOWN, Connector, Context, Signal, StepError, hookimpl
from hookline.errors import PluginError
from hookline.model.execution import OUTCOME_UNKNOWN, Outcome, State, StepState
from tests.integration.engine_harness import Hang, Harness


class Bank:
    """A plugin with an action, and what finds out whether it took effect."""

    def __init__(self) -> None:
        self.paid: list[tuple[int, str]] = []
        self.asked: list[tuple[int, str, str]] = []
        self.pays: Callable[[], Awaitable[Any]] | None = None
        self.says: list[Any] = []
        self.connector = Connector("bank")

        async def find(ctx: Context[None], to: str) -> Any:
            self.asked.append((ctx.attempt, ctx.idempotency_key, to))
            said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
            if isinstance(said, BaseException):
                raise said
            return await said() if callable(said) else said

        @self.connector.action(idempotent=False, probe=find)
        async def pay(ctx: Context[None], to: str, amount: int = 1) -> Any:
            """Pay somebody."""
            self.paid.append((ctx.attempt, ctx.idempotency_key))
            return {"paid": amount} if self.pays is None else await self.pays()

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        """The bank."""
        return [self.connector]


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def harness(tmp_path: Path, bank: Bank) -> Harness:
    made = Harness(tmp_path)
    made.plugins.append(bank)
    return made


def flow(harness: Harness, **settings: Any) -> None:
    pay = {"id": "pay", "use": "bank.pay", "with": {"to": "$.body.to"}, "delivery": "at_most_once", **settings}
    after = {"id": "after", "use": "probe.act", "with": {"value": "$.body"}}
    harness.flow("f", [{"id": "t", "try": [pay, after], "finally": [{"use": "log", "with": {"message": "end"}}]}])


async def stopped_while_it_paid(harness: Harness, bank: Bank) -> str:
    hang = Hang()
    bank.pays = lambda: hang(None)
    async with harness.engine(grace=0) as engine:
        execution_id = await harness.send(engine, "f", {"to": "ann"})
        await hang.reached.wait()
    bank.pays = None
    return execution_id


async def silent() -> Any:
    raise StepError("no answer", code="bank.silent", retryable=True, outcome_unknown=True)


async def for_ever() -> Any:
    await asyncio.Event().wait()


async def test_what_took_place_gives_its_result_after_a_stop(harness: Harness, bank: Bank) -> None:
    flow(harness)
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [{"paid": 7}]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
        entry = (await harness.journal(engine, execution_id))["t/pay"]
        assert (entry.state, entry.attempt) == (StepState.SUCCEEDED, 1)
    assert harness.probe.calls[-1][3] == {"paid": 7}
    assert len(bank.paid) == 1
    ((attempt, key, to),) = bank.asked
    assert (attempt, key, to) == (1, bank.paid[0][1], "ann"), "it is asked with the same key and settings"


async def test_what_did_not_take_place_runs_again_and_is_marked_again(harness: Harness, bank: Bank) -> None:
    flow(harness)
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [NOT_DONE]
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, execution_id)).outcome is Outcome.COMPLETED
        states = [r.state for r in await engine.store.journal(execution_id) if r.path == "t/pay"]
        assert states == [StepState.STARTED, StepState.WAITING, StepState.STARTED, StepState.SUCCEEDED]
    assert [attempt for attempt, _ in bank.paid] == [1, 2]
    assert len({key for _, key in bank.paid}) == 1


async def test_a_second_stop_is_asked_about_too(harness: Harness, bank: Bank) -> None:
    flow(harness)
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [NOT_DONE, {"paid": 2}]
    hang = Hang()
    bank.pays = lambda: hang(None)
    async with harness.engine(grace=0) as engine:
        harness.clock.advance(0)
        task = asyncio.ensure_future(hang.reached.wait())
        while not task.done():
            await asyncio.wait((task,), timeout=0.02)
            harness.clock.advance(1)
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert [attempt for attempt, _ in bank.paid] == [1, 2]
    assert [attempt for attempt, _, _ in bank.asked] == [1, 2]
    assert harness.probe.calls[-1][3] == {"paid": 2}


@pytest.mark.parametrize(
    "says",
    [NOT_KNOWN, StepError("there is no such payment route", code="http.404"), ZeroDivisionError(), for_ever],
    ids=["not known", "an error", "a defect", "no end"],
)
async def test_what_is_not_known_stays_unknown_and_an_operator_may_ask_again(
    harness: Harness, bank: Bank, says: Any
) -> None:
    flow(harness, timeout="50ms")
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [says]
    async with harness.engine() as engine:
        failed = await harness.advance_until(engine, execution_id)
        assert (failed.state, failed.outcome) == (State.FAILED, Outcome.OUTCOME_UNKNOWN)
        assert failed.error is not None
        assert failed.error.message.count("it isn't known whether bank.pay took effect") == 1
        await engine.retry(execution_id)
        again = await harness.advance_until(engine, execution_id)
        assert again.error is not None
        assert (again.outcome, again.error.code) == (Outcome.OUTCOME_UNKNOWN, OUTCOME_UNKNOWN)
        assert again.error.message.count("it isn't known") == 1
        bank.says = [{"paid": 3}]
        await engine.retry(execution_id)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED
    assert len(bank.paid) == 1
    assert harness.probe.calls[-1][3] == {"paid": 3}


async def test_a_probe_whose_service_is_away_is_asked_again(harness: Harness, bank: Bank) -> None:
    flow(harness)
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [StepError("away", retryable=True), StepError("away", retryable=True), {"paid": 5}]
    async with harness.engine() as engine:
        assert (await harness.advance_until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert (len(bank.paid), len(bank.asked)) == (1, 3)


@pytest.mark.parametrize("pays", [silent, for_ever])
async def test_a_probe_is_asked_after_a_timeout(harness: Harness, bank: Bank, pays: Any) -> None:
    flow(harness, timeout="50ms")
    bank.pays, bank.says = pays, [{"paid": 4}]
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"to": "ann"})
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert (len(bank.paid), len(bank.asked)) == (1, 1)


async def test_what_never_takes_place_fails_as_what_it_is(harness: Harness, bank: Bank) -> None:
    flow(harness)
    bank.pays, bank.says = silent, [NOT_DONE]
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"to": "ann"})
        failed = await harness.advance_until(engine, execution_id)
        assert failed.error is not None
        assert (failed.outcome, failed.error.code) == (Outcome.FAILED, "bank.silent")
        assert "took no effect" in failed.error.message
        # It is certain that nothing was done: an operator may let it try again.
        bank.pays = None
        await engine.retry(execution_id)
        assert (await harness.until(engine, execution_id, State.SUCCEEDED)).outcome is Outcome.COMPLETED
    assert len(bank.paid) == 4


async def test_cancelling_while_a_probe_is_asked_leaves_the_outcome_unknown(harness: Harness, bank: Bank) -> None:
    flow(harness)
    asked = Hang()
    bank.pays, bank.says = silent, [lambda: asked(None)]
    async with harness.engine() as engine:
        execution_id = await harness.send(engine, "f", {"to": "ann"})
        await asked.reached.wait()
        await engine.cancel(execution_id)
        done = await harness.until(engine, execution_id)
        assert (done.state, done.outcome) == (State.CANCELLED, Outcome.OUTCOME_UNKNOWN)


async def test_without_at_most_once_nobody_asks(harness: Harness, bank: Bank) -> None:
    flow(harness, delivery="at_least_once")
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [NOT_KNOWN]
    async with harness.engine() as engine:
        assert (await harness.until(engine, execution_id)).outcome is Outcome.COMPLETED
    assert (len(bank.paid), bank.asked) == (2, [])


async def test_settings_that_can_not_be_had_any_more_tell_nothing_of_the_outcome(harness: Harness, bank: Bank) -> None:
    pay = {"id": "pay", "use": "bank.pay", "with": {"to": "$.vars.to"}, "delivery": "at_most_once"}
    harness.flow("f", [pay], vars={"to": "ann"})
    execution_id = await stopped_while_it_paid(harness, bank)
    bank.says = [StepError("there is no 'ann'")]
    async with harness.engine() as engine:
        failed = await harness.until(engine, execution_id)
        assert failed.outcome is Outcome.OUTCOME_UNKNOWN


async def test_what_only_a_probe_may_give_is_a_defect_of_an_action(harness: Harness, bank: Bank) -> None:
    async def odd() -> Signal:
        return NOT_DONE

    flow(harness, delivery="at_least_once")
    bank.pays = odd
    async with harness.engine() as engine:
        failed = await harness.until(engine, await harness.send(engine, "f", {"to": "ann"}))
        assert failed.error is not None
        assert failed.error.code == "connector.defect"


def test_a_probe_takes_settings_of_its_action_alone() -> None:
    bank = Connector("bank")

    async def find(ctx: Context[None], from_whom: str) -> None:
        """Find it."""

    with pytest.raises(PluginError, match="'from_whom', which is no setting of the action; it has to"):

        @bank.action(probe=find)
        async def pay(to: str) -> None:
            """Pay."""

    with pytest.raises(PluginError, match="is pure"):

        @bank.action(probe=find, pure=True)
        async def add(to: str) -> None:
            """Add."""

    with pytest.raises(PluginError, match="must be an async function to be a probe"):
        bank.action(probe=lambda: None)(find)  # type: ignore[arg-type,return-value]  # what is refused
