"""The settings of an attempt at an action: evaluated, validated, and in the form that the journal shows."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ValidationError

from hookline.executions.execution_context import ExecutionContext, Frame
from hookline.executions.steps.stream_of_items import read_stream
from hookline.flows.blocks.action import CompiledAction
from hookline.kernel.errors import ExpressionError, StepError
from hookline.kernel.plugin_model_validation import is_plugin_defect, problems_text
from hookline.model.foreach_progress_and_streams import REMEDY, Stream, stream_in
from hookline.model.message import Message
from hookline.plugin_host.large_value_work import reads_large_values
from hookline.sdk.mappers import Scope
from hookline.sdk.schemes import NoSettings
from hookline.sdk.settings.function_signatures import SettingSources
from hookline.secrets.masking import MASK


class StepSettings:
    """The evaluated settings of an attempt, as they are recorded and as the action takes them."""

    __slots__ = ("message", "model", "opened", "raw")

    def __init__(self, raw: Any, model: BaseModel, message: Message, opened: tuple[AsyncIterator[Any], ...]) -> None:
        """`message`: the current message; the action's own copy of it if the action might change it.

        `opened`: the streams among the settings, which are closed after the attempt.
        """
        self.raw = raw
        self.model = model
        self.message = message
        self.opened = opened


UNEVALUATED: Final = StepSettings(None, NoSettings(), Message(), ())
"""The settings of an attempt that hasn't evaluated them."""


async def evaluate_settings(run: ExecutionContext, step: CompiledAction, frame: Frame) -> StepSettings:
    """Evaluate and validate the settings of a step, in a thread if that takes long. Raises StepError."""
    scope = run.scope(frame, step.reads)
    if run.progress.large and reads_large_values(step.settings.references, scope):
        return await run.services.offloader.run(partial(_evaluated, run, step, frame, scope), large=True)
    return _evaluated(run, step, frame, scope)


def _evaluated(run: ExecutionContext, step: CompiledAction, frame: Frame, scope: Scope) -> StepSettings:
    action, message = step.action, frame.message
    try:
        raw = step.settings.evaluate(scope)
    except ExpressionError as error:
        raise StepError(f"with: {error.message}", code=error.code) from error
    if run.progress.streams and (stream := stream_in(_values(step, raw))) is not None:
        raise StepError(f"with: a stream of {stream.count:,} items is no value; {REMEDY}", code="step.stream")
    taken = raw
    if step.foreign:
        # It may change its settings.
        taken, message = _own(raw), Message(_copy(message.body), dict(message.headers), message.attachments)
    read = partial(read_stream, run.services.blobs, numbers=run.flow.numbers, redactor=run.redactor)
    sources = SettingSources(frame.message, read)
    try:
        return StepSettings(raw, action.validated(taken, sources), message, tuple(sources.opened))
    except ValidationError as error:
        problems = problems_text(error)
        if is_plugin_defect(error):
            defect = run.services.plugin_calls.defect("action", action.name, problems)
            raise StepError(defect.message, code="connector.defect") from error
        raise StepError(f"{action.name} can't take these settings: {problems}", code="step.settings") from error


def settings_json(step: CompiledAction, raw: Any, encode: Callable[[Any], bytes]) -> bytes:
    """The JSON of settings in the journal, without those that are secret."""
    if step.secret and isinstance(raw, dict):
        raw = {name: MASK if name in step.secret else value for name, value in raw.items()}
    return encode(raw)


def _values(step: CompiledAction, raw: Any) -> Any:
    """The settings without the streams that the action reads as streams."""
    items = step.action.items
    if not items or not isinstance(raw, dict):
        return raw
    return {name: value for name, value in raw.items() if name not in items or type(value) is not Stream}


def _own(raw: Any) -> Any:
    """A copy of the settings. Streams are references and aren't copied."""
    if not isinstance(raw, dict):
        return _copy(raw)
    return {name: value if type(value) is Stream else _copy(value) for name, value in raw.items()}


def _copy(value: Any) -> Any:
    """A copy of a JSON value."""
    return msgspec.to_builtins(value, builtin_types=(Decimal,))
