"""A flow ready to run: its document with every name resolved and every expression compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from hookline.connector import Action
from hookline.expressions import Condition, Template
from hookline.flows.body_schema import BodySchema
from hookline.flows.keys import Key
from hookline.model.flow import FlowDocument
from hookline.model.webhook import WebhookSettings
from hookline.scheme import Scheme


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a failed attempt is tried again. `attempts` counts the first one."""

    attempts: int = 3
    wait: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    cap: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class ActionNode:
    """A step that runs an action."""

    id: str
    pointer: str
    """JSON pointer of the step in the document."""
    when: Condition | None
    """None where it always runs."""
    action: Action
    settings: Template
    """Gives the action's settings, as an object."""
    credential: str | None
    retry: RetryPolicy
    timeout: timedelta | None
    on_error: Literal["fail", "continue"]


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a switch."""

    when: Condition | None
    """None for `otherwise`."""
    steps: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class SwitchNode:
    """A step that chooses."""

    id: str
    pointer: str
    when: Condition | None
    cases: tuple[Case, ...]
    match: Literal["first", "all"]


@dataclass(frozen=True, slots=True)
class ForeachNode:
    """A step that runs others for each item."""

    id: str
    pointer: str
    when: Condition | None
    items: Template
    steps: tuple["Node", ...]
    concurrency: int
    as_name: str
    on_error: Literal["fail", "continue"]


Node: TypeAlias = ActionNode | SwitchNode | ForeachNode


@dataclass(frozen=True, slots=True)
class CompiledTrigger:
    """What starts the flow, with its scheme resolved."""

    use: str
    settings: BaseModel
    webhook: WebhookSettings | None
    """The same settings, where requests start the flow."""
    scheme: Scheme[Any, Any] | None
    """None where nothing is verified, or requests don't start the flow."""
    scheme_settings: BaseModel | None
    credential: str | None
    dedupe_key: Key | None


@dataclass(frozen=True, slots=True)
class CompiledFlow:
    """One version of a flow."""

    id: str
    version: str
    """Hash of the document's canonical JSON without `$schema`, `title` and layout."""
    document: FlowDocument
    source: bytes
    """The document's canonical JSON, as it is published."""
    trigger: CompiledTrigger
    vars: Mapping[str, Any]
    steps: tuple[Node, ...]
    schema: BodySchema | None
    credentials: frozenset[str]
    """Names of all the credentials that it uses."""
    order_by: Key | None = None
    """Executions with an equal key run one at a time."""
