"""The step that runs an action."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from hookline.connector import Action
from hookline.expressions import Template
from hookline.flows.blocks.block import Block, Compiling, Node, RawStep
from hookline.flows.names import CredentialUse, unknown_component
from hookline.flows.scope import Place
from hookline.flows.settings import settings_problems
from hookline.model.flow import ActionStep


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed attempt is tried again. `attempts` counts the first one."""

    attempts: int = 3
    wait: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ActionNode(Node):
    """A step that runs an action."""

    action: Action
    settings: Template
    """Gives the action's settings, as an object."""
    credential: str | None
    retry: RetryPolicy
    timeout: timedelta | None
    on_error: Literal["fail", "continue"]


def _compile(step: RawStep, compiling: Compiling) -> tuple[ActionNode | None, Place]:
    return _node(step, compiling), step.place.after(step.id)


def _node(step: RawStep, compiling: Compiling) -> ActionNode | None:
    raw, pointer, registry = step.raw, step.pointer, compiling.registry
    given = raw.get("with", {})
    settings = compiling.template(given if isinstance(given, dict) else {}, f"{pointer}/with", step.place)
    use = raw.get("use")
    if not isinstance(use, str):
        return None
    action = registry.actions.get(use)
    if action is None:
        compiling.problems.append(unknown_component("action", use, registry.actions, registry, f"{pointer}/use"))
        return None
    if action.unavailable is not None:
        compiling.problem(f"action {use!r} can't be used here", f"{pointer}/use", "unavailable", action.unavailable)
    if isinstance(given, dict):
        compiling.problems += settings_problems(action, settings, compiling.vars, f"{pointer}/with")
    _credential(raw.get("credential"), action, pointer, compiling)
    document = step.typed(ActionStep)
    if document is None:
        return None
    if document.timeout is not None and document.timeout <= timedelta():
        message, remedy = "a timeout of nothing lets no attempt finish", "leave it out, or give it some time"
        compiling.problem(message, f"{pointer}/timeout", "invalid_value", remedy)
    retry = document.retry
    return ActionNode(
        id=step.id,
        pointer=pointer,
        when=step.when,
        action=action,
        settings=settings,
        credential=document.credential,
        retry=RetryPolicy() if retry is None else RetryPolicy(retry.attempts, retry.wait, retry.factor, retry.cap),
        timeout=document.timeout,
        on_error=document.on_error,
    )


def _credential(name: Any, action: Action, pointer: str, compiling: Compiling) -> None:
    types = action.credential_types
    if isinstance(name, str) and types:
        compiling.credentials.append(CredentialUse(name, f"{pointer}/credential", types))
    elif isinstance(name, str):
        message = f"action {action.name!r} takes no credential"
        compiling.problem(message, f"{pointer}/credential", "credential_unwanted", "remove it")
    elif name is None and action.needs_credential:
        message = f"action {action.name!r} needs a credential of type {' or '.join(types)}"
        remedy = f'add "credential": "…", and make it with `hookline credentials set … --type {types[0]}`'
        compiling.problem(message, pointer, "missing_key", remedy)


ACTION: Final = Block(_compile)
