"""The audit is stored with the operations that it records."""

from typing import Any

import pytest

from hookline.kernel.errors import ExecutionNotFound
from hookline.model.access import Actor, AuditEntry, AuditFilter
from hookline.storage.change_declarations import Accept, ForgetAudit, RecordAudit, ReleaseOrderKey, StoreCallback
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes

_ANN = Actor("token", "ann", "192.0.2.1")


class AuditContract(StoreFixtures):
    """The audit is stored with the operations that it records."""

    def _entry(self, envelopes: Envelopes, operation: str, **fields: Any) -> AuditEntry:
        actor = fields.pop("actor", _ANN)
        return AuditEntry(envelopes.ids.new(), envelopes.clock.now(), actor, operation, **fields)

    async def test_entries_are_listed_newest_first_by_what_they_say(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        first = self._entry(envelopes, "flow.deploy", flow_id="a", flow_version="1", detail="why\0")
        clock.advance(1)
        second = self._entry(envelopes, "token.create", subject="7", actor=Actor("local", "root"))
        third = self._entry(envelopes, "execution.retry", flow_id="b", subject="7")
        await store.commit([RecordAudit((first, second)), RecordAudit(())])
        await store.commit([RecordAudit((third,))])
        assert [one.id for one in (await store.audit()).items] == [third.id, second.id, first.id]
        page = await store.audit(limit=1)
        assert (page.items, page.next) == ((third,), third.id)
        assert (await store.audit(cursor=page.next, limit=1)).items == (second,)
        for chosen, found in (
            (AuditFilter(flows=("a", "b")), [third.id, first.id]),
            (AuditFilter(flows=()), []),
            (AuditFilter(actor="local:root"), [second.id]),
            (AuditFilter(operation="flow.deploy"), [first.id]),
            (AuditFilter(subject="7"), [third.id, second.id]),
            (AuditFilter(since=second.at), [third.id, second.id]),
            (AuditFilter(until=second.at), [first.id]),
        ):
            assert [one.id for one in (await store.audit(chosen)).items] == found
        (kept,) = (await store.audit(AuditFilter(flows=("a",)))).items
        assert (kept.actor, kept.flow_version, kept.detail) == (_ANN, "1", "why\ufffd")
        with pytest.raises(ValueError, match="cursor"):
            await store.audit(cursor="x")

    async def test_an_entry_is_there_if_and_only_if_its_operation_is(self, store: Store, envelopes: Envelopes) -> None:
        entry = self._entry(envelopes, "execution.release", subject="nothing")
        with pytest.raises(ExecutionNotFound):
            await store.commit([RecordAudit((entry,)), ReleaseOrderKey("nothing", envelopes.clock.now())])
        assert (await store.audit()).items == ()

    async def test_a_duplicate_has_no_entry(self, store: Store, envelopes: Envelopes) -> None:
        entries = [self._entry(envelopes, "flow.start") for _ in range(2)]
        for entry in entries:
            await store.commit([Accept(envelopes.make(key="k"), audit=entry)])
        assert (await store.audit()).items == (entries[0],)

    async def test_a_callback_is_recorded_once(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        now, message = clock.now(), envelopes.make()
        await store.commit([Accept(message)])
        entries = [self._entry(envelopes, "execution.resume") for _ in range(2)]
        for digest, entry in zip((b"1", b"2"), entries, strict=True):
            call = StoreCallback(
                id=envelopes.ids.new(),
                execution_id=message.execution_id,
                path="w",
                flow_id=message.flow_id,
                step_id="w",
                key=None,
                digest=digest,
                at=now,
                until=None,
                payload=b"",
                audit=entry,
            )
            await store.commit([call])
        assert (await store.audit()).items == (entries[0],)

    async def test_old_entries_are_removed(self, store: Store, envelopes: Envelopes, clock: ManualClock) -> None:
        old = self._entry(envelopes, "flow.deploy")
        clock.advance(60)
        new = self._entry(envelopes, "flow.deploy")
        await store.commit([RecordAudit((old, new))])
        await store.commit([ForgetAudit(new.at)])
        assert (await store.audit()).items == (new,)
