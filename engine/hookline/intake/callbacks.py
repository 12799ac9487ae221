"""Callbacks: finding the waiting step that one is for, and delivering it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from hookline.bodies.page_form_input import read_page_input
from hookline.catalog.versions_and_states import VersionResolver
from hookline.flows.blocks.webhook_wait import USE, CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import (
    FlowInvalid,
    FlowNotFound,
    IllegalStateChange,
    InputInvalid,
    ServiceUnavailable,
    TokenUnknown,
    WaitOver,
)
from hookline.kernel.json import decode, encode
from hookline.model.callbacks_and_pages import Call, Page, WaitStatus, pack_callback, unpack_page
from hookline.model.execution import FINAL, Execution, StepRecord, StepState
from hookline.secrets.redaction import Redaction
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.storage.change_declarations import CallbackOutcome, CallbackStored, StoreCallback
from hookline.storage.queue import Queue
from hookline.storage.store import Store, readable_envelope


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step of an execution that waits for a callback, will wait, or has waited."""

    flow: CompiledFlow
    """The version that the execution runs, or would run."""
    compiled: CompiledWait
    execution_id: str
    path: str
    over: bool
    """The execution has ended."""


class Callbacks:
    """Finds waiting steps, and delivers callbacks to them."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        versions: VersionResolver,
        tokens: ResumeTokens,
        redaction: Redaction,
        is_open: Callable[[], bool],
    ) -> None:
        """`is_open` returns True while the server accepts requests."""
        self._redaction = redaction
        self._store = store
        self._queue = queue
        self._versions = versions
        self._tokens = tokens
        self._is_open = is_open

    async def find(self, token: str) -> WaitingStep:
        """Return the waiting step of a resume URL's token.

        Raises TokenUnknown, ServiceUnavailable if the key of the token isn't here or the version of its execution can't
        be loaded now, WaitOver if it can't be loaded and the execution has ended, and StoreError.
        """
        if not self._is_open():
            # The keys are only known after the start.
            raise ServiceUnavailable("the server is starting or stopping", retry_after=5)
        found = self._tokens.read(token)
        if found is None:
            if self._tokens.lacks_key(token):
                raise ServiceUnavailable("this node doesn't have the key of the token", retry_after=60)
            raise TokenUnknown
        execution_id, path = found
        execution = await self._store.execution(execution_id)
        if execution is None:
            raise TokenUnknown
        flow = await self._flow(execution)
        compiled = flow.waits.get(path.rpartition("/")[2])
        if compiled is None:
            raise TokenUnknown
        return WaitingStep(flow, compiled, execution_id, path, execution.state in FINAL)

    async def status(self, step: WaitingStep) -> WaitStatus:
        """Return how far the wait of a step is. Raises StoreError."""
        return await self._store.wait_status(step.execution_id, step.path)

    async def page(self, step: WaitingStep, status: WaitStatus) -> Page | None:
        """Return the page of a step; before it waits, only if nothing that decides on the input must be evaluated.

        Raises StoreError and RedactedUnreadable.
        """
        if step.compiled.page is None:
            return None
        if not status.waits:
            return step.compiled.page.before_the_wait(exact=step.flow.exact)
        return await stored_page(self._store, self._redaction, step.execution_id, status)

    async def deliver(self, callback: StoreCallback) -> CallbackOutcome:
        """Make a callback durable, and wake its execution. Raises StoreError."""
        # The execution must be woken even if the caller hangs up after the commit.
        return await shielded(self._deliver(callback))

    async def _deliver(self, callback: StoreCallback) -> CallbackOutcome:
        (outcome,) = await self._store.commit((callback,))
        assert isinstance(outcome, CallbackOutcome)  # noqa: S101 - a StoreCallback has no other outcome
        if isinstance(outcome, CallbackStored) and outcome.execution_id is not None:
            await self._queue.wake(callback.flow_id, outcome.execution_id)
        return outcome

    async def _flow(self, execution: Execution) -> CompiledFlow:
        try:
            if execution.flow_version is None:
                return self._versions.current(execution.flow_id)
            return await self._versions.version(execution.flow_id, execution.flow_version)
        except (FlowNotFound, FlowInvalid) as error:
            if execution.state in FINAL:
                raise WaitOver from error
            raise ServiceUnavailable(
                f"flow {execution.flow_id!r} can't run now; the server's log says why",
                retry_after=60,
                flow_id=execution.flow_id,
            ) from error


async def stored_page(store: Store, redaction: Redaction, execution_id: str, status: WaitStatus) -> Page | None:
    """Return the page of a step that waits; None if it has none. Raises StoreError and RedactedUnreadable."""
    if status.page is None:
        return None
    envelope = await readable_envelope(store, execution_id)
    return unpack_page(redaction.decrypt_line(status.page, None if envelope is None else envelope.data_key))


_PAGE: Final = 1000


async def waiting_records(store: Store, execution_id: str) -> Sequence[StepRecord]:
    """Return the journal entries of the steps that wait for a callback now, by path. Raises StoreError."""
    # Steps that call flows wait as well, and take no callbacks.
    paths = frozenset(await store.waits(execution_id))
    latest: dict[str, StepRecord] = {}
    after = 0
    while paths and (records := await store.journal(execution_id, after, _PAGE)):
        after = records[-1].seq
        latest.update({record.path: record for record in records if record.path in paths})
    return [record for _, record in sorted(latest.items()) if record.use == USE and record.state is StepState.WAITING]


OPERATOR = "operator"


async def operator_callback(
    store: Store, redaction: Redaction, execution: Execution, step: str, body: bytes, *, call_id: str, at: datetime
) -> StoreCallback:
    """Return a callback of an operator to a waiting step. `body` is JSON.

    `step` is its path, or its id if only one step of that id waits. Raises IllegalStateChange if no such step waits,
    InputInvalid if the body doesn't fit the step's page, and StoreError.
    """
    execution_id = execution.id
    waiting = _only(await waiting_records(store, execution_id), step, execution_id)
    envelope = await readable_envelope(store, execution_id)
    status = await store.wait_status(execution_id, waiting.path)
    if (page := await stored_page(store, redaction, execution_id, status)) is not None:
        given = _page_body(page, body, exact=envelope is not None and envelope.exact)
    else:
        given = body
    packed = pack_callback(Call(msgspec.Raw(given), received_at=at, verified_by=OPERATOR))
    if envelope is not None and envelope.data_key is not None:
        # The flow redacts values, and the callback may have some of them.
        packed = redaction.encrypt_callback(packed)
    return StoreCallback(
        id=call_id,
        execution_id=execution_id,
        path=waiting.path,
        flow_id=execution.flow_id,
        step_id=waiting.id,
        key=None,
        digest=hashlib.sha256(b"operator\n" + body).digest(),
        at=at,
        until=None,
        payload=packed,
    )


def _only(waiting: Sequence[StepRecord], step: str, execution_id: str) -> StepRecord:
    """Return the waiting step with a path, or with an id. Raises IllegalStateChange unless it is exactly one."""
    found = [record for record in waiting if record.path == step] or [record for record in waiting if record.id == step]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(record.path for record in waiting[:20]) or "none"
    which = f"{len(found)} steps {step!r}" if found else f"no step {step!r}"
    waits = "wait" if found else "waits"
    raise IllegalStateChange(f"{which} of execution {execution_id} {waits} for a callback; waiting steps: {listed}")


def _page_body(page: Page, body: bytes, *, exact: bool) -> bytes:
    """Return JSON as the page reads it. Raises InputInvalid."""
    value, problems = read_page_input(page, decode(body, exact=exact), form=False, exact=exact)
    if problems:
        raise InputInvalid(problems=problems)
    return encode(value)


def check_delivered(outcome: object, callback: StoreCallback) -> None:
    """Raise IllegalStateChange if the step had a callback before, or no longer waits."""
    if not isinstance(outcome, CallbackStored):
        raise IllegalStateChange(
            f"step {callback.path!r} of execution {callback.execution_id} no longer waits for a callback"
        )
