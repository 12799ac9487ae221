"""Messages that a step gathers, on a real store: by count and by time, whatever comes between."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.integration.engine_harness import Harness, act, fails

from hookline.engine import Engine
from hookline.executions.journal.journal import Journal
from hookline.kernel.errors import StoreError
from hookline.kernel.json import decode
from hookline.model.access import SYSTEM
from hookline.model.execution import BATCH, Execution, Outcome, State, StepState
from hookline.model.message import Arrival, Attachment, Envelope, Message
from hookline.operations.replay import Edit


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def gather(step: dict[str, Any] | None = None, /, **settings: Any) -> dict[str, Any]:
    return {"id": "lines", "use": "batch", "with": settings, **(step or {})}


async def leading(harness: Harness, engine: Engine, body: Any = 1) -> str:
    """An execution that waits for others."""
    execution_id = await harness.send(engine, "f", body)
    assert (await harness.until(engine, execution_id, State.WAITING)).reason == BATCH
    return execution_id


async def member(harness: Harness, engine: Engine, body: Any) -> str:
    """One that has joined, and ended."""
    execution_id = await harness.send(engine, "f", body)
    ended = await harness.until(engine, execution_id)
    assert (ended.state, ended.outcome) == (State.SUCCEEDED, Outcome.FILTERED)
    return execution_id


async def output(harness: Harness, engine: Engine, execution_id: str, path: str = "lines") -> Any:
    record = (await harness.journal(engine, execution_id))[path]
    return None if record.output is None else decode(record.output)


async def found(engine: Engine, execution_id: str) -> Execution:
    execution = await engine.store.execution(execution_id)
    assert execution is not None
    return execution


def called(harness: Harness) -> list[Any]:
    return [value for _, _, _, value in harness.probe.calls]


# --- closing ---------------------------------------------------------------------------------------------------------


async def test_the_last_message_lets_the_first_go_on_with_the_list_of_all(harness: Harness) -> None:
    harness.flow("f", [gather(size=3), act("after", ["$.body", "$.headers", "$.trigger.body"])])
    async with harness.engine() as engine:
        leader = await leading(harness, engine, {"n": 1})
        others = [await member(harness, engine, {"n": n}) for n in (2, 3)]
        assert (await harness.until(engine, leader)).outcome is Outcome.COMPLETED
        assert called(harness) == [[[{"n": 1}, {"n": 2}, {"n": 3}], {}, {"n": 1}]]
        assert await output(harness, engine, leader) == {
            "body": [{"n": 1}, {"n": 2}, {"n": 3}],
            "executions": [leader, *others],
        }
        assert await output(harness, engine, others[1]) == {"body": {"batch": leader, "place": 3}}
        assert dict(await engine.store.batches(leader)) == {}
        await leading(harness, engine, {"n": 4})


async def test_the_first_goes_on_also_if_the_store_fails_after_the_last_has_joined(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No time passes here, so that no timer finds it."""
    harness.flow("f", [gather(size=2), act("after")])
    async with harness.engine() as engine:
        await leading(harness, engine)

        async def failing(*_: Any) -> None:
            raise StoreError("the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr(Journal, "commit_closing", failing)
            await harness.send(engine, "f", 2)
            # The leader is delivered, and fails to end, too.
            await harness.until_calls(1)
    assert called(harness) == [[1, 2]]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_batch_is_closed_when_its_time_is_over_also_over_a_restart(harness: Harness, restart: bool) -> None:
    harness.flow("f", [gather(within="10s"), act("after")])
    async with harness.engine() as engine:
        leader = await leading(harness, engine)
        await member(harness, engine, 2)
        if not restart:
            harness.clock.advance(9)
            await member(harness, engine, 3)
            harness.clock.advance(1)
            await harness.until(engine, leader)
    if restart:
        async with harness.engine() as engine:
            await member(harness, engine, 3)
            harness.clock.advance(10)
            await harness.until(engine, leader)
    assert called(harness) == [[1, 2, 3]]


async def test_what_has_equal_keys_is_gathered_together_and_each_adds_what_is_said(harness: Harness) -> None:
    harness.flow("f", [gather(size=2, key=["$.body.customer", "{{ body.day }}"], body="$.body.n"), act("after")])
    async with harness.engine() as engine:
        ann = await leading(harness, engine, {"customer": "ann", "day": 1, "n": 1})
        bob = await leading(harness, engine, {"customer": "bob", "day": 1, "n": 2})
        await leading(harness, engine, {"customer": "ann", "day": "1", "n": 3})
        await member(harness, engine, {"customer": "bob", "day": 1, "n": 4})
        await harness.until(engine, bob)
        await member(harness, engine, {"customer": "ann", "day": 1, "n": 5})
        await harness.until(engine, ann)
        assert called(harness) == [[2, 4], [1, 5]]
        assert decode((await harness.journal(engine, ann))["lines"].output or b"")["body"] == [1, 5]


@pytest.mark.parametrize(("body", "says"), [({}, "customer"), ({"customer": None}, "null")])
async def test_a_message_without_its_key_fails_or_goes_on_alone(harness: Harness, body: Any, says: str) -> None:
    harness.flow("f", [gather(size=2, key="$.body.customer")])
    harness.flow("g", [gather({"on_error": "continue"}, size=2, key="$.body.customer"), act("after")])
    async with harness.engine() as engine:
        ended = await harness.until(engine, await harness.send(engine, "f", body))
        assert ended.error is not None
        assert (ended.error.code, ended.error.step) == ("batch_key_missing", "lines")
        assert says in ended.error.message
        alone = await harness.until(engine, await harness.send(engine, "g", body))
        assert (alone.outcome, called(harness)) == (Outcome.COMPLETED, [body])


async def test_a_new_version_gathers_anew_and_the_old_one_ends_in_its_time(harness: Harness) -> None:
    harness.flow("f", [gather(size=2, within="10s"), act("after")])
    async with harness.engine() as engine:
        old = await leading(harness, engine, 1)
        harness.flow("f", [gather(size=2, within="10s"), act("after", {"new": "$.body"})])
        await engine.version_switch.refresh()
        new = await leading(harness, engine, 2)
        await member(harness, engine, 3)
        await harness.until(engine, new)
        harness.clock.advance(10)
        await harness.until(engine, old)
        assert called(harness) == [{"new": [2, 3]}, [1]]


async def test_a_batch_that_would_be_too_large_is_closed_before(harness: Harness) -> None:
    harness.flow("f", [gather(size=10), act("after", "{{ body | length }}")])
    half = "x" * 4_900_000
    async with harness.engine() as engine:
        leader = await leading(harness, engine, half)
        await member(harness, engine, half)
        await leading(harness, engine, half)
        await harness.until(engine, leader)
        assert called(harness) == [2]


async def test_the_files_of_all_come_with_the_list(harness: Harness) -> None:
    harness.flow("f", [gather(size=2), act("after", "{{ attachments | map(attribute='filename') | list }}")])
    async with harness.engine() as engine:

        async def upload(name: str) -> str:
            writer = await engine.blobs.create()
            await writer.write(name.encode())
            blob = await writer.commit()
            file = Attachment(blob.id, "file", name, "text/plain", blob.size, blob.sha256)
            now, id_ = harness.clock.now(), engine.ids.new()
            arrival = Arrival("webhook", method="POST", received_at=now)
            await engine.intake.accept(
                engine.intake.flow("f"), Envelope(id_, "f", Message(None, {}, (file,)), arrival, now)
            )
            return id_

        leader = await upload("a.txt")
        await harness.until(engine, leader, State.WAITING)
        await harness.until(engine, await upload("b.txt"))
        await harness.until(engine, leader)
        assert called(harness) == [["a.txt", "b.txt"]]


async def test_exact_numbers_keep_their_digits(harness: Harness) -> None:
    trigger = {"use": "webhook", "with": {"verify": "none", "numbers": "exact"}}
    harness.flow("f", [gather(size=2), act("after", "{{ body | map('string') | join(' ') }}")], trigger=trigger)
    async with harness.engine() as engine:
        leader = await leading(harness, engine, decode(b"0.10000000000000000001", exact=True))
        await member(harness, engine, decode(b"1.10", exact=True))
        await harness.until(engine, leader)
        assert called(harness) == ["0.10000000000000000001 1.10"]


# --- blocks ----------------------------------------------------------------------------------------------------------


async def test_who_joins_in_a_switch_ends_and_runs_nothing_behind_it_either(harness: Harness) -> None:
    switch = {"id": "s", "switch": [{"when": "{{ body > 0 }}", "steps": [gather(size=2), act("inside")]}]}
    harness.flow("f", [switch, act("behind")])
    async with harness.engine() as engine:
        leader = await harness.send(engine, "f", 1)
        await harness.until(engine, leader, State.WAITING)
        await member(harness, engine, 2)
        await harness.until(engine, leader)
        assert harness.probe.steps() == ["inside", "behind"]
        await harness.until(engine, await harness.send(engine, "f", 0))
        assert called(harness)[-1] == 0


async def test_who_joins_in_a_try_runs_its_finally(harness: Harness) -> None:
    tries = {"id": "t", "try": [gather(size=2), act("inside")], "finally": [act("last", "$.trigger.body")]}
    harness.flow("f", [tries, act("behind")])
    async with harness.engine() as engine:
        leader = await harness.send(engine, "f", 1)
        await harness.until(engine, leader, State.WAITING)
        await member(harness, engine, 2)
        await harness.until(engine, leader)
        assert sorted((step, str(value)) for step, _, _, value in harness.probe.calls) == [
            ("behind", "[1, 2]"),
            ("inside", "[1, 2]"),
            ("last", "1"),
            ("last", "2"),
        ]


async def test_two_steps_of_a_flow_gather_one_after_the_other(harness: Harness) -> None:
    second = {"id": "pairs", "use": "batch", "with": {"size": 2}}
    harness.flow("f", [gather(size=2), second, act("after")])
    async with harness.engine() as engine:
        ids = [await harness.send(engine, "f", n) for n in range(4)]
        ended = [await harness.until(engine, id_) for id_ in ids]
        assert sorted(one.outcome or "" for one in ended) == ["completed", "filtered", "filtered", "filtered"]
        (pairs,) = called(harness)
        assert sorted(n for pair in pairs for n in pair) == [0, 1, 2, 3]


async def test_a_waiting_execution_takes_none_of_the_flows_slots(harness: Harness) -> None:
    harness.flow("f", [gather(size=3), act("after")], concurrency=1)
    async with harness.engine() as engine:
        leader = await leading(harness, engine, 1)
        for n in (2, 3):
            await member(harness, engine, n)
        await harness.until(engine, leader)
        assert called(harness) == [[1, 2, 3]]


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cancelled", "cancelled while it can't run", "out of time"])
async def test_who_has_to_end_takes_what_was_gathered_first_and_it_can_be_replayed(harness: Harness, how: str) -> None:
    timeout = {"timeout": "1m"} if how == "out of time" else {}
    harness.flow("f", [gather(size=9), act("after")], **timeout)
    async with harness.engine() as engine:
        leader = await leading(harness, engine)
        await member(harness, engine, 2)
        if how == "cancelled":
            await engine.operations.cancel(leader, by=SYSTEM)
        elif how == "out of time":
            harness.clock.advance(60)
        if how != "cancelled while it can't run":
            await harness.until(engine, leader)
    if how == "cancelled while it can't run":
        probe, harness.plugins = harness.probe, [object()]
        harness.probe = harness.plugins[0]  # type: ignore[assignment]  # it has none of the actions
        harness.plugins = []
        async with harness.engine() as engine:
            await engine.operations.cancel(leader, by=SYSTEM)
            await harness.until(engine, leader)
        harness.probe = probe
    async with harness.engine() as engine:
        ended = await found(engine, leader)
        assert ended.outcome is (Outcome.TIMED_OUT if timeout else Outcome.CANCELLED)
        assert (await output(harness, engine, leader))["body"] == [1, 2]
        assert dict(await engine.store.batches(leader)) == {}
        assert called(harness) == []
        again = await engine.operations.replay(leader, step="lines", by=SYSTEM)
        assert (await harness.until(engine, again)).outcome is Outcome.COMPLETED
        assert called(harness) == [[1, 2]]


async def test_a_leader_that_fails_is_one_dead_letter_and_its_retry_gathers_nothing_again(harness: Harness) -> None:
    harness.flow("f", [gather(size=2), act("after")])
    harness.probe.does["after"] = fails(1, retryable=False)
    async with harness.engine() as engine:
        leader = await leading(harness, engine)
        await member(harness, engine, 2)
        assert (await harness.until(engine, leader)).outcome is Outcome.FAILED
        (group,) = (await engine.store.dead_letters()).items
        assert (group.count, group.newest) == (1, leader)
        await engine.operations.retry(leader, by=SYSTEM)
        assert (await harness.until(engine, leader)).outcome is Outcome.COMPLETED
        assert called(harness) == [[1, 2], [1, 2]]


async def test_a_replay_from_the_step_or_behind_it_has_the_list_and_one_from_before_comes_anew(
    harness: Harness,
) -> None:
    harness.flow("f", [gather(size=2), act("a"), act("b")])
    async with harness.engine() as engine:
        leader = await leading(harness, engine)
        other = await member(harness, engine, 2)
        await harness.until(engine, leader)
        harness.probe.calls.clear()
        edited = await engine.operations.replay(leader, step="b", edit=Edit(body=b'"edited"'), by=SYSTEM)
        await harness.until(engine, edited)
        await harness.until(engine, await engine.operations.replay(leader, step="a", by=SYSTEM))
        await harness.until(engine, await engine.operations.replay(leader, step="lines", by=SYSTEM))
        assert called(harness) == ["edited", *[[1, 2]] * 4]
        same = await harness.until(engine, await engine.operations.replay(other, step="lines", by=SYSTEM))
        assert (same.outcome, await output(harness, engine, same.id)) == (
            Outcome.FILTERED,
            {"body": {"batch": leader, "place": 2}},
        )
        anew = await engine.operations.replay(leader, step="lines", edit=Edit(body=b"3"), by=SYSTEM)
        async with asyncio.timeout(30):
            while (await found(engine, anew)).reason != BATCH:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        await harness.until(engine, await engine.operations.replay(other, by=SYSTEM))
        await harness.until(engine, anew)
        assert called(harness)[-1] == [3, 2]


async def test_a_leader_is_moved_to_another_version_with_what_it_has_gathered(harness: Harness) -> None:
    harness.flow("f", [gather(size=9, within="10s"), act("after")])
    async with harness.engine() as engine:
        leader = await leading(harness, engine)
        await member(harness, engine, 2)
        harness.flow("f", [gather(size=9, within="10s"), act("after", {"new": "$.body"})])
        await engine.version_switch.refresh()
        await engine.migration.migrate(leader, "current", by=SYSTEM)
        await harness.until(engine, leader, State.WAITING)
        harness.clock.advance(10)
        await harness.until(engine, leader)
        assert called(harness) == [{"new": [1, 2]}]


async def test_many_at_once_are_each_in_one_batch(harness: Harness) -> None:
    harness.flow("f", [gather(size=7, within="10s"), act("after")])
    async with harness.engine() as engine:
        ids = await asyncio.gather(*(harness.send(engine, "f", n) for n in range(100)))
        async with asyncio.timeout(30):
            while len(harness.probe.calls) < 14:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        harness.clock.advance(10)
        for id_ in ids:
            await harness.until(engine, id_)
        lists = called(harness)
        assert sorted(len(one) for one in lists) == [2, *[7] * 14]
        assert sorted(n for one in lists for n in one) == list(range(100))
        states = [(await harness.journal(engine, id_))["lines"].state for id_ in ids]
        assert set(states) == {StepState.SUCCEEDED}
