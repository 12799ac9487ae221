"""What executions have done is kept."""

from datetime import timedelta

import pytest

from hookline.kernel.errors import IllegalStateChange
from hookline.kernel.json import encode
from hookline.model.execution import ErrorInfo, StepState
from hookline.model.message import Result
from hookline.storage.merge_ports_changes_executions import Record
from hookline.storage.store import Store
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes, attachment


class JournalContract(StoreFixtures):
    """What executions have done is kept."""

    async def test_a_journal_is_read_as_it_was_written(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        id_ = envelope.execution_id
        await self._run(store, envelope)
        entries = (
            envelopes.record(1, "a"),
            envelopes.record(
                2,
                "lines[3]/post",
                state=StepState.WAITING,
                output=None,
                input=None,
                error=ErrorInfo("http.503", "é", "lines[3]/post", retryable=True),
                due_at=envelope.accepted_at + timedelta(microseconds=1),
            ),
            envelopes.record(3, "b", state=StepState.SKIPPED, signal="pass", output=b'{"status":200}'),
        )
        await store.commit([Record(id_, entries[:1])])
        await store.commit([Record(id_, entries[1:])])
        assert tuple(await store.journal(id_)) == entries
        assert tuple(await store.journal(id_, after=1, limit=1)) == entries[1:2]

    async def test_an_entry_is_written_once(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make()
        await self._run(store, envelope)
        await store.commit([Record(envelope.execution_id, (envelopes.record(1),))])
        with pytest.raises(IllegalStateChange, match="entry 1"):
            await store.commit([Record(envelope.execution_id, (envelopes.record(1, output=None),))])
        (kept,) = await store.journal(envelope.execution_id)
        assert kept.output is not None

    async def test_blobs_of_messages_and_results_are_referred_to(self, store: Store, envelopes: Envelopes) -> None:
        envelope = envelopes.make(attachments=(attachment("in-1"), attachment("in-2")))
        await self._run(store, envelope)
        output = encode(Result("x", attachments=(attachment("out-1"),)))
        await store.commit([Record(envelope.execution_id, (envelopes.record(1, output=output),))])
        asked = ["in-1", "in-2", "out-1", *(f"other-{number}" for number in range(1000))]
        assert set(await store.referenced(asked)) == {"in-1", "in-2", "out-1"}
        assert set(await store.referenced([])) == set()
