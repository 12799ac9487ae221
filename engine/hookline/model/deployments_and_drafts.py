"""Deployments: changes of the set of flows that are served, each applied as a whole; and drafts of flows."""

from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from hookline.model.access import Actor

FileKind: TypeAlias = Literal["flow", "cases"]
MAX_DRAFTS: Final = 100
"""The most drafts that are kept."""


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


class DraftInfo(msgspec.Struct, frozen=True):
    """The facts about a draft, besides its text."""

    flow_id: str
    version: str
    """A hash of its text and its base: the same content has the same version."""
    base: str | None
    """The version of the flow from which it was made; None if there was no flow."""
    size: int
    """The bytes of its text."""
    updated_at: datetime
    author: Actor
    """The one who saved it last."""


class Draft(msgspec.Struct, frozen=True):
    """The text of a flow that isn't deployed. There is one for each flow, and all authors share it."""

    info: DraftInfo
    text: bytes
    """It may be no JSON yet."""
