"""Calling an action: what it is given, the time that it has, and what may come of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from hookline.credentials.access_tokens import hidden_of
from hookline.executions.context import Blocked, ExecutionContext, Frame, Interrupted, Interruption
from hookline.executions.services import Stub
from hookline.executions.steps.spool import read_stream, write_stream
from hookline.flows.blocks.action import ActionNode
from hookline.flows.types.return_type import return_type_mismatch
from hookline.kernel.errors import BlobGone, CredentialError, ExpressionError, StepError, StoreError
from hookline.kernel.ids import idempotency_key
from hookline.kernel.json import JsonValue, encode, is_large, reader
from hookline.kernel.safe_validation import is_plugin_defect
from hookline.model.items import REMEDY, Stream, stream_in
from hookline.model.message import Attachment, CallerReply, Message
from hookline.outbound.exact_numbers import ExactClient
from hookline.plugin_host.facade import StepLog
from hookline.plugin_host.host import PluginDefect, PluginTimeout
from hookline.plugin_host.results import normalize_result
from hookline.sdk.action import Action, Context, Increment, Reply, Signal, Sleep
from hookline.sdk.context import check_key, packed
from hookline.sdk.mappers import Scope
from hookline.sdk.signature import SettingSources
from hookline.secrets.masking import HiddenValues
from hookline.storage.changes import SetState


class Given:
    """An action's settings for one attempt: as it takes them, and as they are recorded."""

    __slots__ = ("message", "model", "opened", "raw")

    def __init__(
        self, raw: Any, model: BaseModel, message: Message | None = None, opened: tuple[AsyncIterator[Any], ...] = ()
    ) -> None:
        """`message`: the action's own copy of the current one, where it isn't trusted to leave that as it is.

        `opened`: what among the settings comes one by one, and is closed after the attempt.
        """
        self.raw = raw
        self.model = model
        self.message = message
        self.opened = opened


#: By whether the numbers of the flow are exact.
_VALUES: Final = {exact: reader(Any, exact=exact) for exact in (False, True)}


class StateTransaction:
    """Keeps what the attempt changes until it has succeeded; see `hookline.sdk.context.FlowState`."""

    def __init__(self, run: ExecutionContext, *, pure: bool) -> None:
        self._run = run
        self._pure = pure
        self._staged: dict[str, bytes | None] = {}

    async def get(self, key: str) -> JsonValue:
        """The value under a key."""
        self._check(key)
        if key in self._staged:
            value = self._staged[key]
        else:
            kept = self._run.journal.kept(key)
            value = await self._run.services.store.state(self._run.flow.id, key) if kept is None else kept.value
        return None if value is None else _VALUES[self._run.flow.exact].decode(value)

    async def set(self, key: str, value: JsonValue) -> None:
        """Keep a value under a key."""
        self._check(key)
        self._staged[key] = packed(key, value)

    def changes(self, counts: str | None = None) -> tuple[SetState, ...]:
        """What becomes durable with the step's entry. Raises StepError for a key that the step `counts`, too."""
        if counts is not None and counts in self._staged:
            raise StepError(f"the step sets {counts!r} and counts on it", code="connector.defect")
        now = self._run.services.clock.now()
        return tuple(SetState(self._run.flow.id, key, value, now) for key, value in self._staged.items())

    def _check(self, key: str) -> None:
        if self._pure:
            # It is done again whenever the execution goes on, and has to give the same.
            raise RuntimeError("a pure action has no state")
        check_key(key)


LARGEST_RESULT: Final = 64_000_000
"""The largest result of an action of another plugin, in bytes of JSON."""
_LONG_TEXT: Final = 1_000_000


class BrokenPromise(TypeError):
    """An action gave what the annotation of its result doesn't say."""


@dataclass(frozen=True, slots=True)
class Call:
    """An action about to be called."""

    arguments: dict[str, Any]
    state: StateTransaction
    """What it changes of what the flow keeps."""
    given: Any
    """Its settings, as they are recorded."""
    stub: Stub | None = None
    """What gives its result instead, where flows are tried out."""
    hidden: HiddenValues = field(default_factory=HiddenValues)
    """What no log and no error may show: what is secret of its credential."""
    opened: tuple[AsyncIterator[Any], ...] = ()
    """What among its settings comes one by one, and is closed after the call."""


def sources(run: ExecutionContext, frame: Frame) -> SettingSources:
    """What an attempt's settings are made of, besides their values."""
    services, exact, redactor = run.services, run.flow.exact, run.redactor
    return SettingSources(
        frame.message, lambda stream: read_stream(services.blobs, stream, exact=exact, redactor=redactor)
    )


def prepare_call(run: ExecutionContext, node: ActionNode, frame: Frame, given: Given, path: str, attempt: int) -> Call:
    """Gather what a call takes. Raises Blocked where some of it is missing."""
    services, action, state = run.services, node.action, StateTransaction(run, pure=node.action.pure)
    if action.unavailable is not None:
        raise Blocked(f"{action.name}: {action.unavailable}")
    if services.simulation is not None:
        stub = services.simulation.stub_action(run.id, path, attempt, action, _shown(given.raw))
        if stub is not None:
            return Call({}, state, _shown(given.raw), stub=stub)
    arguments, hidden = action.arguments(given.model), HiddenValues()
    if action.takes_context:
        arguments["ctx"], hidden = _context(run, node, given.message or frame.message, path, attempt, state)
    return Call(arguments, state, given.raw, hidden=hidden, opened=given.opened)


async def call_action(
    run: ExecutionContext, node: ActionNode, call: Call, path: str, attempt: int, spooling: Interruption | None = None
) -> Signal | Sleep | Increment | Reply | CallerReply:
    """What the action returned, made JSON. Raises StepError and Blocked.

    `spooling` may cut it off while it gives items one by one. Raises Interrupted then.
    """
    services, action = run.services, node.action
    host, foreign = services.plugin_host, services.plugin_host.is_foreign("action", action.name)
    began = services.clock.monotonic()
    result_label = "ok"
    try:
        with host.contain(
            "action",
            action.name,
            passing=(StoreError, Blocked, Interrupted),
            hidden=call.hidden,
            log=lambda: StepLog(services.log, run.id, run.flow.id, path, run.redactor, call.hidden),
        ):
            if call.stub is not None:
                return normalize_result(await call.stub(), exact=run.flow.exact)
            limit = node.timeout or (None if action.pure else services.step_timeout)
            returned = await host.call(
                "action",
                action.name,
                _run(run, action, call.arguments, spooling),
                timeout=None if limit is None else limit.total_seconds(),
                execution_id=run.id,
                flow_id=run.flow.id,
                step=path,
            )
            if isinstance(returned, bytes) or (isinstance(returned, Reply) and isinstance(returned.body, bytes)):
                returned = await _keep_bytes(run, returned)
            judge = partial(_judged, run, action, returned, foreign)
            body = returned.body if isinstance(returned, Reply) else returned
            return await services.offloader.run(judge, large=is_large(body) or (foreign and _long(body)))
    except StepError as error:
        result_label = error.error_code
        raise
    except PluginTimeout as error:
        result_label = "timed_out"
        remedy = "" if node.timeout is not None else "; a step that takes longer says so itself: `timeout`"
        raise StepError(error.message + remedy, code="timed_out", retryable=True, outcome_unknown=True) from error
    except BlobGone as error:
        if services.simulation is not None:
            stub = services.simulation.stub_for_missing_file(run.id, path, attempt, action, call.given)
            if stub is not None:
                return normalize_result(await stub(), exact=run.flow.exact)
        result_label = error.code
        raise StepError(f"{action.name}: {error.message}", code=error.code) from error
    except StoreError as error:
        # The action uses the blob store and the state of the flow.
        result_label = error.code
        raise StepError(f"{action.name}: {error.message}", code=error.code, retryable=True) from error
    except (Blocked, Interrupted, asyncio.CancelledError):
        result_label = "interrupted"
        raise
    except PluginDefect as defect:
        result_label = "connector.defect"
        raise StepError(defect.message, code="connector.defect", outcome_unknown=True) from defect
    finally:
        for items in call.opened:
            await _close(items)
        if not action.pure:
            services.metrics.attempted(run.flow.id, action.name, result_label, services.clock.monotonic() - began)


async def _close(items: AsyncIterator[Any]) -> None:
    """Let nothing more be read of a setting whose items come one by one."""
    close = getattr(items, "aclose", None)
    if close is not None:
        # A task that the action has left behind may still read them: they end with that task, and how the call has
        # ended stays as it is.
        with suppress(RuntimeError):
            await close()


def _shown(raw: Any) -> Any:
    """Settings as a case sees them: with what stands for a stream."""
    if not isinstance(raw, dict):
        return raw
    return {name: value.shown if type(value) is Stream else value for name, value in raw.items()}


def _judged(
    run: ExecutionContext, action: Action, returned: Any, foreign: bool
) -> Signal | Sleep | Increment | Reply | CallerReply:
    result = normalize_result(returned, exact=run.flow.exact, shared=action.pure and not foreign)
    # Hookline's own actions have bounds of their own.
    if foreign and isinstance(result, Reply) and type(result.body) is not Stream:
        size = len(encode(result.body)) + len(encode(result.extra))
        if size > LARGEST_RESULT:
            plugin = run.services.plugin_host.describe("action", action.name)
            raise StepError(
                f"{action.name} of {plugin} gave a result of {size:,} bytes; the largest has "
                f"{LARGEST_RESULT:,}; what is larger is given item by item, or as an attachment",
                code="step.too_large",
                outcome_unknown=True,
            )
    return result


def _long(body: Any) -> bool:
    """Whether it is one text that takes a while to go through."""
    return isinstance(body, str) and len(body) > _LONG_TEXT


async def _run(run: ExecutionContext, action: Action, arguments: dict[str, Any], spooling: Interruption | None) -> Any:
    """What an action returned. Items that it gives one by one are kept until there are no more: a stream."""
    returned = action.run(**arguments)
    if not isinstance(returned, AsyncIterator):
        returned = await returned
    body = returned.body if isinstance(returned, Reply) else returned
    wrong = await run.services.offloader.run(
        partial(return_type_mismatch, action.returns, returned), large=is_large(body)
    )
    if wrong is not None:
        raise BrokenPromise(wrong)
    if not isinstance(body, AsyncIterator):
        return returned
    with nullcontext() if spooling is None else spooling.interruptible():
        stream = await write_stream(run.services.blobs, body, exact=run.flow.exact, redactor=run.redactor)
    return replace(returned, body=stream) if isinstance(returned, Reply) else Reply(stream)


def _context(
    run: ExecutionContext, node: ActionNode, message: Message, path: str, attempt: int, state: StateTransaction
) -> tuple[Context[Any], HiddenValues]:
    services, credential, credential_type, tokens = run.services, None, None, None
    if node.credential is not None:
        try:
            credential_type, credential = services.secrets.get(node.credential)
        except CredentialError as error:
            raise Blocked(error.message) from error
        if credential_type not in node.action.credential_types:
            wanted = " or ".join(node.action.credential_types) or "none"
            raise Blocked(
                f"credential {node.credential!r} is of type {credential_type}; {node.action.name} takes {wanted}"
            )
        if services.tokens is not None:
            tokens = services.tokens.of(node.credential)
            missing = None if tokens is None else services.tokens.missing(node.credential)
            if missing is not None:
                raise Blocked(missing)
    hidden = HiddenValues() if credential is None else hidden_of(credential, tokens)
    context = Context(
        credential=credential,
        credential_type=credential_type,
        message=message,
        http=ExactClient(services.http) if run.flow.exact else services.http,
        blobs=services.blobs,
        state=state,
        resources=services.resources,
        files_root=services.files_root,
        log=StepLog(services.log, run.id, run.flow.id, path, run.redactor, hidden),
        execution_id=run.id,
        step_id=node.id,
        attempt=attempt,
        idempotency_key=idempotency_key(run.id, path),
        exact=run.flow.exact,
        tokens=tokens,
    )
    return context, hidden


async def _keep_bytes(run: ExecutionContext, returned: bytes | Reply) -> Reply:
    """Bytes become an attachment."""
    reply = Reply(returned) if isinstance(returned, bytes) else returned
    writer = await run.services.blobs.create()
    try:
        await writer.write(reply.body)
        blob = await writer.commit()
    finally:
        await writer.abort()
    kept = Attachment(blob.id, "body", None, "application/octet-stream", blob.size, blob.sha256)
    return Reply(None, reply.headers, reply.extra, (*(reply.attachments or ()), kept))


def evaluate_settings(
    run: ExecutionContext, node: ActionNode, scope: Scope, given: SettingSources, message: Message | None
) -> Given:
    """`message`: the current one, where what the action is given has to be its own."""
    try:
        raw = node.settings.evaluate(scope)
    except ExpressionError as error:
        raise StepError(f"with: {error.message}", code=error.code) from error
    stream = stream_in(_values(node.action, raw)) if run.streams else None
    if stream is not None:
        raise StepError(f"with: a stream of {stream.count:,} items is no value; {REMEDY}", code="step.stream")
    try:
        if message is None:
            return Given(raw, node.action.validated(raw, given), opened=tuple(given.opened))
        own = Message(_copy(message.body), dict(message.headers), message.attachments)
        return Given(raw, node.action.validated(_own(raw), given), own, tuple(given.opened))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'with'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        )
        if is_plugin_defect(error):
            defect = run.services.plugin_host.defect("action", node.action.name, problems)
            raise StepError(defect.message, code="connector.defect") from error
        raise StepError(f"{node.action.name} can't take these settings: {problems}", code="step.settings") from error


def _values(action: Action, raw: Any) -> Any:
    """The settings without the streams that the action reads as such."""
    if not action.items or not isinstance(raw, dict):
        return raw
    return {name: value for name, value in raw.items() if name not in action.items or type(value) is not Stream}


def _own(raw: Any) -> Any:
    """Settings of which nothing is shared. A stream is a name: nothing of it can be changed."""
    if not isinstance(raw, dict):
        return _copy(raw)
    return {name: value if type(value) is Stream else _copy(value) for name, value in raw.items()}


def _copy(value: Any) -> Any:
    """A JSON value of which nothing is shared."""
    return msgspec.to_builtins(value, builtin_types=(Decimal,))
