"""Executions are listed in pages."""

from typing import Any

import pytest

from hookline.model.dead_letter_causes import cause_of
from hookline.model.execution import ErrorInfo, ExecutionFilter, Outcome, State
from hookline.model.message import MAX_TAG, head_of, shortened_key
from hookline.storage.change_declarations import Accept, End, Start
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class ListsContract(StoreFixtures):
    """Executions are listed in pages."""

    async def _ids(self, store: Store, **chosen: Any) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.executions(ExecutionFilter(**chosen), cursor=cursor, limit=3)
            assert len(page.items) <= 3
            found += [item.execution.id for item in page.items]
            if (cursor := page.next) is None:
                return found

    async def test_lists_are_newest_first_in_pages(self, store: Store, envelopes: Envelopes) -> None:
        made = []
        for number in range(10):
            envelope = envelopes.make("orders" if number % 2 else "invoices", body=number)
            made.append(envelope)
            await self._accept(store, envelope)
            if number % 3 == 0:
                now = envelope.accepted_at
                await store.commit([Start(envelope.execution_id, "v1", now)])
                if number % 2 == 0:
                    await store.commit([End(envelope.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now)])
        newest = [(number, made[number].execution_id) for number in reversed(range(10))]
        assert await self._ids(store) == [id_ for _, id_ in newest]
        assert await self._ids(store, flow_id="orders") == [id_ for number, id_ in newest if number % 2]
        assert await self._ids(store, state=State.SUCCEEDED) == [id_ for number, id_ in newest if number % 6 == 0]
        assert await self._ids(store, state=State.RUNNING) == [id_ for number, id_ in newest if number in (3, 9)]
        assert await self._ids(store, state=State.QUEUED) == [id_ for number, id_ in newest if number % 3]
        assert await self._ids(store, flow_id="invoices", state=State.QUEUED) == [
            id_ for number, id_ in newest if number % 3 and number % 2 == 0
        ]
        assert await self._ids(store, flow_id="invoices", state=State.SUCCEEDED) == [
            id_ for number, id_ in newest if number % 6 == 0
        ]
        assert await self._ids(store, flow_id="nobody") == []

    async def test_lists_are_filtered_by_tags_and_order_keys_and_by_other_things_besides(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        made: list[str] = []
        for number in range(8):
            envelope = envelopes.make(
                "orders" if number % 2 else "invoices",
                number,
                key=f"k{number}",
                order_key=f"s:C-{number % 3}",
                tags={"customer": "A" if number < 6 else "B", "n": str(number)},
            )
            made.append(envelope.execution_id)
            await self._accept(store, envelope)
        duplicate = envelopes.make("orders", key="k1", tags={"customer": "C"}, order_key="s:C-9")
        await store.commit([Accept(duplicate)])
        failed = End(made[0], State.FAILED, Outcome.FAILED, clock.now(), ErrorInfo("x.y", "no"))
        await store.commit([Start(made[0], "v1", clock.now()), failed])

        async def found(**chosen: Any) -> list[int]:
            return [made.index(id_) for id_ in await self._ids(store, **chosen)]

        assert await found(tag="customer:A") == [5, 4, 3, 2, 1, 0]
        assert await found(tag="customer:A", flow_id="orders") == [5, 3, 1]
        assert await found(tag="n:3") == [3]
        assert await found(tag="customer:C") == await found(tag="nobody:A") == []
        assert await found(order_key="C-1") == [7, 4, 1]
        assert await found(order_key="C-1", tag="customer:A") == [4, 1]
        assert await found(order_key="C-9") == []
        assert await found(tag="customer:A", state=State.FAILED) == [0]
        assert await found(tag="customer:A", error_code="x.y", outcome=Outcome.FAILED) == [0]
        assert await found(tag="customer:A", state=State.QUEUED, flow_id="invoices") == [4, 2]
        cause = cause_of(ErrorInfo("x.y", "no"))
        assert await found(tag="customer:A", flow_id="invoices", cause=cause) == [0]
        page = await store.executions(ExecutionFilter(tag="customer:B"))
        assert [head_of(item.payload).tags for item in page.items] == [
            {"customer": "B", "n": "7"},
            {"customer": "B", "n": "6"},
        ]
        with pytest.raises(ValueError, match="<name>:<value>"):
            await store.executions(ExecutionFilter(tag="customer"))

    async def test_long_tags_and_order_keys_are_found_by_their_whole_values(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        long = "\u00e4" * 300
        envelope = envelopes.make(tags={"t": long[:MAX_TAG]}, order_key=shortened_key(f"s:{long}"))
        await self._accept(store, envelope)
        assert await self._ids(store, tag=f"t:{long}") == [envelope.execution_id]
        assert await self._ids(store, order_key=long) == [envelope.execution_id]

    async def test_lists_are_filtered_by_outcome_error_and_time_and_by_several_at_once(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        ends = [
            ("orders", State.SUCCEEDED, Outcome.COMPLETED, None),
            ("orders", State.FAILED, Outcome.FAILED, "http.503"),
            ("invoices", State.FAILED, Outcome.FAILED, "http.503"),
            ("orders", State.FAILED, Outcome.TIMED_OUT, "timed_out"),
            ("orders", State.SUCCEEDED, Outcome.FILTERED, None),
            ("orders", State.CANCELLED, Outcome.OUTCOME_UNKNOWN, "outcome_unknown"),
            ("invoices", State.FAILED, Outcome.OUTCOME_UNKNOWN, "outcome_unknown"),
            ("orders", State.FAILED, Outcome.FAILED, "http.503"),
        ]
        made: list[str] = []
        times = []
        for flow_id, state, outcome, code in ends:
            envelope = envelopes.make(flow_id)
            times.append(now := clock.now())
            error = None if code is None else ErrorInfo(code, "no", "post")
            await store.commit([Accept(envelope), Start(envelope.execution_id, "v1", now)])
            await store.commit([End(envelope.execution_id, state, outcome, now, error)])
            made.append(envelope.execution_id)
            clock.advance(60)
        open_ = envelopes.make()
        await self._accept(store, open_)

        async def found(**chosen: Any) -> list[int]:
            return [made.index(id_) for id_ in await self._ids(store, **chosen)]

        assert await found(state=State.FAILED) == [7, 6, 3, 2, 1]
        assert await found(state=State.SUCCEEDED) == [4, 0]
        assert await found(outcome=Outcome.FAILED) == [7, 2, 1]
        assert await found(outcome=Outcome.OUTCOME_UNKNOWN) == [6, 5]
        assert await found(outcome=Outcome.OUTCOME_UNKNOWN, state=State.FAILED) == [6]
        assert await found(outcome=Outcome.COMPLETED, state=State.FAILED) == []
        assert await found(outcome=Outcome.FAILED, state=State.RUNNING) == []
        assert await found(flow_id="orders", outcome=Outcome.FAILED) == [7, 1]
        assert await found(error_code="http.503") == [7, 2, 1]
        assert await found(error_code="http.503", flow_id="orders", state=State.FAILED) == [7, 1]
        assert await found(error_code="outcome_unknown", state=State.CANCELLED) == [5]
        assert await found(since=times[3], until=times[6], flow_id="orders") == [5, 4, 3]
        assert await found(since=times[2], outcome=Outcome.FAILED) == [7, 2]
        assert await found(until=times[7], error_code="http.503", outcome=Outcome.FAILED) == [2, 1]
        assert await self._ids(store, since=clock.now()) == [open_.execution_id]
        assert await self._ids(store, since=clock.now(), state=State.QUEUED) == [open_.execution_id]
        with pytest.raises(ValueError, match="say which flow"):
            await store.executions(ExecutionFilter(cause="x"))

    async def test_a_page_doesnt_carry_large_bodies(self, store: Store, envelopes: Envelopes) -> None:
        await self._accept(store, envelopes.make(body="x" * 1_000_000), envelopes.make(body=1))
        page = await store.executions()
        assert all(len(item.payload) < 100_000 for item in page.items)
        assert [head_of(item.payload).arrival.method for item in page.items] == ["POST", "POST"]

    @pytest.mark.parametrize("cursor", ["", "x", "%", "01A20E14-1C21-708F-B502-459830859189"])
    async def test_a_cursor_that_isnt_one_is_rejected(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="not a cursor"):
            await store.executions(cursor=cursor)
        with pytest.raises(ValueError, match="not a cursor"):
            await store.executions(ExecutionFilter(state=State.WAITING), cursor=cursor)
