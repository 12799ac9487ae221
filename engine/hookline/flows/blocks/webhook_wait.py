"""The `webhook` step in the middle of a flow, which waits for a callback."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydantic import BaseModel, ValidationError

from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.documents.model_problems import model_problems
from hookline.flows.elements.compiled_verify import compile_verify, content_type_problems
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.message_keys import MessageKey, compile_key
from hookline.flows.elements.paths_masked_by_schemes import MaskedPaths
from hookline.flows.elements.scope_check import ON_ARRIVAL, VisibleNames
from hookline.flows.elements.wait_page import PageTemplate, compile_page, page_problems
from hookline.kernel.pointers_and_patches import adding, removing
from hookline.model.flow import ActionStep
from hookline.model.webhook import WaitSettings
from hookline.sdk.schemes import Scheme

USE: Final = "webhook"
_NOT_HERE: Final = ("credential", "retry", "timeout", "rate", "delivery")


@dataclass(frozen=True, slots=True)
class CompiledWait(CompiledStep):
    """A step that waits for a callback."""

    settings: WaitSettings
    scheme: Scheme[Any, Any] | None
    """None if callbacks are only verified by the resume URL."""
    scheme_settings: BaseModel | None
    credential: str | None
    key: Template | None
    """The key of the execution; None if callbacks aren't correlated."""
    key_of_call: MessageKey | None
    """The key of the execution for which a callback is."""
    on_error: Literal["fail", "continue"]
    page: PageTemplate | None = None
    """The page that a person sees at the resume URL."""


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledWait | None, VisibleNames]:
    behind = step.place.after(step.id)
    document, raw, pointer = step.typed(ActionStep), step.raw, step.pointer
    given = raw.get("with", {})
    for name in _NOT_HERE:
        if name in raw:
            remedy, at = "remove it", f"{pointer}/{name}"
            fix = removing(at)
            if name == "timeout":
                remedy = 'put "timeout" into "with"'
                fix = (*adding(f"{pointer}/with/timeout", raw[name]), *fix)
            message = f"a step that waits for a callback doesn't accept {name!r}"
            compiling.problem(message, at, "unknown_key", remedy, fix=fix)
    if not isinstance(given, dict):
        return None, behind
    at = f"{pointer}/with"
    settings: WaitSettings | None = None
    try:
        settings = WaitSettings.model_validate(given)
    except ValidationError as error:
        compiling.problems += model_problems(WaitSettings, given, at, error)
    correlate = given.get("correlate")
    if "verify" in given or correlate is not None:
        verification = compile_verify(given.get("verify"), compiling.registry, f"{at}/verify", compiling.problems)
    else:
        verification = compile_verify("none", compiling.registry, f"{at}/verify", [])
    if correlate is not None and "verify" not in given:
        message = "anyone who knows the key could call this step, so it must say how the caller is verified"
        remedy = 'add "verify"; write "none" if the caller can\'t be verified'
        compiling.problem(message, at, "missing_key", remedy, fix=adding(f"{at}/verify", "none"))
    if verification.credential is not None:
        compiling.credentials.append(verification.credential)
    if settings is not None and verification.scheme is not None:
        compiling.problems += content_type_problems(verification.scheme, settings, at)
    key, key_of_call = _keys(correlate, f"{at}/correlate", step.place, verification.masked, compiling)
    page = None
    if settings is not None and settings.page is not None:
        page = compile_page(
            settings.page, f"{at}/page", lambda value, each: compiling.template(value, each, step.place)
        )
        compiling.problems += page_problems(settings, page, at, exact=compiling.expressions.exact)
    if document is None or settings is None:
        return None, behind
    compiled = CompiledWait(
        id=step.id,
        pointer=pointer,
        when=step.when,
        settings=settings,
        scheme=verification.scheme,
        scheme_settings=verification.settings,
        credential=verification.credential.name if verification.credential is not None else None,
        key=key,
        key_of_call=key_of_call,
        on_error=document.on_error,
        page=page,
    )
    return compiled, behind


def _keys(
    correlate: Any, pointer: str, place: VisibleNames, masked: MaskedPaths, compiling: CompileContext
) -> tuple[Template | None, MessageKey | None]:
    if not isinstance(correlate, Mapping) or "key" not in correlate or "from" not in correlate:
        return None, None
    key = compiling.template(correlate["key"], f"{pointer}/key", place)
    if key.constant:
        message = "all executions wait for the same key; a callback goes to the one that has waited longest"
        remedy = "write an expression, such as $.body.order_id"
        compiling.problem(message, f"{pointer}/key", "constant_key", remedy, "warning")
    ours, theirs = correlate["key"], correlate["from"]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) != len(theirs):
        message = f"`from` has {len(theirs)} parts but `key` has {len(ours)}, so no callback would match"
        compiling.problem(
            message, f"{pointer}/key", "invalid_value", "write the same number of parts, in the same order"
        )
    arrival = VisibleNames(roots=ON_ARRIVAL)
    key_of_call, problems = compile_key(
        "correlate.from",
        correlate["from"],
        f"{pointer}/from",
        compiling.expressions,
        lambda template: list(compiling.references(template, arrival)),
        masked=masked,
        if_constant=("every callback would be for the same execution", "error"),
    )
    compiling.problems += problems
    return key, key_of_call


WAIT: Final = StepType(
    _compile,
    settings=WaitSettings,
    summary="Wait for a callback without occupying a slot. The request becomes the message.",
    rejects=_NOT_HERE,
)
