"""Executions refer to their files until retention removes the references."""

import pytest

from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.model.execution import Outcome, State
from hookline.storage.change_declarations import Accept, End, ForgetFiles, Purge, Reopen, UseFiles
from hookline.storage.store import Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes, attachment


class FilesContract(StoreFixtures):
    """Executions refer to their files until retention removes the references."""

    async def test_executions_that_ended_before_a_time_give_up_their_files(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        old = [envelopes.make(attachments=(attachment(f"old{place}"), attachment("both"))) for place in range(3)]
        for envelope in old:
            await self._run(store, envelope)
        await store.commit(
            [End(old[place].execution_id, State.CANCELLED, Outcome.CANCELLED, clock.now()) for place in range(2)]
        )
        clock.advance(10)
        new = envelopes.make(attachments=(attachment("new"), attachment("both")))
        await self._run(store, new)
        await store.commit([End(new.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        before = clock.now()
        assert list(await store.executions_with_files(before, 10)) == [old[0].execution_id, old[1].execution_id]
        assert list(await store.executions_with_files(before, 1)) == [old[0].execution_id]
        clock.advance(1)
        forgotten = tuple(envelope.execution_id for envelope in (*old, new)[:3])
        await store.commit([ForgetFiles(forgotten, clock.now())])
        assert list(await store.executions_with_files(before, 10)) == []
        # The third is still running, so it keeps its files although the change names it.
        assert set(await store.referenced(["old0", "old1", "old2", "new", "both"])) == {"old2", "new", "both"}
        removed = [await store.execution(execution_id) for execution_id in forgotten]
        assert [one.files_removed_at for one in removed if one] == [clock.now(), clock.now(), None]
        assert await store.envelope(old[0].execution_id) == old[0]

    async def test_an_execution_that_was_reopened_keeps_its_files(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        envelope = envelopes.make(attachments=(attachment("kept"),))
        await self._run(store, envelope)
        await store.commit([End(envelope.execution_id, State.FAILED, Outcome.FAILED, clock.now())])
        clock.advance(10)
        await store.commit([Reopen(envelope.execution_id, clock.now())])
        await store.commit([ForgetFiles((envelope.execution_id,), clock.now())])
        assert set(await store.referenced(["kept"])) == {"kept"}
        assert list(await store.executions_with_files(clock.now(), 10)) == []

    async def test_files_that_were_removed_get_no_new_user(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        kept, forgotten, purged = (
            envelopes.make(attachments=(attachment(name),)) for name in ("kept", "forgotten", "purged")
        )
        for one in (kept, forgotten, purged):
            await self._run(store, one)
            await store.commit([End(one.execution_id, State.SUCCEEDED, Outcome.COMPLETED, clock.now())])
        await store.commit([ForgetFiles((forgotten.execution_id,), clock.now())])
        await store.commit([Purge((purged.execution_id,), clock.now())])
        users = [envelopes.make(attachments=one.message.attachments) for one in (kept, forgotten, purged)]
        await store.commit([UseFiles(kept.execution_id), Accept(users[0])])
        with pytest.raises(IllegalStateChange, match="files were removed"):
            await store.commit([UseFiles(forgotten.execution_id), Accept(users[1])])
        with pytest.raises(ExecutionNotFound):
            await store.commit([UseFiles(purged.execution_id), Accept(users[2])])
        assert set(await store.referenced(["kept", "forgotten", "purged"])) == {"kept"}
        # Neither the accepted one's file nor its time of removal has changed.
        await store.commit([Purge((kept.execution_id,), clock.now())])
        assert set(await store.referenced(["kept"])) == {"kept"}
        assert [await store.execution(one.execution_id) for one in users[1:]] == [None, None]
