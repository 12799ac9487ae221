"""Stored values, versions and states of flows."""

import asyncio
import dataclasses
from datetime import datetime, timedelta

import msgspec
import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.kernel.json import decode
from hookline.model.execution import Outcome, State
from hookline.storage.changes import (
    Accept,
    AddState,
    End,
    NotANumber,
    OverrideState,
    Park,
    Publish,
    SetCursor,
    SetState,
    Start,
    StateAdded,
)
from hookline.storage.store import StateOverride, Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class FlowValuesContract(StoreFixtures):
    """The values of flows are stored from one execution to the next."""

    async def test_a_value_is_kept_under_its_key_until_it_is_removed(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([SetState("orders", "k", b"1", now), SetState("orders", "k", b"2", now)])
        await store.commit([SetState("invoices", "k", b'"other"', now)])
        assert await store.state("orders", "k") == b"2"
        await store.commit([SetState("orders", "k", None, now)])
        assert await store.state("orders", "k") is None
        assert await store.state("invoices", "k") == b'"other"'

    async def test_a_flow_has_the_cursor_that_was_set_last(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        assert await store.cursor("orders") is None
        await store.commit([SetCursor("orders", b"1", now), SetCursor("invoices", b'"other"', now)])
        await store.commit([SetCursor("orders", b"2", now)])
        assert await store.cursor("orders") == b"2"
        assert await store.cursor("invoices") == b'"other"'

    async def test_what_a_flow_keeps_is_listed_by_key_in_pages(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        keys = ["B", "a", "ä", "b"]
        await store.commit([SetState("orders", key, b"1", now) for key in keys])
        await store.commit([SetState("zeta", "c", b"1", now)])
        found, cursor = [], None
        for _ in keys:
            page = await store.state_entries("orders", cursor=cursor, limit=1)
            found += [(one.key, one.updated_at, one.value) for one in page.items]
            cursor = page.next
        assert cursor is None
        assert found == [(key, now, b"1") for key in sorted(keys, key=str.encode)]
        with pytest.raises(ValueError, match="no key"):
            await store.state_entries("orders", cursor="a\0")

    async def test_a_count_is_the_result_of_the_step_that_counts(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await self._bring(store, envelopes, State.RUNNING)
        now = envelopes.clock.now()
        results = [
            (await store.commit([_add(id_, envelopes, seq, by, now)]))[0]
            for seq, by in enumerate((b"1", b"41", b"0.10", b"-1e-2"), 1)
        ]
        assert results == [StateAdded(b"1"), StateAdded(b"42"), StateAdded(b"42.10"), StateAdded(b"42.09")]
        assert await store.state("orders", "n") == b"42.09"
        outputs = [decode(one.output or b"", exact=True) for one in await store.journal(id_)]
        assert [str(output["body"]) for output in outputs] == ["1", "42", "42.10", "42.09"]

    async def test_of_executions_that_count_at_one_time_none_is_lost(self, store: Store, envelopes: Envelopes) -> None:
        ids = [await self._bring(store, envelopes, State.RUNNING) for _ in range(20)]
        now = envelopes.clock.now()
        results = await asyncio.gather(*(store.commit([_add(id_, envelopes, 1, b"1", now)]) for id_ in ids))
        values = [int(result.value) for (result,) in results if isinstance(result, StateAdded)]
        assert sorted(values) == list(range(1, 21))

    async def test_what_is_no_number_is_not_counted_on(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await self._bring(store, envelopes, State.RUNNING)
        now = envelopes.clock.now()
        for kept in (b'"7"', b"true", b"[]", b"9" * 1000, b"1" * 200_000):
            await store.commit([SetState("orders", "n", kept, now)])
            assert await store.commit([_add(id_, envelopes, 1, b"1", now)]) == [NotANumber()]
            assert await store.state("orders", "n") == kept
        assert list(await store.journal(id_)) == []

    async def test_nothing_is_counted_twice_or_where_the_execution_does_not_run(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        id_ = await self._bring(store, envelopes, State.RUNNING)
        now = envelopes.clock.now()
        await store.commit([_add(id_, envelopes, 1, b"1", now)])
        with pytest.raises(IllegalStateChange, match="has an entry 1 already"):
            await store.commit([_add(id_, envelopes, 1, b"1", now)])
        await store.commit([End(id_, State.SUCCEEDED, Outcome.COMPLETED, now)])
        with pytest.raises(IllegalStateChange, match="is succeeded"):
            await store.commit([_add(id_, envelopes, 2, b"1", now)])
        with pytest.raises(ExecutionNotFound):
            await store.commit([_add(envelopes.ids.new(), envelopes, 1, b"1", now)])
        assert await store.state("orders", "n") == b"1"

    async def test_what_a_counting_step_has_beside_its_number_stays(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await self._bring(store, envelopes, State.RUNNING)
        counted = _add(id_, envelopes, 1, b"2", envelopes.clock.now())
        step = msgspec.structs.replace(counted.step, output=b'{"attachments":[]}')
        await store.commit([dataclasses.replace(counted, step=step)])
        (entry,) = await store.journal(id_)
        assert entry.output == b'{"body":2,"attachments":[]}'


def _add(execution_id: str, envelopes: Envelopes, seq: int, by: bytes, at: datetime) -> AddState:
    step = msgspec.structs.replace(envelopes.record(seq), output=None)
    return AddState(execution_id, step, "orders", "n", by, at)


class FlowsContract(StoreFixtures):
    """Versions and states of flows are stored."""

    async def test_a_version_has_the_document_that_was_published_last(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        await store.commit([Publish("orders", "v1", b"{}", now), Publish("orders", "v2", b"[2]", now)])
        await store.commit([Publish("orders", "v1", b"title", now)])
        assert await store.flow_document("orders", "v1") == b"title"
        assert await store.flow_document("orders", "v2") == b"[2]"
        several = [("orders", "v2"), ("invoices", "v1")]
        assert await store.flow_documents(several) == {"orders": b"[2]"}
        assert await store.flow_documents([]) == {}
        versions = await store.flow_versions("orders")
        # The one that serves keeps its time, too, if its title changes.
        await store.commit([Publish("orders", "v2", b"title", now + timedelta(hours=1))])
        assert await store.flow_document("orders", "v2") == b"title"
        assert await store.flow_versions("orders") == versions

    async def test_the_version_that_began_to_serve_last_comes_first(self, store: Store, envelopes: Envelopes) -> None:
        began = [envelopes.clock.now() + timedelta(hours=hours) for hours in range(5)]
        await store.commit([Publish("orders", "v1", b"{}", began[0]), Publish("invoices", "v9", b"{}", began[0])])
        await store.commit([Publish("orders", "v2", b"{}", began[1])])
        # It serves already, and has since it began to.
        await store.commit([Publish("orders", "v2", b"{}", began[2])])
        found = await store.flow_versions("orders")
        assert [(one.version, one.created_at, one.served_at) for one in found] == [
            ("v2", began[1], began[1]),
            ("v1", began[0], began[0]),
        ]
        await store.commit([Publish("orders", "v1", b"{}", began[3])])
        found = await store.flow_versions("orders")
        assert [(one.version, one.created_at, one.served_at) for one in found] == [
            ("v1", began[0], began[3]),
            ("v2", began[1], began[1]),
        ]
        assert await store.flow_versions("nobody's") == ()

    async def test_executions_that_have_not_ended_are_counted_by_their_version(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        for version in ("v1", "v1", "v2"):
            envelope = envelopes.make()
            await store.commit([Accept(envelope), Start(envelope.execution_id, version, now)])
        await store.commit([Park(envelope.execution_id, now, None, "callback")])
        await store.commit([Accept(envelopes.make()), Accept(envelopes.make("invoices"))])
        await self._bring(store, envelopes, State.SUCCEEDED)
        assert await store.executions_by_version("orders") == {
            ("v1", State.RUNNING): 2,
            ("v2", State.WAITING): 1,
            (None, State.QUEUED): 1,
        }

    async def test_what_operators_decide_about_flows_is_kept_until_they_decide_otherwise(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        await store.commit([OverrideState("orders", "paused", "active", now)])
        await store.commit([OverrideState("invoices", "stopped", "paused", now)])
        await store.commit([OverrideState("orders", "stopped", "active", now)])
        assert await store.state_overrides() == {
            "orders": StateOverride("stopped", "active", now),
            "invoices": StateOverride("stopped", "paused", now),
        }
        await store.commit([OverrideState("orders", None, "active", now), OverrideState("none", None, "active", now)])
        assert set(await store.state_overrides()) == {"invoices"}
