"""The call of an action: its settings, its context, its time limit and its result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from hookline.credentials.access_tokens import hidden_of
from hookline.executions.context import Blocked, ExecutionContext, Frame, Interrupted, Interruption
from hookline.executions.services import Stub
from hookline.executions.steps.credential_hosts import check_credential_hosts
from hookline.executions.steps.stream import read_stream, write_stream
from hookline.flows.blocks.action import ActionNode
from hookline.flows.types.return_type import return_type_mismatch
from hookline.kernel.errors import BlobGone, CredentialError, ExpressionError, StepError, StoreError
from hookline.kernel.ids import idempotency_key
from hookline.kernel.json import JsonValue, encode, is_large, reader
from hookline.kernel.safe_validation import is_plugin_defect, problems_text
from hookline.model.items import REMEDY, Stream, stream_in
from hookline.model.message import Attachment, CallerReply, Message
from hookline.outbound.exact_numbers import ExactClient
from hookline.plugin_host.exhaustion import is_own_failure
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
    """The settings for one attempt at an action, as the action takes them and as they are recorded."""

    __slots__ = ("message", "model", "opened", "raw")

    def __init__(
        self, raw: Any, model: BaseModel, message: Message | None = None, opened: tuple[AsyncIterator[Any], ...] = ()
    ) -> None:
        """`message`: the action's own copy of the message, if the action might change it.

        `opened`: the streams among the settings, which are closed after the attempt.
        """
        self.raw = raw
        self.model = model
        self.message = message
        self.opened = opened


#: By whether the flow's numbers are exact.
_VALUES: Final = {exact: reader(Any, exact=exact) for exact in (False, True)}


class StateTransaction:
    """The flow's state as one attempt sees it: changes are kept until the attempt has succeeded. See
    `hookline.sdk.context.FlowState`."""

    def __init__(self, run: ExecutionContext, *, pure: bool) -> None:
        self._run = run
        self._pure = pure
        self._staged: dict[str, bytes | None] = {}

    async def get(self, key: str) -> JsonValue:
        self._check(key)
        if key in self._staged:
            value = self._staged[key]
        else:
            kept = self._run.journal.kept(key)
            value = await self._run.services.store.state(self._run.flow.id, key) if kept is None else kept.value
        return None if value is None else _VALUES[self._run.flow.exact].decode(value)

    async def set(self, key: str, value: JsonValue) -> None:
        self._check(key)
        self._staged[key] = packed(key, value)

    def changes(self, counts: str | None = None) -> tuple[SetState, ...]:
        """The changes to commit with the step's entry. Raises StepError if the attempt also set the key `counts`."""
        if counts is not None and counts in self._staged:
            raise StepError(f"the step sets {counts!r} and also adds to it", code="connector.defect")
        now = self._run.services.clock.now()
        return tuple(SetState(self._run.flow.id, key, value, now) for key, value in self._staged.items())

    def _check(self, key: str) -> None:
        if self._pure:
            # A pure action is computed again whenever the execution continues, and must give the same result.
            raise RuntimeError("a pure action has no state")
        check_key(key)


LARGEST_RESULT: Final = 64_000_000
"""The largest result of an action of another plugin, in bytes of JSON."""
MOST_VALUES: Final = 1_000_000
"""The most values in a result of an action of another plugin."""
_LONG_TEXT: Final = 1_000_000

#: The secret values of a call without a credential.
NO_SECRETS: Final = HiddenValues()


class BrokenPromise(TypeError):
    """The result of an action contradicts its return annotation."""


class OwnFailure(Exception):
    """The engine can't do its part of a step now; the step hasn't failed."""


@dataclass(frozen=True, slots=True)
class Call:
    """A prepared call of an action."""

    arguments: dict[str, Any]
    state: StateTransaction
    """The changes of the flow's state by the call."""
    given: Any
    """The recorded settings."""
    stub: Stub | None = None
    """Gives the result instead of the action, in a simulation."""
    hidden: HiddenValues = NO_SECRETS
    """The secret values of its credential, which no log and no error may show."""
    opened: tuple[AsyncIterator[Any], ...] = ()
    """The streams among its settings, which are closed after the call."""


def sources(run: ExecutionContext, frame: Frame) -> SettingSources:
    """The message and the streams from which settings of an attempt are made."""
    services, exact, redactor = run.services, run.flow.exact, run.redactor
    return SettingSources(
        frame.message, lambda stream: read_stream(services.blobs, stream, exact=exact, redactor=redactor)
    )


def prepare_call(run: ExecutionContext, node: ActionNode, frame: Frame, given: Given, path: str, attempt: int) -> Call:
    """Collect the arguments of a call. Raises Blocked if something is missing."""
    services, action, state = run.services, node.action, StateTransaction(run, pure=node.action.pure)
    if action.unavailable is not None:
        raise Blocked(f"{action.name}: {action.unavailable}")
    if services.simulation is not None:
        stub = services.simulation.stub_action(run.id, path, attempt, action, _shown(given.raw))
        if stub is not None:
            return Call({}, state, _shown(given.raw), stub=stub)
    arguments, hidden = action.arguments(given.model), NO_SECRETS
    if action.takes_context:
        arguments["ctx"], hidden = _context(run, node, given.message or frame.message, path, attempt, state)
        if node.credential is not None:
            check_credential_hosts(node, arguments)
    return Call(arguments, state, given.raw, hidden=hidden, opened=given.opened)


async def call_action(
    run: ExecutionContext, node: ActionNode, call: Call, path: str, attempt: int, writing: Interruption | None = None
) -> Signal | Sleep | Increment | Reply | CallerReply:
    """Call the action and return its result as JSON values. Raises StepError and Blocked.

    `writing` may interrupt an action that gives its items one by one. Raises Interrupted then. Raises OwnFailure if the
    engine itself failed, unless the action runs at most once and may have taken effect.
    """
    services, action = run.services, node.action
    host, foreign = services.plugin_host, services.plugin_host.is_foreign("action", action.name)
    began = services.clock.monotonic()
    result_label = "ok"
    try:
        with host.contain(
            "action",
            action.name,
            passing=(StoreError, Blocked, Interrupted, OwnFailure),
            hidden=call.hidden,
            log=lambda: StepLog(services.log, run.id, run.flow.id, path, run.redactor, call.hidden),
        ):
            if call.stub is not None:
                return normalize_result(await call.stub(), exact=run.flow.exact)
            limit = node.timeout or (None if action.pure else services.step_timeout)
            returned = await host.call(
                "action",
                action.name,
                _run_owning_failures(run, node, call.arguments, writing),
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
        if services.simulation is None and not node.once:
            raise OwnFailure(error.message) from error
        raise StepError(f"{action.name}: {error.message}", code=error.code, retryable=True) from error
    except OwnFailure:
        result_label = "engine"
        raise
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
    """Stop reading a stream among the settings."""
    close = getattr(items, "aclose", None)
    if close is not None:
        # A task that the action has left behind may still read the stream. It ends with that task, and the result of
        # the call stays as it is.
        with suppress(RuntimeError):
            await close()


def _shown(raw: Any) -> Any:
    """The settings as a case shows them, with a text in place of a stream."""
    if not isinstance(raw, dict):
        return raw
    return {name: value.shown if type(value) is Stream else value for name, value in raw.items()}


def _judged(
    run: ExecutionContext, action: Action, returned: Any, foreign: bool
) -> Signal | Sleep | Increment | Reply | CallerReply:
    result = normalize_result(returned, exact=run.flow.exact, shared=action.pure and not foreign)
    # Hookline's own actions have limits of their own.
    if foreign and isinstance(result, Reply) and type(result.body) is not Stream:
        if is_large(result.body, MOST_VALUES) or is_large(result.extra, MOST_VALUES):
            raise _too_large(run, action, f"more than {MOST_VALUES:,} values")
        size = len(encode(result.body)) + len(encode(result.extra))
        if size > LARGEST_RESULT:
            raise _too_large(run, action, f"{size:,} bytes; the limit is {LARGEST_RESULT:,}")
    return result


def _too_large(run: ExecutionContext, action: Action, size: str) -> StepError:
    plugin = run.services.plugin_host.describe("action", action.name)
    return StepError(
        f"{action.name} of {plugin} returned {size}; return larger results item by item, or as an attachment",
        code="step.too_large",
        outcome_unknown=True,
    )


def _long(body: Any) -> bool:
    """Return whether the value is one long text."""
    return isinstance(body, str) and len(body) > _LONG_TEXT


async def _run_owning_failures(
    run: ExecutionContext, node: ActionNode, arguments: dict[str, Any], writing: Interruption | None
) -> Any:
    """Run an action. Raises OwnFailure for an error that isn't its fault."""
    try:
        return await _run(run, node.action, arguments, writing)
    except (Blocked, Interrupted, BrokenPromise):
        raise
    except Exception as error:
        known = isinstance(error, StepError) and not error.outcome_unknown
        if run.services.simulation is None and (known or not node.once) and is_own_failure(error):
            raise OwnFailure(f"{type(error).__name__}: {error}") from error
        raise


async def _run(run: ExecutionContext, action: Action, arguments: dict[str, Any], writing: Interruption | None) -> Any:
    """Run an action; store the items that it gives one by one as a stream."""
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
    with nullcontext() if writing is None else writing.interruptible():
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
    hidden = NO_SECRETS if credential is None else hidden_of(credential, tokens)
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
    """Store bytes as an attachment."""
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
    """Evaluate and validate the settings. `message`: the current one, if the action needs its own copy of it."""
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
        problems = problems_text(error)
        if is_plugin_defect(error):
            defect = run.services.plugin_host.defect("action", node.action.name, problems)
            raise StepError(defect.message, code="connector.defect") from error
        raise StepError(f"{node.action.name} can't take these settings: {problems}", code="step.settings") from error


def _values(action: Action, raw: Any) -> Any:
    """The settings without the streams that the action reads as streams."""
    if not action.items or not isinstance(raw, dict):
        return raw
    return {name: value for name, value in raw.items() if name not in action.items or type(value) is not Stream}


def _own(raw: Any) -> Any:
    """A copy of the settings. Streams are references and aren't copied."""
    if not isinstance(raw, dict):
        return _copy(raw)
    return {name: value if type(value) is Stream else _copy(value) for name, value in raw.items()}


def _copy(value: Any) -> Any:
    """A copy of a JSON value."""
    return msgspec.to_builtins(value, builtin_types=(Decimal,))
