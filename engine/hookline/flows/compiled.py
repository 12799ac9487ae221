"""A flow ready to run: its document with every name resolved and every expression compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hookline.flows.blocks.block import Node
from hookline.flows.body_schema import BodySchema
from hookline.flows.keys import Key
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
