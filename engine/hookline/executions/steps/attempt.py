"""One attempt at an action: the call with its context and its time limit, and the result as JSON values."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias

from hookline.credentials.used_credential import UsedCredential
from hookline.executions.execution_context import Blocked, ExecutionContext, Frame
from hookline.executions.interruption import Interrupted
from hookline.executions.services import StubFunction
from hookline.executions.steps.credential_hosts import check_credential_hosts
from hookline.executions.steps.settings import UNEVALUATED, StepSettings, evaluate_settings, settings_json
from hookline.executions.steps.stream_of_items import write_stream
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.types.return_type_check import return_type_mismatch
from hookline.kernel.cancellation import cancelled_externally
from hookline.kernel.errors import BlobGone, CredentialError, StepError, StoreError
from hookline.kernel.ids import idempotency_key
from hookline.kernel.json import JsonValue, encode, is_heavy_value, is_large
from hookline.model.execution import StepState
from hookline.model.foreach_progress_and_streams import Stream
from hookline.model.message import Attachment, CallerReply
from hookline.outbound.exact_numbers_client import ExactClient
from hookline.plugin_host.plugin_calls import PluginDefect, PluginTimeout
from hookline.plugin_host.plugin_loggers import StepLog
from hookline.plugin_host.result_conversion import normalize_result
from hookline.sdk.action import Context, Increment, Reply, Signal, Sleep
from hookline.sdk.context_parts import check_key, packed
from hookline.secrets.credential_reach import HostRule
from hookline.secrets.masking import HiddenValues
from hookline.storage.change_declarations import SetState

NormalizedResult: TypeAlias = Signal | Sleep | Increment | Reply | CallerReply
"""The result of an action as JSON values."""

LARGEST_RESULT: Final = 64_000_000
"""The largest result of an action of another plugin, in bytes of JSON."""
MOST_VALUES: Final = 1_000_000
"""The most values in a result of an action of another plugin."""
_LONG_TEXT: Final = 1_000_000

#: The secret values of a call without a credential.
_NO_SECRETS: Final = HiddenValues()


class EngineUnavailable(Exception):
    """The engine can't do its part of a step now; the step hasn't failed."""


class StateTransaction:
    """Keeps the changes of an attempt until it has succeeded. See `hookline.sdk.context_parts.FlowState`."""

    __slots__ = ("_pure", "_run", "_staged")

    def __init__(self, run: ExecutionContext, *, pure: bool) -> None:
        self._run = run
        self._pure = pure
        self._staged: dict[str, bytes | None] = {}

    async def get(self, key: str) -> JsonValue:
        self._check(key)
        if key in self._staged:
            value = self._staged[key]
        else:
            kept = self._run.journal.uncommitted_state(key)
            value = await self._run.services.store.state(self._run.flow.id, key) if kept is None else kept.value
        return None if value is None else self._run.flow.numbers.read(value)

    async def set(self, key: str, value: JsonValue) -> None:
        self._check(key)
        self._staged[key] = packed(key, value)

    def changes(self, counts: str | None = None) -> tuple[SetState, ...]:
        """The changes to commit with the step's entry. Raises StepError if the attempt also set the key `counts`."""
        if not self._staged:
            return ()
        if counts is not None and counts in self._staged:
            raise StepError(f"the step sets {counts!r} and also adds to it", code="connector.defect")
        now = self._run.services.clock.now()
        return tuple(SetState(self._run.flow.id, key, value, now) for key, value in self._staged.items())

    def _check(self, key: str) -> None:
        if self._pure:
            # A pure action is computed again whenever the execution continues, and must give the same result.
            raise RuntimeError("a pure action has no state")
        check_key(key)


class Attempt:
    """One attempt at the action of a step."""

    __slots__ = (
        "_acted",
        "_arguments",
        "_hidden",
        "_hosts",
        "_state",
        "_stub",
        "called",
        "first_time",
        "frame",
        "number",
        "path",
        "recomputable",
        "run",
        "settings",
        "started_at",
        "step",
    )

    def __init__(
        self,
        run: ExecutionContext,
        step: CompiledAction,
        frame: Frame,
        path: str,
        number: int,
        started_at: datetime,
        *,
        first_time: bool,
    ) -> None:
        """`number`: counted from 1. `first_time`: the step had no entry when the execution reached it."""
        self.run = run
        self.step = step
        self.frame = frame
        self.path = path
        self.number = number
        self.started_at = started_at
        self.first_time = first_time
        self.settings: StepSettings = UNEVALUATED
        self.recomputable = step.action.pure
        """A resume computes the step again, because its action is pure and its result isn't a stream. Otherwise its
        entry is durable before the next action that isn't pure."""
        self._state: StateTransaction | None = None
        self._arguments: dict[str, Any] = {}
        self._stub: StubFunction | None = None
        self.called = False
        """The action was called, so it may have taken effect."""
        self._acted = False
        """The action has returned, and what it returned was stored if it had to be."""
        self._hidden = _NO_SECRETS
        """The secret values of the credential, which no log and no error may show."""
        self._hosts: HostRule | None = None
        """The hosts to which the credential may be sent; None without a credential."""

    def changes(self, counts: str | None = None) -> tuple[SetState, ...]:
        """The changes of the flow's state by the action, to commit with its entry. `counts`: the key that it adds to.

        Raises StepError if it also set that key.
        """
        return () if self._state is None else self._state.changes(counts)

    def entry(self, state: StepState, finished_at: datetime) -> dict[str, Any]:
        """The fields of its journal entry, without those that depend on how it ended."""
        return {
            "id": self.step.id,
            "path": self.path,
            "use": self.step.action.name,
            "attempt": self.number,
            "started_at": self.started_at,
            "state": state,
            "finished_at": finished_at,
        }

    def entry_is_large(self, output: Any) -> bool:
        """True if the JSON of its entry is so large that it has to be made in a thread."""
        body = output.body if isinstance(output, CallerReply) else output
        return is_heavy_value(body) or is_heavy_value(self.settings.raw)

    def input_json(self, encode: Callable[[Any], bytes] = encode) -> bytes | None:
        """Its settings; None if they were not evaluated."""
        return None if self.settings is UNEVALUATED else settings_json(self.step, self.settings.raw, encode)

    async def prepare(self) -> None:
        """Evaluate the settings, and collect what else the call needs.

        Raises StepError, also if the call would send a credential to a host that a message chose; Blocked if something
        is missing.
        """
        run, action = self.run, self.step.action
        settings = self.settings = await evaluate_settings(run, self.step, self.frame)
        if action.unavailable is not None:
            raise Blocked(f"{action.name}: {action.unavailable}")
        self._stub = run.services.effects.stub_action(run.id, self.path, self.number, action, settings.raw)
        if self._stub is not None:
            return
        self._arguments = action.arguments(settings.model)
        if action.takes_context:
            self._arguments["ctx"] = self._context(settings)
            check_credential_hosts(self.step, self._arguments, self._hosts)

    async def call(self) -> NormalizedResult:
        """Call the action, or the stub that a simulation puts in its place, and return the result.

        Raises StepError and Blocked; Interrupted if a pure action was interrupted while it gave its items one by one.
        Raises EngineUnavailable if the engine failed and the action may be called again. An at-most-once action that
        may have taken effect, or any action whose result is at hand (unless the store failed), gets a StepError
        instead.
        """
        run, action = self.run, self.step.action
        began, label = run.services.clock.monotonic(), "interrupted"
        try:
            result = await self._result()
            label = "ok"
            return result
        except BaseException as error:
            failure = self._failure(error)
            label = _label(failure)
            if failure is error:
                raise
            # The message of a StepError may have secrets that this one masks.
            raise failure from (None if isinstance(error, StepError) else error)
        finally:
            for items in self.settings.opened:
                await _close(items)
            if not action.pure:
                run.services.metrics.attempted(run.flow.id, action.name, label, run.services.clock.monotonic() - began)

    async def _result(self) -> NormalizedResult:
        run, stub = self.run, self._stub
        if stub is None:
            try:
                returned = await self._returned()
                self._acted = True
                return await self._normalized(returned)
            except BlobGone:
                effects, action = run.services.effects, self.step.action
                stub = effects.stub_for_missing_file(run.id, self.path, self.number, action, self.settings.raw)
                if stub is None:
                    raise
        return normalize_result(await stub(), exact=run.flow.exact)

    async def _returned(self) -> Any:
        """The value that the action returns within its time limit. Raises PluginTimeout, and what the action raises."""
        run, action = self.run, self.step.action
        limit = self.step.timeout or (None if action.pure else run.services.step_timeout)
        returned = await run.services.plugin_calls.call(
            "action",
            action.name,
            self._run_action(),
            timeout=None if limit is None else limit.total_seconds(),
            execution_id=run.id,
            flow_id=run.flow.id,
            step=self.path,
        )
        if isinstance(returned, bytes) or (isinstance(returned, Reply) and isinstance(returned.body, bytes)):
            return await self._keep_bytes(returned)
        return returned

    async def _run_action(self) -> Any:
        """Run the action; store the items that it gives one by one as a stream."""
        run, action = self.run, self.step.action
        self.called = True
        returned = action.run(**self._arguments)
        if not isinstance(returned, AsyncIterator):
            returned = await returned
        body = returned.body if isinstance(returned, Reply) else returned
        if self.step.foreign:
            check = partial(return_type_mismatch, action.returns, returned)
            wrong = await run.services.offloader.run(check, large=is_large(body))
            if wrong is not None:
                raise TypeError(wrong)
        if not isinstance(body, AsyncIterator):
            return returned
        # A pure action may be interrupted only while it writes a stream for the first time. As long as the stream has
        # no journal entry, no later step has run, so nothing depends on it.
        may_interrupt = action.pure and self.first_time
        with self.frame.interruption.interruptible() if may_interrupt else nullcontext():
            stream = await write_stream(run.services.blobs, body, numbers=run.flow.numbers, redactor=run.redactor)
        return replace(returned, body=stream) if isinstance(returned, Reply) else Reply(stream)

    async def _keep_bytes(self, returned: bytes | Reply) -> Reply:
        """Store bytes as an attachment."""
        reply = Reply(returned) if isinstance(returned, bytes) else returned
        writer = await self.run.services.blobs.create()
        try:
            await writer.write(reply.body)
            blob = await writer.commit()
        finally:
            await writer.abort()
        kept = Attachment(blob.id, "body", None, "application/octet-stream", blob.size, blob.sha256)
        return Reply(None, reply.headers, reply.extra, (*(reply.attachments or ()), kept))

    async def _normalized(self, returned: Any) -> NormalizedResult:
        body = returned.body if isinstance(returned, Reply | CallerReply) else returned
        foreign = self.step.foreign
        if is_large(body) or (foreign and isinstance(body, str) and len(body) > _LONG_TEXT):
            return await self.run.services.offloader.run(partial(self._checked, returned), large=True)
        return self._checked(returned)

    def _checked(self, returned: Any) -> NormalizedResult:
        foreign, shared = self.step.foreign, self.step.action.pure and not self.step.foreign
        result = normalize_result(returned, exact=self.run.flow.exact, shared=shared)
        if self.step.action.pure and isinstance(result, Sleep | Increment):
            raise TypeError(
                f"a pure action returned {type(result).__name__}; it runs again whenever its execution goes on"
            )
        # Hookline's own actions have limits of their own.
        if foreign and isinstance(result, Reply) and type(result.body) is not Stream:
            if is_large(result.body, MOST_VALUES) or is_large(result.extra, MOST_VALUES):
                raise self._too_large(f"more than {MOST_VALUES:,} values")
            size = len(encode(result.body)) + len(encode(result.extra))
            if size > LARGEST_RESULT:
                raise self._too_large(f"{size:,} bytes; the limit is {LARGEST_RESULT:,}")
        return result

    def _too_large(self, size: str) -> StepError:
        name = self.step.action.name
        plugin = self.run.services.plugin_calls.describe("action", name)
        return StepError(
            f"{name} of {plugin} returned {size}; return larger results item by item, or as an attachment",
            code="step.too_large",
            outcome_unknown=True,
        )

    def _failure(self, error: BaseException) -> BaseException:
        """The error to raise for an error inside the action: the same one if it isn't a failure of the step."""
        if isinstance(error, Blocked | Interrupted | GeneratorExit):
            return error
        if isinstance(error, asyncio.CancelledError) and cancelled_externally():
            return error
        if self._may_run_again(error):
            return EngineUnavailable(
                error.message if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
            )
        return self._step_error(error)

    def _step_error(self, error: BaseException) -> StepError:
        """The error of the step for an error inside its action."""
        name = self.step.action.name
        match error:
            case PluginTimeout():
                remedy = "" if self.step.timeout is not None else "; a step that takes longer says so itself: `timeout`"
                return StepError(error.message + remedy, code="timed_out", retryable=True, outcome_unknown=True)
            case StoreError():
                retryable = not isinstance(error, BlobGone)
                return StepError(f"{name}: {error.message}", code=error.code, retryable=retryable)
            case PluginDefect():
                found: StepError | PluginDefect = error
            case _:
                found = self.run.services.plugin_calls.error_of("action", name, error, self._hidden, self._log())
        if isinstance(found, StepError):
            return found
        return StepError(found.message, code="connector.defect", outcome_unknown=True)

    def _may_run_again(self, error: BaseException) -> bool:
        """Return whether the engine failed, so that the action may run again."""
        if isinstance(error, BlobGone | PluginTimeout) or not isinstance(error, Exception):
            # A file that is gone, a time limit, an exit: none of them comes from a failure of the engine.
            return False
        if self._acted and not isinstance(error, StoreError):
            # The action may have taken effect. The step fails, and its `retry` counts.
            return False
        # The store is used before, while and after an action takes effect. A StepError says itself whether it may have.
        may_have_acted = not isinstance(error, StepError) or error.outcome_unknown
        return not (self.step.once and may_have_acted) and self.run.services.effects.is_engine_failure(error)

    def _log(self) -> StepLog:
        run = self.run
        return StepLog(run.services.log, run.id, run.flow.id, self.path, run.redactor, self._hidden)

    def _context(self, settings: StepSettings) -> Context[Any]:
        run, services, used = self.run, self.run.services, self._used_credential()
        self._state = StateTransaction(run, pure=self.step.action.pure)
        self._hidden, self._hosts = used.hidden, used.hosts
        return Context(
            credential=used.value,
            credential_type=used.type,
            message=settings.message,
            http=ExactClient(used.http) if run.flow.exact else used.http,
            blobs=services.blobs,
            state=self._state,
            resources=used.resources,
            files_root=services.files_root,
            log=self._log(),
            execution_id=run.id,
            step_id=self.step.id,
            attempt=self.number,
            idempotency_key=idempotency_key(run.id, self.path),
            exact=run.flow.exact,
            tokens=used.tokens,
        )

    def _used_credential(self) -> UsedCredential:
        """The credential of the step. Raises Blocked if it, or its access tokens, are missing."""
        services, name = self.run.services, self.step.credential
        try:
            used = services.credential_access.of(name, self.step.action, flow_id=self.run.flow.id)
        except CredentialError as error:
            raise Blocked(error.message) from error
        if name is not None and used.tokens is not None and services.tokens is not None:
            missing = services.tokens.missing(name)
            if missing is not None:
                raise Blocked(missing)
        return used


def _label(failure: BaseException) -> str:
    """The result that metrics show."""
    if isinstance(failure, StepError):
        return failure.error_code
    return "engine" if isinstance(failure, EngineUnavailable) else "interrupted"


async def _close(items: AsyncIterator[Any]) -> None:
    """Stop reading a stream among the settings."""
    close = getattr(items, "aclose", None)
    if close is not None:
        # A task that the action has left behind may still read the stream. It ends with that task, and the result of
        # the call stays as it is.
        with suppress(RuntimeError):
            await close()
