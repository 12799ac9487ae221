"""The `flow` step, which calls another flow."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, WithJsonSchema

from hookline.flows.blocks.action import NO_RETRY, retry_policy
from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.outside_references import FlowUse
from hookline.flows.elements.scope_check import VisibleNames
from hookline.kernel.backoff import RetryPolicy
from hookline.kernel.pointers_and_patches import removing
from hookline.model.expression_setting_types import EXPRESSION_SCHEMA
from hookline.model.flow import FLOW_ID, ActionStep
from hookline.model.reach import Reach

HeadersExpression = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, EXPRESSION_SCHEMA]}},
                EXPRESSION_SCHEMA,
            ]
        }
    ),
]
"""Headers by name, each a text or an expression; or one expression that gives all headers."""


class CallSettings(BaseModel):
    """The settings of a step that calls another flow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Reach("flow")] = Field(
        pattern=FLOW_ID, description="The flow's id. It can't be an expression, so no message can choose it."
    )
    wait: StrictBool = Field(
        default=True,
        description="Wait for the flow's end, and give its last body. Otherwise the step goes on at once.",
    )
    body: Any = Field(default=None, description="The body for the flow; by default the current one.")
    headers: HeadersExpression = Field(
        default=None, description="The headers for the flow; by default the current ones."
    )


USE: Final = "flow"
_NOT_HERE: Final = ("credential", "rate", "delivery")
_OF_WAITING: Final = ("timeout", "retry")


@dataclass(frozen=True, slots=True)
class CompiledCall(CompiledStep):
    """A step that calls another flow."""

    flow_id: str
    wait: bool
    body: Template | None
    """None if the flow gets the current body."""
    headers: Template | None
    retry: RetryPolicy
    timeout: timedelta | None
    """The time that the step waits for the flow's end."""
    on_error: Literal["fail", "continue"]


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledCall | None, VisibleNames]:
    behind = step.place.after(step.id)
    document, raw, pointer = step.typed(ActionStep), step.raw, step.pointer
    given = raw.get("with", {})
    for name in _NOT_HERE:
        if name in raw:
            at = f"{pointer}/{name}"
            message = f"a step that calls a flow doesn't accept {name!r}"
            compiling.problem(message, at, "unknown_key", "remove it", fix=removing(at))
    if not isinstance(given, dict):
        return None, behind
    settings: CallSettings | None = None
    try:
        settings = CallSettings.model_validate(given)
    except ValidationError as error:
        compiling.problems += model_problems(CallSettings, given, f"{pointer}/with", error)
    body, headers = (
        compiling.template(given[name], f"{pointer}/with/{name}", step.place) if name in given else None
        for name in ("body", "headers")
    )
    if headers is not None and headers.gives not in (None, dict):
        remedy = 'write an object whose values are texts: {"x-from": "$.body.id"}'
        compiling.problem("headers must be an object", f"{pointer}/with/headers", "wrong_type", remedy)
    if settings is None:
        return None, behind
    compiling.flows.append(FlowUse(settings.id, f"{pointer}/with/id"))
    if not settings.wait:
        _waits_for_nothing(raw, pointer, compiling)
    if document is None:
        return None, behind
    if document.timeout is not None and document.timeout <= timedelta():
        message, remedy = "with this timeout no flow can end in time", "remove it, or write a longer time, such as 30s"
        at = f"{pointer}/timeout"
        compiling.problem(message, at, "invalid_value", remedy, fix=removing(at))
    compiled = CompiledCall(
        id=step.id,
        pointer=pointer,
        when=step.when,
        flow_id=settings.id,
        wait=settings.wait,
        body=body,
        headers=headers,
        # The called flow retries its own steps.
        retry=NO_RETRY if document.retry is None else retry_policy(document.retry),
        timeout=document.timeout,
        on_error=document.on_error,
    )
    return compiled, behind


def _waits_for_nothing(raw: Any, pointer: str, compiling: CompileContext) -> None:
    for name in _OF_WAITING:
        if name in raw:
            message = f"a step that doesn't wait for the flow doesn't accept {name!r}"
            at, remedy = f"{pointer}/{name}", 'remove it, or let it wait: "wait": true'
            compiling.problem(message, at, "unknown_key", remedy, fix=removing(at))


CALL: Final = StepType(
    _compile,
    summary="Call another flow, and wait for its end without occupying a slot. Its last body becomes the message.",
    settings=CallSettings,
    rejects=_NOT_HERE,
)
