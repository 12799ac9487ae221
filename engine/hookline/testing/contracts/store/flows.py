"""Stored values, versions, states and drafts of flows, and captures of their requests."""

import asyncio
import dataclasses
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from hookline.kernel.errors import (
    DraftConflict,
    ExecutionNotFound,
    IllegalStateChange,
    TooManyCaptures,
    TooManyDrafts,
)
from hookline.kernel.json import decode
from hookline.model.access import Actor
from hookline.model.deployments_and_drafts import MAX_DRAFTS, Draft, DraftInfo
from hookline.model.execution import Outcome, State
from hookline.storage.captures import (
    MAX_CAPTURED,
    MAX_CAPTURES,
    Capture,
    CapturedInfo,
    CapturedRequest,
)
from hookline.storage.change_declarations import (
    Accept,
    AddState,
    CloseCapture,
    DropCapture,
    DropDraft,
    End,
    ForgetCaptured,
    KeepCaptured,
    NotANumber,
    OpenCapture,
    OverrideState,
    Park,
    Publish,
    PutDraft,
    SetCursor,
    SetState,
    Start,
    StateAdded,
)
from hookline.storage.store import StateOverride, Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes

_ANN = Actor("token", "ann", "10.0.0.1")


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

    async def test_nothing_is_begun_with_what_is_no_number(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await self._bring(store, envelopes, State.RUNNING)
        assert await store.commit([_add(id_, envelopes, 1, b"true", envelopes.clock.now())]) == [NotANumber()]
        assert await store.state("orders", "n") is None
        assert list(await store.journal(id_)) == []

    async def test_other_values_are_stored_only_with_the_number(self, store: Store, envelopes: Envelopes) -> None:
        id_ = await self._bring(store, envelopes, State.RUNNING)
        now = envelopes.clock.now()
        await store.commit([SetState("orders", "gone", b"1", now), SetState("orders", "n", b'"7"', now)])
        others = (("new", b"2"), ("kept", b"3"), ("gone", None))
        counted = dataclasses.replace(_add(id_, envelopes, 1, b"1", now), others=others)
        assert await store.commit([counted]) == [NotANumber()]
        assert [await store.state("orders", key) for key in ("new", "kept", "gone")] == [None, None, b"1"]
        await store.commit([SetState("orders", "n", b"7", now), SetState("orders", "kept", b"0", now)])
        assert await store.commit([counted]) == [StateAdded(b"8")]
        assert [await store.state("orders", key) for key in ("new", "kept", "gone")] == [b"2", b"3", None]

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


class DraftsContract(StoreFixtures):
    """A draft is replaced and removed only by those who know it."""

    def _draft(self, envelopes: Envelopes, flow_id: str, text: bytes, **fields: Any) -> Draft:
        told: dict[str, Any] = {"version": text.hex(), "base": None, "author": _ANN} | fields
        return Draft(DraftInfo(flow_id, size=len(text), updated_at=envelopes.clock.now(), **told), text)

    async def test_a_draft_is_kept_until_it_is_removed(self, store: Store, envelopes: Envelopes) -> None:
        first = self._draft(envelopes, "orders", b'{"id"\0\xff')
        second = self._draft(envelopes, "orders", b"{}", base="v1", author=Actor("local", "bob"))
        await store.commit([PutDraft(first, None)])
        assert await store.draft("orders") == first
        await store.commit([PutDraft(second, first.info.version)])
        assert await store.draft("orders") == second
        await store.commit([DropDraft("orders", second.info.version)])
        assert await store.draft("orders") is None

    async def test_a_draft_that_is_another_one_by_now_stays(self, store: Store, envelopes: Envelopes) -> None:
        kept = self._draft(envelopes, "orders", b"1")
        other = self._draft(envelopes, "orders", b"2")
        with pytest.raises(DraftConflict):
            await store.commit([PutDraft(other, "1")])
        await store.commit([PutDraft(kept, None)])
        for change in (PutDraft(other, None), PutDraft(other, "1"), DropDraft("orders", "1")):
            with pytest.raises(DraftConflict):
                await store.commit([change])
        assert await store.draft("orders") == kept

    async def test_of_several_who_save_at_once_one_succeeds(self, store: Store, envelopes: Envelopes) -> None:
        async def save(number: int, replaces: str | None) -> bool:
            try:
                await store.commit([PutDraft(self._draft(envelopes, "orders", bytes([number])), replaces)])
            except DraftConflict:
                return False
            return True

        assert sum(await asyncio.gather(*(save(number, None) for number in range(5)))) == 1
        found = await store.draft("orders")
        assert found is not None
        assert sum(await asyncio.gather(*(save(number, found.info.version) for number in range(5, 10)))) == 1

    async def test_drafts_are_listed_by_their_flows(self, store: Store, envelopes: Envelopes) -> None:
        drafts = {name: self._draft(envelopes, name, name.encode()) for name in ("b", "a", "c")}
        await store.commit([PutDraft(draft, None) for draft in drafts.values()])
        page = await store.drafts(limit=2)
        assert (page.items, page.next) == ((drafts["a"].info, drafts["b"].info), "b")
        page = await store.drafts(cursor=page.next, limit=2)
        assert (page.items, page.next) == ((drafts["c"].info,), None)
        assert (await store.drafts(flows=["c", "x"])).items == (drafts["c"].info,)

    async def test_there_is_a_most_of_drafts(self, store: Store, envelopes: Envelopes) -> None:
        names = [f"flow-{number}" for number in range(MAX_DRAFTS)]
        await store.commit([PutDraft(self._draft(envelopes, name, b"1"), None) for name in names])
        with pytest.raises(TooManyDrafts):
            await store.commit([PutDraft(self._draft(envelopes, "another", b"1"), None)])
        await store.commit([PutDraft(self._draft(envelopes, names[0], b"2"), b"1".hex())])


class CapturesContract(StoreFixtures):
    """The newest requests of each capture are kept, apart from everything else."""

    async def _open(self, store: Store, at: datetime, flow_id: str = "orders", by: Actor = _ANN) -> Capture:
        capture = Capture(flow_id, at, at + timedelta(minutes=10), by)
        await store.commit([OpenCapture(capture)])
        return capture

    def _request(self, envelopes: Envelopes, flow_id: str = "orders", **fields: Any) -> CapturedRequest:
        now = envelopes.clock.now()
        info = CapturedInfo(envelopes.ids.new(), flow_id, now, "POST", flow_id, None, None, 2, "captured", 202)
        told: dict[str, Any] = {"headers": (("a", "\0\xff"),), "query": "a=1", "body": b"\0\xff"} | fields
        return CapturedRequest(info, **told)

    @pytest.mark.console_rule("K12")
    async def test_a_capture_is_open_for_longer_if_it_is_opened_again(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        first = await self._open(store, now)
        assert list(await store.captures(now)) == [first]
        soon, late = now + timedelta(minutes=5), now + timedelta(minutes=30)
        await self._open(store, soon, by=Actor("local", "bob"))
        (longer,) = await store.captures(now)
        assert (longer.opened_at, longer.expires_at, longer.by) == (now, soon + timedelta(minutes=10), _ANN)
        again = await self._open(store, late, by=Actor("local", "bob"))
        assert list(await store.captures(now)) == [again]

    @pytest.mark.console_rule("K12")
    async def test_a_capture_that_is_closed_keeps_its_requests_until_it_is_removed(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        await self._open(store, now)
        request = self._request(envelopes)
        await store.commit([KeepCaptured((request,))])
        await store.commit([CloseCapture("orders", now), CloseCapture("unknown", now)])
        await store.commit([CloseCapture("orders", now + timedelta(minutes=1))])
        (closed,) = await store.captures(now)
        assert (closed.expires_at, closed.requests) == (now, 1)
        assert [one.requests for one in await store.captures(now + timedelta(seconds=1))] == [0]
        assert await store.captured_request("orders", request.info.id) == request
        await store.commit([DropCapture("orders"), DropCapture("unknown")])
        assert list(await store.captures(now)) == []
        assert await store.captured_request("orders", request.info.id) is None

    @pytest.mark.console_rule("K12")
    async def test_the_newest_requests_of_each_capture_are_listed_in_pages(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        for flow_id in ("orders", "invoices"):
            await self._open(store, now, flow_id)
        invoice = self._request(envelopes, "invoices", body=None, left_out="it is compressed")
        made = [self._request(envelopes) for _ in range(MAX_CAPTURED + 3)]
        for _ in range(2):
            await store.commit([KeepCaptured((*made[:4], invoice))])
        await store.commit([KeepCaptured((*made[4:], self._request(envelopes, "not-captured")))])
        kept = [request.info for request in reversed(made[3:])]
        first = await store.captured("orders", now, limit=30)
        assert list(first.items) == kept[:30]
        second = await store.captured("orders", now, limit=30, cursor=first.next)
        assert (list(second.items), second.next) == (kept[30:], None)
        assert (await store.captured("orders", now + timedelta(seconds=1))).items == ()
        assert await store.captured_request("invoices", invoice.info.id) == invoice
        assert (await store.captured("not-captured", now)).items == ()
        with pytest.raises(ValueError, match="cursor"):
            await store.captured("orders", now, cursor="x")

    @pytest.mark.console_rule("K12")
    async def test_requests_and_captures_are_removed_once_they_are_old(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        now = envelopes.clock.now()
        later = now + timedelta(hours=1)
        capture = await self._open(store, now)
        await store.commit([KeepCaptured((self._request(envelopes),))])
        assert not await store.has_old_captures(now)
        assert await store.has_old_captures(now + timedelta(seconds=1))
        await store.commit([ForgetCaptured(now + timedelta(seconds=1))])
        assert list(await store.captures(now)) == [capture], "it is still open"
        assert not await store.has_old_captures(now + timedelta(seconds=1))
        await store.commit([ForgetCaptured(later)])
        assert list(await store.captures(now)) == []
        assert not await store.has_old_captures(later)

    async def test_there_is_a_most_of_captures(self, store: Store, envelopes: Envelopes) -> None:
        now = envelopes.clock.now()
        for number in range(MAX_CAPTURES):
            await self._open(store, now, f"flow-{number}")
        with pytest.raises(TooManyCaptures):
            await self._open(store, now, "another")
        await self._open(store, now, "flow-0")
