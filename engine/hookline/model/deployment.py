"""Deployments: changes of the set of flows that are served, each applied as a whole."""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from hookline.model.access import Actor

FileKind: TypeAlias = Literal["flow", "cases"]


class DeployedFlow(msgspec.Struct, frozen=True):
    """A flow's part of a deployment."""

    flow_id: str
    version: str | None
    """The version that serves from now on; None if the flow was deleted."""
    before: str | None = None
    """The version that served before; None if there was none."""


class Deployment(msgspec.Struct, frozen=True):
    """A change of the set of flows that are served."""

    id: str
    """Ids sort by time."""
    at: datetime
    author: Actor
    flows: tuple[DeployedFlow, ...]
    message: str | None = None
    rollback_of: str | None = None
    """The deployment whose set of flows is served again."""


class ServedFlow(msgspec.Struct, frozen=True):
    """A flow that is served, by the last deployment that changed it."""

    flow_id: str
    version: str
    deployment_id: str


class FlowFile(msgspec.Struct, frozen=True):
    """A file of a flow that a deployment writes or deletes."""

    flow_id: str
    kind: FileKind
    """`flow` is the document, `cases` its test cases."""
    text: bytes | None
    """None if the file is deleted."""
    replaces: bytes | None = None
    """The SHA-256 of the text that it replaces; None if there was no file."""
