"""The steps of an execution that wait for calls now."""

from collections.abc import Sequence
from typing import Final

from hookline.flows.blocks.webhook_wait import USE
from hookline.model.execution import StepRecord, StepState
from hookline.storage.store import Store

_PAGE: Final = 1000


async def waiting_now(store: Store, execution_id: str) -> Sequence[StepRecord]:
    """The entries with which they began to wait, by path."""
    # Other steps wait for what comes as well, and no call is for them.
    paths = frozenset(await store.waits(execution_id))
    latest: dict[str, StepRecord] = {}
    after = 0
    while paths and (records := await store.journal(execution_id, after, _PAGE)):
        after = records[-1].seq
        latest.update({record.path: record for record in records if record.path in paths})
    return [record for _, record in sorted(latest.items()) if record.use == USE and record.state is StepState.WAITING]
