"""Responses to senders that wait for the reply of the flow."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import structlog

from hookline.executions.waiting_callers import Ended, Heard, History, Replies, Stopped, StoredReply, stored_reply
from hookline.kernel.errors import HooklineError, RedactedUnreadable, ServiceUnavailable, StoreError
from hookline.model.execution import FINAL, State
from hookline.model.message import Attachment, CallerReply
from hookline.model.webhook import WebhookSettings
from hookline.secrets.redaction import Redaction
from hookline.service.hook_request_and_response import HookResponse
from hookline.service.hooks.immediate_responses import BODYLESS, EXECUTION_ID, add_default, encode_body, guarded
from hookline.service.problem_documents import MEDIA_TYPE, problem_body
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import Accepted, Duplicate, MarkDelivered
from hookline.storage.cluster import Alone, Membership

_log: Final = structlog.get_logger("hookline.service")
_LOOK: Final = 0.5
"""Seconds between two looks in the journal, if another node may run the execution and has told nothing."""
_LATER: Final = (b"retry-after", b"5")


class NoReplyYet(HooklineError):
    """The flow has not replied in time; it continues."""

    code = "reply.timeout"


class NoReply(HooklineError):
    """The flow ended without a reply."""

    code = "reply.none"


class ReplyWaiter:
    """Waits for the reply of an execution and makes it the response to the request."""

    def __init__(
        self,
        replies: Replies,
        store: History,
        blobs: Blobs,
        redaction: Redaction | None = None,
        membership: Membership | None = None,
    ) -> None:
        """`redaction` decrypts stored replies with redacted values."""
        self._membership = membership or Alone()
        self._redaction = redaction
        self._replies = replies
        self._store = store
        self._blobs = blobs
        self._marking: set[asyncio.Task[None]] = set()

    async def response(
        self, execution_id: str, webhook: WebhookSettings, commit: Callable[[], Awaitable[Accepted | Duplicate]]
    ) -> HookResponse:
        """Accept a message and return the reply of its flow. A duplicate gets the reply of the first message, or waits
        for it.

        Raises only what `commit` raises: once the message is stored, it isn't rejected, whatever happens to its reply.
        """
        with self._replies.expect(execution_id) as heard:
            outcome = await commit()
            if isinstance(outcome, Accepted):
                return await self._heard(heard, execution_id, webhook)
        with self._replies.expect(outcome.execution_id) as heard:
            # The store is read only now: earlier replies are in it, and later ones are delivered here.
            try:
                stored = await self._stored(outcome.execution_id, webhook)
            except (StoreError, RedactedUnreadable) as error:
                _log.warning(
                    "the reply for a duplicate can't be read", execution_id=outcome.execution_id, error=error.message
                )
                return _come_again(
                    "the message was accepted before, and its reply can't be read now", outcome.execution_id
                )
            if stored is not None:
                return self._reply(_answer_in(stored), outcome.execution_id)
            return await self._heard(heard, outcome.execution_id, webhook)

    async def _stored(self, execution_id: str, webhook: WebhookSettings) -> StoredReply | Ended | None:
        # The state is read before the reply: an execution that ends in between has replied by the second read.
        execution = await self._store.execution(execution_id)
        reply = await stored_reply(
            self._store, execution_id, exact=webhook.numbers == "exact", redaction=self._redaction
        )
        if reply is not None:
            return reply
        if execution is None:
            return Ended(State.SUCCEEDED)  # it ended long ago and was purged
        if execution.state not in FINAL:
            return None
        return Ended(execution.state)

    async def _heard(self, heard: Heard, execution_id: str, webhook: WebhookSettings) -> HookResponse:
        timeout = webhook.respond_timeout.total_seconds()
        try:
            async with asyncio.timeout(timeout):
                answer = await self._answer(heard, execution_id, webhook)
        except TimeoutError:
            title, detail = _title(NoReplyYet), f"execution {execution_id} has not answered within {timeout:g} s"
            return _problem(504, NoReplyYet.code, title, detail, execution_id)
        return self._reply(answer, execution_id)

    async def _answer(self, heard: Heard, execution_id: str, webhook: WebhookSettings) -> CallerReply | Ended | Stopped:
        """Return the reply, or find it in the journal: another node may run the execution, or a commit be in doubt."""
        with self._replies.hints(execution_id) as may_be_stored:
            while not await _done(heard, may_be_stored):
                if self._membership.alone and not may_be_stored.is_set():
                    continue
                may_be_stored.clear()
                try:
                    stored = await self._stored(execution_id, webhook)
                except (StoreError, RedactedUnreadable) as error:
                    _log.warning("the reply can't be read now", execution_id=execution_id, error=error.message)
                    continue
                if stored is not None and not heard.done():
                    self._note_delivered(stored, execution_id)
                    return _answer_in(stored)
        return heard.result()

    def _note_delivered(self, stored: StoredReply | Ended, execution_id: str) -> None:
        """Begin to mark a reply as delivered, which nothing waits for."""
        change = stored.delivered(execution_id) if isinstance(stored, StoredReply) else None
        if change is not None:
            task = asyncio.get_running_loop().create_task(self._mark(change))
            self._marking.add(task)
            task.add_done_callback(self._marking.discard)

    async def _mark(self, change: MarkDelivered) -> None:
        try:
            await self._store.commit((change,))
        except StoreError as error:
            _log.warning("a reply can't be marked as delivered", execution_id=change.execution_id, error=error.message)

    def _reply(self, answer: CallerReply | Ended | Stopped, execution_id: str) -> HookResponse:
        if isinstance(answer, Stopped):
            detail = f"the server is stopping; execution {execution_id} is stored, and goes on"
            return _problem(504, NoReplyYet.code, _title(NoReplyYet), detail, execution_id)
        if isinstance(answer, CallerReply):
            return self._given(answer, execution_id)
        if answer.state is State.SUCCEEDED:
            return HookResponse(204, ((EXECUTION_ID, execution_id.encode()),))
        # The flow's error isn't shown to the sender, since it may contain what only operators may see.
        ended = "was cancelled" if answer.state is State.CANCELLED else "failed; its history says why"
        detail = f"execution {execution_id} {ended}"
        return _problem(502, NoReply.code, _title(NoReply), detail, execution_id)

    def _given(self, answer: CallerReply, execution_id: str) -> HookResponse:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        own = (EXECUTION_ID, execution_id.encode())
        file = answer.attachment
        if answer.status in BODYLESS or (file is None and answer.body is None):
            return HookResponse(answer.status, (*guarded(headers), own))
        if file is not None:
            add_default(headers, b"content-type", _safe(file.type))
            if file.filename:
                add_default(headers, b"content-disposition", _disposition(file))
            return HookResponse(answer.status, (*guarded(headers), own), file=file, chunks=self._blobs.open(file.id))
        kind, body = encode_body(answer.body)
        add_default(headers, b"content-type", kind)
        return HookResponse(answer.status, (*guarded(headers), own), body)


def _answer_in(stored: StoredReply | Ended) -> CallerReply | Ended:
    return stored.reply if isinstance(stored, StoredReply) else stored


async def _done(heard: Heard, may_be_stored: asyncio.Event) -> bool:
    """Return true when the reply is here; false when it is time to look in the journal."""
    hint = asyncio.ensure_future(may_be_stored.wait())
    try:
        await asyncio.wait((heard, hint), timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hint.cancel()
    return heard.done()


def _safe(text: str) -> bytes:
    """The value of a header from a type that a sender declared; an invalid type becomes `application/octet-stream`."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return b"application/octet-stream"


def _disposition(file: Attachment) -> bytes:
    return b"attachment; filename*=UTF-8''" + quote(file.filename or "", safe="").encode()


def _title(kind: type[HooklineError]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _come_again(detail: str, execution_id: str) -> HookResponse:
    return _problem(
        ServiceUnavailable.status, ServiceUnavailable.code, _title(ServiceUnavailable), detail, execution_id, (_LATER,)
    )


def _problem(
    status: int,
    code: str,
    title: str,
    detail: str,
    execution_id: str,
    further: tuple[tuple[bytes, bytes], ...] = (),
) -> HookResponse:
    extra: Mapping[str, Any] = {"execution_id": execution_id}
    headers = ((b"content-type", MEDIA_TYPE), (EXECUTION_ID, execution_id.encode()), *further)
    return HookResponse(status, headers, problem_body(status, code, title, detail, extra=extra))
