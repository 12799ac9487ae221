"""An operator's call to a step that waits, in place of the one that doesn't come."""

import hashlib
from datetime import datetime

import msgspec

from hookline.executions.completion import readable
from hookline.intake.merge_runtime_waiting_now import waiting_now
from hookline.kernel.errors import ExecutionNotFound, IllegalStateChange
from hookline.model.waits import Call, pack_callback
from hookline.secrets.redaction import Sealing
from hookline.storage.merge_ports_changes_callbacks import CallBack, Called
from hookline.storage.store import Store

OPERATOR = "operator"


async def operator_call(
    store: Store, sealing: Sealing, execution_id: str, step: str, body: bytes, *, call_id: str, at: datetime
) -> CallBack:
    """The call to a step, which is named by its path, or by its id where only one of that id waits. `body` is JSON.

    Raises ExecutionNotFound, and IllegalStateChange where no such step waits.
    """
    execution = await store.execution(execution_id)
    if execution is None:
        raise ExecutionNotFound(f"there is no execution {execution_id!r}")
    waiting = await waiting_now(store, execution_id)
    found = [record for record in waiting if record.path == step] or [record for record in waiting if record.id == step]
    if len(found) != 1:
        listed = ", ".join(record.path for record in waiting[:20]) or "none"
        several = f"{len(found)} steps {step!r} of" if found else f"no step {step!r} of"
        raise IllegalStateChange(f"{several} execution {execution_id} wait for a call; those that do are: {listed}")
    packed = pack_callback(Call(msgspec.Raw(body), received_at=at, verified_by=OPERATOR))
    envelope = await readable(store, execution_id)
    if envelope is not None and envelope.seal_key is not None:
        # Its flow redacts something, and this may be it.
        packed = sealing.callback(packed)
    return CallBack(
        id=call_id,
        execution_id=execution_id,
        path=found[0].path,
        flow_id=execution.flow_id,
        step_id=found[0].id,
        key=None,
        digest=hashlib.sha256(b"operator\n" + body).digest(),
        at=at,
        until=None,
        payload=packed,
    )


def check_taken(outcome: object, call: CallBack) -> None:
    """Raise IllegalStateChange where the step was called before, or waits no more."""
    if not isinstance(outcome, Called):
        raise IllegalStateChange(f"step {call.path!r} of execution {call.execution_id} waits for no call any more")
