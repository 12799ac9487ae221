"""What was gathered at a step, taken out of the store by the execution that leads."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from hookline.executions.services import Services
from hookline.kernel.json import decode, encode
from hookline.model.batch import Gathered
from hookline.model.execution import StepState
from hookline.sdk.action import Reply
from hookline.secrets.masking import MASK
from hookline.secrets.redaction import is_sealed
from hookline.storage.changes import Change
from hookline.storage.merge_ports_changes_batches import CloseBatch, TakeBatch
from hookline.storage.merge_ports_changes_executions import Record

#: Bytes of JSON that take milliseconds to read.
_LONG: Final = 200_000


async def gathered_reply(services: Services, gathered: Sequence[Gathered], *, exact: bool) -> Reply:
    """What the step gives: the bodies in the order in which their executions joined, and all their files."""
    large = sum(len(one.body) for one in gathered) > _LONG
    return await services.aside.run(partial(_reply, gathered, exact=exact), large=large)


def _masked(gathered: Gathered) -> Gathered:
    """The same where it isn't encrypted: the key would be erased with the execution's end."""
    return msgspec.structs.replace(gathered, body=encode(MASK)) if is_sealed(gathered.body) else gathered


def _reply(gathered: Sequence[Gathered], *, exact: bool) -> Reply:
    return Reply(
        [decode(one.body, exact=exact) for one in gathered],
        {},
        {"executions": [one.execution_id for one in gathered]},
        tuple(attachment for one in gathered for attachment in one.attachments),
    )


async def gathered_entries(services: Services, execution_id: str) -> tuple[Change, ...]:
    """The changes that put what an execution leads into its journal, where it ends without its steps being run.

    Nobody joins it any more from then on. Raises StoreError.
    """
    led = await services.store.batches(execution_id)
    if not led:
        return ()
    await services.store.commit([CloseBatch(execution_id, path) for path in led])
    past = await services.store.journal(execution_id)
    began = {record.path: record for record in past}
    entries = []
    for place, path in enumerate(led, past[-1].seq + 1):
        found = await services.store.gathered(execution_id, path)
        # Each digit stays, whatever the numbers of the flow are.
        reply = await gathered_reply(services, [_masked(one) for one in found], exact=True)
        output = {"body": reply.body, "attachments": reply.attachments, **reply.extra}
        entries.append(
            msgspec.structs.replace(
                began[path],
                seq=place,
                state=StepState.SUCCEEDED,
                finished_at=services.clock.now(),
                due_at=None,
                output=encode(output),
            )
        )
    return (Record(execution_id, tuple(entries)), *(TakeBatch(execution_id, path) for path in led))
