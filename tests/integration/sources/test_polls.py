"""Flows that are started by what a poll finds: nothing is lost, nothing comes twice, and failures are shown."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import pytest
import structlog
from pydantic import BaseModel, SecretStr
from tests.integration.engine_harness import Hang, Harness, act
from tests.metric_samples import sample

from hookline.api import (
    Attachment,
    Connector,
    PollContext,
    PollItem,
    PollResult,
    PollTrigger,
    ResetsCursor,
    StepError,
    hookimpl,
)
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.flows.compiler.compile import compile_flow
from hookline.intake.intake import Intake
from hookline.kernel.errors import StoreError
from hookline.model.access import SYSTEM
from hookline.model.execution import ExecutionFilter
from hookline.storage.change_declarations import Change, CommitResult, SetCursor
from hookline.testing.clock import START, ManualClock
from hookline.testing.eventually import assert_eventually

REGISTRY = load_plugins()


class ShopKey(BaseModel):
    token: SecretStr


class Shop:
    """A plugin whose trigger gives what the test says; it remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, str, int]] = []
        """Cursor, folder, number."""
        self.does: Callable[[PollContext[Any], Any], Awaitable[Any]] = _nothing
        shop = Connector("shop", credential=ShopKey)
        self.connector = shop

        @shop.poll(every="1m")
        async def orders(
            ctx: PollContext[ShopKey | None], cursor: Any, folder: Annotated[str, ResetsCursor()] = "in", n: int = 1
        ) -> PollResult:
            """Starts an execution for each new order."""
            self.asked.append((cursor, folder, n))
            polled: PollResult = await self.does(ctx, cursor)
            return polled

        @shop.poll(every="10s", timeout="30s", name="locked")
        async def locked(ctx: PollContext[ShopKey], cursor: Any) -> PollResult:
            """Needs a key."""
            return PollResult([PollItem("key", ctx.credential.token.get_secret_value())], 1)

    @hookimpl
    def register_connectors(self) -> list[Connector]:
        return [self.connector]


async def _nothing(_ctx: Any, cursor: Any) -> PollResult:
    return PollResult((), cursor)


def counting(upto: int = 1000) -> Callable[[PollContext[Any], Any], Awaitable[PollResult]]:
    """Each time the next number."""

    async def does(_ctx: Any, cursor: Any) -> PollResult:
        number = (cursor or 0) + 1
        return PollResult([PollItem(str(number), number)] if number <= upto else [], min(number, upto))

    return does


def gives(*polled: Any) -> Callable[[PollContext[Any], Any], Awaitable[Any]]:
    """One after the other; then nothing."""
    left = list(polled)

    async def does(_ctx: Any, cursor: Any) -> Any:
        if not left:
            return PollResult((), cursor)
        given = left.pop(0)
        if isinstance(given, BaseException):
            raise given
        return given

    return does


@pytest.fixture
def shop(harness: Harness) -> Shop:
    made = Shop()
    harness.plugins.append(made)
    return made


def polled_flow(harness: Harness, flow_id: str = "f", trigger: Any = None, **settings: Any) -> None:
    """A flow that also takes what exists when its poll begins, unless the trigger says otherwise."""
    given = trigger or {"use": "shop.orders"}
    harness.flow(
        flow_id, [act("one")], trigger={**given, "with": {"existing": True, **given.get("with", {})}}, **settings
    )


async def pass_time(harness: Harness, seconds: float) -> None:
    harness.clock.advance(seconds)
    await asyncio.sleep(0)


async def test_each_item_is_a_message_and_the_cursor_goes_on_after_a_restart(harness: Harness, shop: Shop) -> None:
    shop.does = counting()
    polled_flow(harness)
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        assert await harness.bodies(engine, "f", 1) == [1]
        await pass_time(harness, 60)
        assert await harness.bodies(engine, "f", 2) == [1, 2]
        await harness.looked(engine, "f")
    async with harness.engine() as engine:
        await harness.bodies(engine, "f", 3)
        await harness.until_calls(3)
    assert [asked[0] for asked in shop.asked] == [None, 1, 2]
    assert [value for _, _, _, value in harness.probe.calls] == [1, 2, 3]


async def test_headers_and_the_arrival_say_where_a_message_comes_from(harness: Harness, shop: Shop) -> None:
    shop.does = gives(PollResult([PollItem("a", {"at": START}, {"X-Kind": "order"})], 1))
    polled_flow(harness)
    async with harness.engine() as engine:
        assert await harness.bodies(engine, "f", 1) == [{"at": "2026-01-31T08:00:00.000000Z"}]
        (summary,) = (await engine.store.executions(ExecutionFilter(flow_id="f"))).items
        envelope = await engine.store.envelope(summary.execution.id)
        assert envelope is not None
        assert (envelope.arrival.use, envelope.message.headers) == ("shop.orders", {"x-kind": "order"})


async def test_an_item_that_comes_again_starts_nothing_within_its_window(harness: Harness, shop: Shop) -> None:
    item = PollItem("same", "x")
    shop.does = gives(PollResult([item, item], 1), PollResult([item], 2), PollResult([item], 3))
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"dedupe_window": "90s"}})
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        await pass_time(harness, 60)
        await harness.looked(engine, "f")
        assert await harness.bodies(engine, "f") == ["x"]
        await harness.until_calls(1)
        assert engine.intake.backlog("f") == 0
        await pass_time(harness, 60)
        assert await harness.bodies(engine, "f", 2) == ["x", "x"]


async def test_where_there_is_more_it_is_asked_at_once(harness: Harness, shop: Shop) -> None:
    shop.does = gives(
        PollResult([PollItem("1", 1)], 1, more=True), PollResult([PollItem("2", 2)], 2), PollResult((), 2, more=True)
    )
    polled_flow(harness)
    async with harness.engine() as engine:
        status = await harness.looked(engine, "f")
        assert sorted(await harness.bodies(engine, "f", 2)) == [1, 2]
        assert len(shop.asked) == 2
        await pass_time(harness, 60)
        status = await harness.looked(engine, "f")
        assert len(shop.asked) == 3, "more of nothing would be asked without end"
        assert status.next_at == START + timedelta(seconds=120)


async def test_a_failure_is_shown_backs_off_and_loses_nothing(harness: Harness, shop: Shop) -> None:
    away = StepError("the shop is closed", code="shop.closed")
    shop.does = gives(away, away, away, PollResult([PollItem("a", "late")], 1))
    polled_flow(harness)
    async with harness.engine() as engine:
        waits = []
        for _ in range(3):
            before = harness.clock.now()
            status = await harness.looked(engine, "f")
            assert status.error == "shop.closed: the shop is closed"
            assert status.next_at is not None
            waits.append((status.next_at - before).total_seconds())
            await pass_time(harness, waits[-1])
        assert waits == [30, 60, 120]
        assert await harness.bodies(engine, "f", 1) == ["late"]
        status = await harness.looked(engine, "f")
        assert (status.error, status.failures) == (None, 0)
        assert sample(engine.metrics.exposition(), "hookline_polls_total", flow="f", result="failed") == 3.0


async def test_the_other_side_may_say_when_to_come_again_and_no_wait_is_longer_than_an_hour(
    harness: Harness, shop: Shop
) -> None:
    shop.does = gives(StepError("busy", retry_after=400), *[StepError("away")] * 9)
    polled_flow(harness)
    async with harness.engine() as engine:
        waits = []
        for _ in range(10):
            before = harness.clock.now()
            status = await harness.looked(engine, "f")
            assert status.next_at is not None
            waits.append((status.next_at - before).total_seconds())
            harness.clock.advance(waits[-1])
            await asyncio.sleep(0)
        assert waits[0] == 400
        assert waits[-2:] == [3600, 3600]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (ZeroDivisionError("by zero"), "has a defect: ZeroDivisionError: by zero"),
        (asyncio.CancelledError(), "has a defect: CancelledError"),
        ([PollItem("a", 1)], "it returned list instead of a PollResult"),
        (PollResult([PollItem("a", object())], 1), "which has no JSON form"),
        (PollResult(["a"], 1), "is not a PollItem"),  # type: ignore[list-item]
        (PollResult([PollItem("a", 1, attachments=("x",))], 1), "is not an Attachment"),  # type: ignore[arg-type]
        (PollResult([PollItem("a", "x\udc80")], 1), "a text in its cursor or in the body of an item is no Unicode"),
        (
            PollResult([PollItem("a", {"x\udc80": 1})], 1),
            "a text in its cursor or in the body of an item is no Unicode",
        ),
        (PollResult([PollItem("a", {"x\udc80": object()})], 1), "which has no JSON form"),
        (PollResult((), ["x\udc80"]), "a text in its cursor or in the body of an item is no Unicode"),
        (StepError("x\udc80 at Shop", code="shop.odd"), "shop.odd: x\\udc80 at Shop"),
        (PollResult([PollItem(str(n), n) for n in range(1001)], 1), "it returned 1001 items; at most 1000"),
        (PollResult((), "x" * 5_000_000), "its cursor has 5000002 bytes; at most"),
    ],
)
async def test_a_defect_of_a_trigger_is_its_plugins_and_ends_nothing(
    harness: Harness, shop: Shop, given: Any, error: str
) -> None:
    shop.does = gives(given, PollResult([PollItem("b", "well")], 2))
    polled_flow(harness)
    async with harness.engine() as engine:
        status = await harness.looked(engine, "f")
        assert error in (status.error or "")
        assert "Shop" in (status.error or ""), "whose it is"
        await pass_time(harness, 30)
        assert await harness.bodies(engine, "f", 1) == ["well"]


async def test_texts_that_no_store_keeps_are_kept_as_escapes_and_hold_no_item_back(
    harness: Harness, shop: Shop
) -> None:
    named = Attachment("0" * 64, "n\udc80", "f\udc80", "text/plain", 1, "0" * 64)
    odd = [
        PollItem("a\udc80", "one", {"h\udc80": "\udc80"}),
        PollItem("a\udc81", "two", attachments=(named,)),
        PollItem("good", "three"),
    ]
    shop.does = gives(PollResult(odd, 1), PollResult(odd, 2))
    polled_flow(harness)
    async with harness.engine() as engine:
        assert sorted(await harness.bodies(engine, "f", 3)) == ["one", "three", "two"]
        found = [await engine.store.envelope(one.execution.id) for one in (await engine.store.executions()).items]
        assert {envelope.dedupe_key for envelope in found if envelope} == {"s:a\\udc80", "s:a\\udc81", "s:good"}
        assert {"h\\udc80": "\\udc80"} in [envelope.message.headers for envelope in found if envelope]
        kept = [one for envelope in found if envelope for one in envelope.message.attachments]
        assert [(one.name, one.filename) for one in kept] == [("n\\udc80", "f\\udc80")]
        await pass_time(harness, 60)
        await harness.looked(engine, "f")
        assert len(await harness.bodies(engine, "f")) == 3, "they are known again"


async def test_a_defect_of_the_engine_is_shown_until_the_source_works_again(
    harness: Harness, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> int:
        raise ValueError("secret")

    shop.does = counting()
    polled_flow(harness)
    async with harness.engine() as engine:
        status = await harness.looked(engine, "f")
        with monkeypatch.context() as broken:
            broken.setattr(Intake, "store_from_source", fails)
            await pass_time(harness, 60)
            await assert_eventually(lambda: status.failures == 1)
        assert status.error == "defect of the engine (ValueError); the log says more"
        await pass_time(harness, 60)
        assert await harness.bodies(engine, "f", 2) == [1, 2]
        status = await harness.looked(engine, "f")
        assert (status.error, status.failures) == (None, 0)


async def test_a_look_that_takes_too_long_has_failed(harness: Harness, shop: Shop) -> None:
    hang = Hang()

    async def hangs(_ctx: Any, _cursor: Any) -> Any:
        await hang(None)

    shop.does = hangs
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"timeout": "1s"}})
    async with harness.engine() as engine:
        status = await harness.looked(engine, "f")
        assert status.error == "shop.orders took longer than 1 s"


async def test_what_lacks_its_credential_looks_again_once_it_is_there(harness: Harness, shop: Shop) -> None:
    polled_flow(harness, trigger={"use": "shop.locked", "credential": "key"})
    async with harness.engine() as engine:
        status = await harness.looked(engine, "f")
        assert "'key'" in (status.error or "")
        await engine.credentials.put("key", "probe", {"token": "wrong"}, by=SYSTEM)
        async with asyncio.timeout(30):
            while "is of type probe" not in (status.error or ""):  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
        await engine.credentials.put("key", "shop", {"token": "s3cret"}, by=SYSTEM)
        assert await harness.bodies(engine, "f", 1) == ["s3cret"]


async def test_another_place_to_look_at_begins_anew_and_another_setting_does_not(harness: Harness, shop: Shop) -> None:
    shop.does = counting()
    for given in ({}, {"n": 2}, {"n": 2, "every": "2m"}, {"folder": "other"}):
        polled_flow(harness, trigger={"use": "shop.orders", "with": given})
        async with harness.engine() as engine:
            await harness.looked(engine, "f")
    assert shop.asked == [(None, "in", 1), (1, "in", 2), (2, "in", 2), (None, "other", 1)]


class Ledger:
    """Numbers that a poll returns from the cursor on, two at a time, including the one at the cursor."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)
        self.baselines: list[bool] = []
        self.fails_after: int | None = None

    async def __call__(self, ctx: PollContext[Any], cursor: Any) -> PollResult:
        self.baselines.append(ctx.baseline)
        if len(self.baselines) == self.fails_after:
            raise StepError("away")
        left = [number for number in self.numbers if cursor is None or number >= cursor]
        return PollResult(
            [PollItem(str(number), number) for number in left[:2]], max(left[:2], default=cursor), len(left) > 2
        )


@pytest.mark.rule(45)
async def test_what_exists_when_a_poll_begins_starts_nothing_even_if_it_is_returned_again(
    harness: Harness, shop: Shop
) -> None:
    shop.does = ledger = Ledger(1, 2, 3, 4)
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"existing": False}})
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        assert ledger.baselines == [True, True, True]
        ledger.numbers.append(5)
        await pass_time(harness, 60)
        assert await harness.bodies(engine, "f", 1) == [5]
        await harness.looked(engine, "f")
        await harness.until_calls(1)
    assert harness.probe.calls[0][3] == 5
    assert ledger.baselines == [True, True, True, False]


@pytest.mark.rule(45)
async def test_a_poll_that_keeps_no_cursor_starts_nothing_for_what_existed(harness: Harness, shop: Shop) -> None:
    numbers = [1, 2]

    async def all_of_them(_ctx: Any, _cursor: Any) -> PollResult:
        return PollResult([PollItem(str(number), number) for number in numbers])

    shop.does = all_of_them
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"existing": False}})
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        numbers.append(3)
        await pass_time(harness, 60)
        assert await harness.bodies(engine, "f", 1) == [3]


@pytest.mark.rule(45)
async def test_passing_over_what_exists_goes_on_after_a_failure_and_a_restart(harness: Harness, shop: Shop) -> None:
    shop.does = ledger = Ledger(1, 2, 3, 4, 5)
    ledger.fails_after = 2
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"existing": False}})
    async with harness.engine() as engine:
        assert (await harness.looked(engine, "f")).failures == 1
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        assert await harness.bodies(engine, "f") == []
        ledger.numbers.append(6)
        await pass_time(harness, 60)
        assert await harness.bodies(engine, "f", 1) == [6]
    assert shop.asked[2][0] == 2
    assert ledger.baselines[-1] is False


@pytest.mark.rule(45)
@pytest.mark.parametrize(
    "name", sorted(name for name, one in REGISTRY.triggers.items() if isinstance(one, PollTrigger))
)
def test_each_poll_of_each_plugin_has_the_setting_from_the_engine(name: str) -> None:
    trigger: Any = REGISTRY.triggers[name]
    assert trigger.settings.model_fields["existing"].default is False
    assert "existing" not in trigger.parameters


@pytest.mark.rule(45)
@pytest.mark.parametrize(
    ("setting", "answer", "takes"),
    [(False, None, False), (True, None, True), (False, True, True), (True, False, False)],
)
async def test_a_poll_that_starts_anew_says_so_and_follows_the_answer_or_else_the_trigger(
    harness: Harness, shop: Shop, setting: bool, answer: bool | None, takes: bool
) -> None:
    shop.does = Ledger(1)
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"existing": False}})
    file = harness.folder / "flows" / "f.json"
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        polled_flow(harness, trigger={"use": "shop.orders", "with": {"n": 2, "existing": setting}})
        same = compile_flow(file.read_bytes(), engine.registry)
        assert await engine.operations.restart_poll(same, answer, by=SYSTEM) is None
        shop.does = Ledger(1, 7)
        polled_flow(harness, trigger={"use": "shop.orders", "with": {"folder": "other", "existing": setting}})
        flow = compile_flow(file.read_bytes(), engine.registry)
        restart = await engine.operations.restart_poll(flow, answer, by=SYSTEM)
        assert restart is not None
        assert (restart.changed, restart.existing, restart.answered) == (("folder",), takes, answer is not None)
        with structlog.testing.capture_logs() as log:
            await engine.version_switch.refresh()
            while len(shop.asked) < 2:  # noqa: ASYNC110 - it is several tasks away
                await asyncio.sleep(0.002)
            await harness.looked(engine, "f")
        # The key of 1 says that it was seen before.
        assert await harness.bodies(engine, "f") == ([7] if takes else [])
        (line,) = [one for one in log if one["event"].startswith("a poll starts anew")]
        assert line["settings"] == ["folder"]
        assert line["existing_items"] == ("start executions" if takes else "count as seen")
        assert await engine.operations.restart_poll(flow, by=SYSTEM) is None


async def test_settings_may_come_from_vars(harness: Harness, shop: Shop) -> None:
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"folder": "$.vars.where"}}, vars={"where": "there"})
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
    assert shop.asked == [(None, "there", 1)]


async def test_an_item_that_the_flows_schema_rejects_is_recorded_and_the_others_are_taken(
    harness: Harness, shop: Shop
) -> None:
    shop.does = gives(PollResult([PollItem("a", "text"), PollItem("b", 2)], 1))
    polled_flow(harness, schema={"type": "integer"})
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        assert await harness.bodies(engine, "f", 1) == [2]
        await engine.rejections.flush()
        (rejected,) = (await engine.store.rejected(flow_id="f")).items
        assert (rejected.code, rejected.path) == ("request.schema", "s:a")


async def test_a_poll_that_finds_nothing_writes_nothing(harness: Harness, shop: Shop) -> None:
    shop.does = counting(upto=1)
    polled_flow(harness)
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        kept = await engine.store.cursor("f")
        await pass_time(harness, 60)
        await harness.looked(engine, "f")
        assert len(shop.asked) == 2
        assert await engine.store.cursor("f") == kept


async def test_items_and_cursor_are_one_commit_that_may_be_done_again(
    harness: Harness, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that failed may have taken place: both cases are tried."""
    shop.does = gives(PollResult([PollItem("a", 1), PollItem("b", 2)], 1))
    polled_flow(harness)
    async with harness.engine() as engine:
        monkeypatch.setattr(engine.store, "commit", _unsure(engine, harness.clock))
        waiting = asyncio.ensure_future(harness.looked(engine, "f"))
        while not waiting.done():
            await asyncio.wait((waiting,), timeout=0.01)
            harness.clock.advance(1)
        assert sorted(await harness.bodies(engine, "f")) == [1, 2]
        await harness.until_calls(2)
        assert engine.intake.backlog("f") == 0
        assert json.loads(await engine.store.cursor("f") or b"")["cursor"] == 1


def _unsure(engine: Engine, _clock: ManualClock) -> Callable[[Sequence[Change]], Awaitable[Sequence[CommitResult]]]:
    commit, tries = engine.store.commit, 0

    async def unsure(changes: Sequence[Change]) -> Sequence[CommitResult]:
        nonlocal tries
        if not any(isinstance(change, SetCursor) for change in changes):
            return await commit(changes)
        tries += 1
        if tries == 1:
            raise StoreError("it didn't take place")
        results = await commit(changes)
        if tries == 2:
            raise StoreError("it did")
        return results

    return unsure


async def test_items_run_in_the_order_in_which_they_were_found(harness: Harness, shop: Shop) -> None:
    """Also where they have waited in the store."""
    numbers = list(range(50))
    shop.does = gives(PollResult([PollItem(str(n), n) for n in numbers], 1))
    polled_flow(harness, concurrency=1)
    async with harness.engine() as engine:
        await harness.bodies(engine, "f", 50)
    async with harness.engine():
        await harness.until_calls(50)
    assert [value for _, _, _, value in harness.probe.calls] == numbers


async def test_fractions_stay_exact_where_the_flow_says_so(harness: Harness, shop: Shop) -> None:
    shop.does = gives(PollResult([PollItem("a", Decimal("0.10000000000000000001"))], 1))
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"numbers": "exact"}})
    async with harness.engine() as engine:
        await harness.bodies(engine, "f", 1)
        await harness.until_calls(1)
    assert str(harness.probe.calls[0][3]) == "0.10000000000000000001"


async def test_a_poll_waits_where_the_flow_has_no_room(harness: Harness, shop: Shop) -> None:
    hang = Hang()
    harness.probe.does["one"] = hang
    shop.does = gives(
        PollResult([PollItem("1", 1)], 1),
        PollResult([PollItem("2", 2), PollItem("3", 3)], 2),
        PollResult([PollItem("4", 4)], 3),
    )
    polled_flow(harness, concurrency=1, max_queued=2)
    async with harness.engine() as engine:
        await harness.looked(engine, "f")
        await hang.reached.wait()
        await pass_time(harness, 60)
        await harness.bodies(engine, "f", 3)
        await harness.looked(engine, "f")
        harness.clock.advance(60)
        await asyncio.sleep(0.03)
        assert len(await harness.bodies(engine, "f")) == 3
        assert len(shop.asked) == 3, "what it found is held, and not looked for again"
        del harness.probe.does["one"]
        (running,) = [
            s
            for s in (await engine.store.executions(ExecutionFilter(flow_id="f"))).items
            if s.execution.state == "running"
        ]
        await engine.operations.cancel(running.execution.id, by=SYSTEM)
        await harness.until_calls(3)
        while len(await harness.bodies(engine, "f")) < 4:
            harness.clock.advance(1)
            await asyncio.sleep(0.005)


async def test_a_poll_keeps_to_the_rate_of_its_flow(harness: Harness, shop: Shop) -> None:
    shop.does = counting()
    polled_flow(harness, trigger={"use": "shop.orders", "with": {"every": "1s"}}, rate="2/h")
    async with harness.engine() as engine:
        while len(await harness.bodies(engine, "f")) < 2:
            harness.clock.advance(1)
            await asyncio.sleep(0.005)
        for _ in range(5):
            harness.clock.advance(1)
            await asyncio.sleep(0.01)
        assert len(await harness.bodies(engine, "f")) == 2
        while len(await harness.bodies(engine, "f")) < 3:
            harness.clock.advance(30)
            await asyncio.sleep(0.005)
        assert harness.clock.now() - START >= timedelta(minutes=29)
