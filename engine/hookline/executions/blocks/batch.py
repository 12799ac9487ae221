"""Batching: the first execution waits for others and leads their batch; the others join it and end.

The store decides who leads and who joins, when it stores the entry of an execution that reaches the step.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from hookline.executions.blocks.block_expressions import RunSteps, evaluate, evaluate_in_frame
from hookline.executions.execution_context import Blocked, Ending, ExecutionContext, Frame, StepFailed, next_message
from hookline.executions.services import Services, StubFunction
from hookline.executions.steps.recorded_result import continue_if_ended, fail_before_start
from hookline.flows.blocks.batch import USE, CompiledBatch
from hookline.flows.elements.message_keys import key_text
from hookline.kernel.errors import MissingValue, RedactedUnreadable, StepError
from hookline.kernel.json import DECIMALS, JsonObject, Numbers, encode, is_large
from hookline.model.batch import JOINED, BatchItem, joined_output
from hookline.model.execution import BATCH, INTERRUPTED, StepRecord, StepState
from hookline.model.foreach_progress_and_streams import REMEDY, stream_in
from hookline.plugin_host.result_conversion import normalize_result
from hookline.sdk.action import Reply
from hookline.secrets.masking import MASK
from hookline.secrets.redaction import HIDDEN, is_encrypted
from hookline.storage.change_declarations import BatchJoined, Change, CloseBatch, JoinBatch, RecordSteps, TakeBatch

#: The size from which reading JSON takes milliseconds, in bytes.
_LONG: Final = 200_000


async def batch_reply(services: Services, gathered: Sequence[BatchItem], numbers: Numbers) -> Reply:
    """The result of the step: the bodies in the order in which their executions joined, and all their files."""
    large = sum(len(one.body) for one in gathered) > _LONG
    return await services.offloader.run(partial(_reply, gathered, numbers), large=large)


def _masked(gathered: BatchItem) -> BatchItem:
    """Mask an encrypted body, whose key would be erased at the end of the execution."""
    return msgspec.structs.replace(gathered, body=encode(MASK)) if is_encrypted(gathered.body) else gathered


def _reply(gathered: Sequence[BatchItem], numbers: Numbers) -> Reply:
    return Reply(
        [numbers.decode(one.body) for one in gathered],
        {},
        {"executions": [one.execution_id for one in gathered]},
        tuple(attachment for one in gathered for attachment in one.attachments),
    )


async def batch_entries(services: Services, execution_id: str) -> tuple[Change, ...]:
    """The changes that record the batches of an execution which ends without running its steps.

    No execution joins them any more. Raises StoreError.
    """
    led = await services.store.batches(execution_id)
    if not led:
        return ()
    await services.store.commit([CloseBatch(execution_id, path) for path in led])
    journal_entries = await services.store.journal(execution_id)
    began = {record.path: record for record in journal_entries}
    entries = []
    for place, path in enumerate(led, journal_entries[-1].seq + 1):
        found = await services.store.batch_items(execution_id, path)
        # The numbers keep all digits, whatever the flow says about numbers.
        reply = await batch_reply(services, [_masked(one) for one in found], DECIMALS)
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
    return (RecordSteps(execution_id, tuple(entries)), *(TakeBatch(execution_id, path) for path in led))


KEY_MISSING = "batch_key_missing"


async def run_batch(run: ExecutionContext, step: CompiledBatch, frame: Frame, _: RunSteps) -> Ending:
    """Lead a batch and continue with the list of its messages when it is closed, or join a batch and end.

    Raises StepFailed if the execution has nothing to add.
    """
    path = frame.prefix + step.id
    last_entry = run.journal.last_entry(path)
    if last_entry is not None and last_entry.signal == JOINED:
        return Ending.JOINED
    ending = await continue_if_ended(run, step, frame, last_entry)
    if ending is not None:
        frame.steps[step.id].pop(HIDDEN, None)
        return ending
    if not run.gate.may_act(path):
        return Ending.WAITING
    if last_entry is None or last_entry.state is not StepState.WAITING:
        frame.interruption.check()
        reached = await _reach(run, step, frame, path, 1 if last_entry is None else last_entry.attempt + 1)
        if isinstance(reached, Ending):
            return reached
        last_entry = reached
    run.progress.note_waited()
    return await _lead(run, step, frame, path, last_entry)


async def _reach(
    run: ExecutionContext, step: CompiledBatch, frame: Frame, path: str, attempt: int
) -> StepRecord | Ending:
    """Add the message to a batch; return the entry of an execution that leads it. Raises StepFailed."""
    try:
        key, added = await _contribution(run, step, frame, path)
        stub = run.services.effects.stub_batch(run.id, path, attempt)
        if stub is not None:
            return await _from_stub(run, step, frame, path, attempt, key, stub)
    except StepError as failure:
        return fail_before_start(run, step, frame, path, USE, attempt, run.error_info(failure, path))
    except StepFailed as failed:
        return fail_before_start(run, step, frame, path, USE, attempt, failed.error)
    entry = await _come(run, step, path, attempt, key, added)
    return Ending.JOINED if entry.signal == JOINED else entry


async def _contribution(run: ExecutionContext, step: CompiledBatch, frame: Frame, path: str) -> tuple[Any, BatchItem]:
    """The key, and the message that the execution adds. Raises StepError if there is no key, and StepFailed."""
    key = None if step.key is None else _key(run, step, frame, path)
    body = frame.message.body
    if step.body is not None:
        body = await evaluate_in_frame(run, step.body, frame, "body", path)
    stream = stream_in(body) if run.progress.streams else None
    if stream is not None:
        raise StepError(f"body: a stream of {stream.count:,} items is no value; {REMEDY}", code="step.stream")
    added = await run.services.offloader.run(partial(encode, body), large=is_large(body))
    added = run.services.redaction.encrypt_batch_item(added, run.redactor)
    return key, BatchItem(run.id, added, frame.message.attachments)


def _key(run: ExecutionContext, step: CompiledBatch, frame: Frame, path: str) -> Any:
    assert step.key is not None  # noqa: S101 - the caller asks only then
    try:
        value = evaluate(run, step.key, run.scope(frame), "key", path)
    except StepFailed as failed:
        if failed.error.code != MissingValue.code:
            raise
        raise StepError(failed.error.message, code=KEY_MISSING) from failed
    if value is None or (isinstance(value, list) and None in value):
        raise StepError("key: it is null, or a part of it is; a message without a key joins no batch", code=KEY_MISSING)
    return value


async def _come(
    run: ExecutionContext, step: CompiledBatch, path: str, attempt: int, key: Any, added: BatchItem
) -> StepRecord:
    """Join or begin a batch durably; return the step's entry, which tells which of them happened."""
    now = run.services.clock.now()
    text = "" if step.key is None else key_text(key)

    def join(entry: StepRecord) -> JoinBatch:
        return JoinBatch(entry, run.flow.id, run.flow.version, text, step.size, added, now)

    entry, came = await run.journal.join(
        join,
        id=step.id,
        path=path,
        use=USE,
        state=StepState.WAITING,
        attempt=attempt,
        started_at=now,
        finished_at=now,
        input=_asked(step, key),
        due_at=None if step.within is None else now + step.within,
    )
    ready = (came.leader_id if came.full else None) if isinstance(came, BatchJoined) else came.closed
    if ready is not None:
        run.progress.note_wake(ready)
    return entry


async def _from_stub(
    run: ExecutionContext, step: CompiledBatch, frame: Frame, path: str, attempt: int, key: Any, stub: StubFunction
) -> Ending:
    """Take the batch that a simulation stubs. Raises StepError."""
    started_at, asked = run.services.clock.now(), _asked(step, key)
    # An interruption doesn't discard the stubbed batch, as it wouldn't discard a real one.
    result = await stub()
    if not isinstance(result, BatchJoined):
        reply = normalize_result(result, exact=run.flow.exact)
        if not isinstance(reply, Reply):
            raise TypeError(f"the stub of a batch returned {reply!r}")
        extra: JsonObject = {"executions": [run.id], **reply.extra}
        reply = Reply(reply.body, reply.headers, extra, reply.attachments)
        await _note(run, step, frame, path, attempt, started_at, reply, asked)
        frame.interruption.check()
        return Ending.DONE
    output = joined_output(result.leader_id, result.place)
    run.journal.record(path, USE, StepState.SUCCEEDED, attempt, started_at, input=asked, output=output, signal=JOINED)
    return Ending.JOINED


async def _lead(run: ExecutionContext, step: CompiledBatch, frame: Frame, path: str, last_entry: StepRecord) -> Ending:
    """Continue with the batch if it is closed; otherwise wait."""
    is_open = (await run.services.store.batches(run.id)).get(path, False)
    over = last_entry.due_at is not None and last_entry.due_at <= run.services.clock.now()
    if is_open and not over and frame.interruption.cause is None:
        return run.wait(frame, last_entry.due_at, BATCH)
    if is_open:
        # No execution joins from here on; those that joined before are read below.
        await run.journal.commit_with(CloseBatch(run.id, path))
    reply = await _opened(run, path)
    run.journal.add_changes(TakeBatch(run.id, path))
    await _note(run, step, frame, path, last_entry.attempt, last_entry.started_at, reply)
    # The batch is in the journal and can be replayed from there, also if the execution has to end here.
    frame.interruption.check()
    return Ending.DONE


async def _opened(run: ExecutionContext, path: str) -> Reply:
    """The batch's messages. Values that are redacted in one of them are redacted here as well. Raises Blocked."""
    gathered = await run.services.store.batch_items(run.id, path)
    redaction, plain = run.services.redaction, []
    for one in gathered:
        body = one.body
        if is_encrypted(body):
            try:
                body, hidden = redaction.decrypt_batch_item(body)
            except RedactedUnreadable as error:
                raise Blocked(error.message) from error
            run.journal.redact(redaction.new_redactor(run.flow.redaction_rules)).hidden.add(list(hidden))
        plain.append(msgspec.structs.replace(one, body=body))
    return await batch_reply(run.services, plain, run.flow.numbers)


async def _note(
    run: ExecutionContext,
    step: CompiledBatch,
    frame: Frame,
    path: str,
    attempt: int,
    started_at: datetime,
    reply: Reply,
    asked: bytes | None = None,
) -> None:
    frame.message, view = next_message(frame.message, reply)
    output = await run.services.offloader.run(
        partial(encode, run.redactor.with_hidden(view)), large=is_large(reply.body)
    )
    signal = None if frame.interruption.cause is None else INTERRUPTED
    entry = run.journal.record(
        path, USE, StepState.SUCCEEDED, attempt, started_at, input=asked, output=output, signal=signal
    )
    frame.now, frame.steps[step.id] = entry.finished_at, view


def _asked(step: CompiledBatch, key: Any) -> bytes | None:
    return None if step.key is None else encode({"key": key})
