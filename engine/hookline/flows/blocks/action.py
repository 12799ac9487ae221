"""The step that runs an action."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.discovery.connector_placeholders import unloaded_action
from hookline.flows.blocks.step_type import CompileContext, CompiledStep, RawStep, StepType
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.outside_references import CredentialUse, unknown_component
from hookline.flows.elements.scope_check import VisibleNames
from hookline.flows.elements.settings_check import settings_problems
from hookline.kernel.backoff import RetryPolicy
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import adding, removing, replacing
from hookline.model.flow import ActionStep, RetryDocument
from hookline.sdk.action import Action
from hookline.sdk.settings.setting_upgrades import older_settings, plain_name

DEFAULT_RETRY: Final = RetryPolicy()
"""The policy of a step that has none of its own."""


def retry_policy(document: RetryDocument | None) -> RetryPolicy:
    """The retry policy of a step."""
    if document is None:
        return DEFAULT_RETRY
    return RetryPolicy(document.attempts, document.wait, document.factor, document.cap, document.jitter, document.on)


NO_RETRY: Final = RetryPolicy(attempts=1)
"""A single attempt."""


@dataclass(frozen=True, slots=True)
class CompiledAction(CompiledStep):
    """A step that runs an action: the plan of its runs, which is made when the flow is compiled."""

    action: Action
    foreign: bool
    """The action belongs to a plugin that isn't one of Hookline's own."""
    settings: Template
    """Evaluates the action's settings, an object."""
    reads: frozenset[str] | None
    """The names of the scope that the settings read; None if they may read all of them."""
    secret: frozenset[str]
    """The settings whose type is secret. The journal doesn't show them."""
    credential: str | None
    credential_types: tuple[str, ...]
    """The types of credentials that the action takes."""
    retry: RetryPolicy
    timeout: timedelta | None
    """The time limit of an attempt; None for that of the server, which an action without effects doesn't have."""
    on_error: Literal["fail", "continue"]
    rate: str | None = None
    """The rate limit over all executions, such as `5/s`."""
    once: bool = False
    """It runs at most once: if its outcome isn't known, it fails."""

    @property
    def skipped_use(self) -> str:
        """The `use` of its journal entry if it is skipped."""
        return self.action.name


def _compile(step: RawStep, compiling: CompileContext) -> tuple[CompiledAction | None, VisibleNames]:
    return _step(step, compiling), step.place.after(step.id)


def _step(step: RawStep, compiling: CompileContext) -> CompiledAction | None:
    raw, pointer, registry = step.raw, step.pointer, compiling.registry
    given = raw.get("with", {})
    settings = compiling.template(given if isinstance(given, dict) else {}, f"{pointer}/with", step.place)
    use = raw.get("use")
    if not isinstance(use, str):
        return None
    action = registry.actions.get(use)
    if action is None and not registry.has_connectors:
        # A node with connectors has checked the step, and another one will run it.
        action = unloaded_action(use, raw.get("credential"))
    if action is None:
        compiling.missing_action(use, unknown_component("action", use, registry.actions, registry, f"{pointer}/use"))
        return None
    if action.unavailable is not None:
        message = f"action {use!r} is not available"
        compiling.missing_action(use, Problem(message, f"{pointer}/use", "unavailable", action.unavailable))
    if isinstance(given, dict):
        problems = settings_problems(action, settings, compiling.vars, f"{pointer}/with")
        compiling.problems += problems
        _version(action, settings, pointer, compiling, wrong=bool(problems))
    _credential(raw.get("credential"), action, pointer, compiling)
    document = step.typed(ActionStep)
    if document is None:
        return None
    if document.timeout is not None and document.timeout <= timedelta():
        message, remedy = "with this timeout no attempt can finish", "remove it, or write a longer time, such as 30s"
        at = f"{pointer}/timeout"
        compiling.problem(message, at, "invalid_value", remedy, fix=removing(at))
    _delivery_problems(document, action, raw, pointer, compiling)
    return CompiledAction(
        id=step.id,
        pointer=pointer,
        when=step.when,
        action=action,
        foreign=registry.is_foreign("action", action.name),
        settings=settings,
        reads=_names(settings),
        secret=_secret_settings(action.settings),
        credential=document.credential,
        credential_types=action.credential_types,
        retry=NO_RETRY if document.delivery == "at_most_once" else retry_policy(document.retry),
        timeout=document.timeout,
        on_error=document.on_error,
        rate=document.rate,
        once=document.delivery == "at_most_once",
    )


def _names(settings: Template) -> frozenset[str] | None:
    """The names of the scope that settings read; None unless each of their expressions is a single path."""
    paths = [expression.path for _, expression in settings.parts()]
    return _shared(frozenset(str(path[0]) for path in paths if path)) if all(paths) else None


@lru_cache(maxsize=1024)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """Return the same object for equal sets, since many steps read the same names."""
    return names


@lru_cache(maxsize=4096)
def _secret_settings(settings: type[BaseModel]) -> frozenset[str]:
    """The names of the settings whose type is secret."""

    def holds_secret(annotation: Any) -> bool:
        if annotation in (SecretStr, SecretBytes):
            return True
        return any(holds_secret(part) for part in get_args(annotation))

    return frozenset(
        field.alias or name for name, field in settings.model_fields.items() if holds_secret(field.annotation)
    )


def _version(action: Action, settings: Template, pointer: str, compiling: CompileContext, *, wrong: bool) -> None:
    """Note settings of an older version: `use` names it, or the settings are valid only for it."""
    if action.upgrade is not None:
        remedy = f"`hookline fmt --upgrade` rewrites them for version {action.upgrade.newest}"
        compiling.problem(older_settings(action.upgrade), f"{pointer}/use", "older_version", remedy, "note")
    elif wrong and action.version is not None:
        for number in range(action.version - 1, 0, -1):
            name = f"{plain_name(action.name)}@{number}"
            older = compiling.registry.actions.get(name)
            if older is None or settings_problems(older, settings, compiling.vars, f"{pointer}/with"):
                continue
            message = f"these are settings for version {number} of {plain_name(action.name)!r}"
            remedy = f'write "use": "{name}", then run `hookline fmt --upgrade`'
            at = f"{pointer}/use"
            compiling.problem(message, at, "older_version", remedy, "note", fix=replacing(at, name))
            return


def _delivery_problems(
    document: ActionStep, action: Action, raw: Mapping[str, Any], pointer: str, compiling: CompileContext
) -> None:
    """Report problems of `retry`, `rate` and `delivery`."""
    once = document.delivery == "at_most_once"
    if once and document.retry is not None:
        message = "a step with at_most_once is never retried"
        at = f"{pointer}/retry"
        compiling.problem(message, at, "retry_at_most_once", 'remove "retry", or "delivery"', fix=removing(at))
    for key in ("rate", "delivery"):
        if key in raw and action.pure:
            message = f"action {action.name!r} has no effects, so {key!r} changes nothing"
            at = f"{pointer}/{key}"
            compiling.problem(message, at, "without_effect", "remove it", "warning", fix=removing(at))


def _credential(name: Any, action: Action, pointer: str, compiling: CompileContext) -> None:
    types = action.credential_types
    if isinstance(name, str) and types:
        compiling.credentials.append(CredentialUse(name, f"{pointer}/credential", types))
    elif isinstance(name, str):
        message = f"action {action.name!r} takes no credential"
        at = f"{pointer}/credential"
        compiling.problem(message, at, "credential_unwanted", "remove it", fix=removing(at))
    elif name is None and action.needs_credential:
        message = f"action {action.name!r} needs a credential of type {' or '.join(types)}"
        remedy = f'add "credential": "…", and create it with `hookline credentials set … --type {types[0]}`'
        compiling.problem(message, pointer, "missing_key", remedy, fix=adding(f"{pointer}/credential", ""))


ACTION: Final = StepType(_compile)
