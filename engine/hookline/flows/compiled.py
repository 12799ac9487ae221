"""A flow ready to run: its document with every name resolved and every expression compiled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hookline.flows.blocks.block import Node
from hookline.flows.blocks.wait import WaitNode
from hookline.flows.body_schema import BodySchema
from hookline.flows.keys import Key
from hookline.flows.waits import WaitPlace
from hookline.model.flow import FlowDocument
from hookline.model.webhook import WebhookSettings
from hookline.scheme import Scheme


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
    on_error_steps: tuple[Node, ...] = ()
    """What runs where an execution fails, before it ends."""
    on_error_flow: str | None = None
    """The flow that is started where an execution has failed."""
    waits: Mapping[str, WaitNode] = field(default_factory=dict)
    """Its steps that wait for calls, by id."""
    wait_places: tuple[WaitPlace, ...] = ()

    @property
    def exact(self) -> bool:
        """Fractions are Decimals wherever its executions see one."""
        webhook = self.trigger.webhook
        return webhook is not None and webhook.numbers == "exact"
