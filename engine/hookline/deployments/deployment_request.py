"""Requests for deployments, in three stages: as the caller made them, checked, and deployed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hookline.catalog.catalog import CatalogEntry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.flows.documents.version import SILENT
from hookline.kernel.errors import Problem
from hookline.kernel.json import encode
from hookline.model.access import Actor
from hookline.model.deployments_and_drafts import Deployment


@dataclass(frozen=True, slots=True)
class Expected:
    """The version of a flow that a caller expects to be served; if another one is, somebody else has changed it."""

    versions: frozenset[str] | None = None
    """One of these is served; None for any version. They may also be what `tag_of` returns."""
    absent: bool = False
    """No version is served, and there is no flow of this id."""
    by_tag: bool = False
    """Compare only with what `tag_of` returns, so that no title is overwritten unseen."""

    def fits(self, version: str | None, tag: str | None = None) -> bool:
        """Return true if the version that is served is an expected one; None if no version is served."""
        if self.absent or version is None:
            return self.absent and version is None
        found = {tag or version} if self.by_tag else {version, tag}
        return self.versions is None or not self.versions.isdisjoint(found)


@dataclass(frozen=True, slots=True)
class DeploymentRequest:
    """A change of the set of flows."""

    by: Actor
    documents: Mapping[str, bytes | None]
    """The texts of the documents by flow id; None deletes a flow."""
    cases: Mapping[str, bytes | None] = field(default_factory=dict)
    """The texts of cases by flow id; None deletes them."""
    message: str | None = None
    expected: Mapping[str, Expected] = field(default_factory=dict)
    """By flow id; flows that aren't here may be served by any version."""
    rollback_of: str | None = None
    force: bool = False
    """Replace files even if they have changes that were never published."""
    served_before: bool = False
    """The documents have served before, so that only problems that keep them from running are errors."""
    expected_cases: Mapping[str, Expected] = field(default_factory=dict)
    """By flow id; the versions of cases are those of `version_of_cases`."""
    visible: frozenset[str] | None = None
    """The only flows that the caller may know of; None for all."""

    def sees(self, flow_id: str) -> bool:
        """Return true if the caller may know of a flow."""
        return self.visible is None or flow_id in self.visible


@dataclass(frozen=True, slots=True)
class CheckedDeployment:
    """A change of the set of flows in which no error was found."""

    request: DeploymentRequest
    flows: Mapping[str, CompiledFlow | None]
    documents: Mapping[str, Mapping[str, Any] | None]
    warnings: Mapping[str, Sequence[Problem]] = field(default_factory=dict)
    """By flow id."""
    among: Mapping[str, CatalogEntry] | None = None
    """The flows that were served when it was checked; None if the check doesn't depend on them."""
    prefixed: bool = False
    """The pointers of problems begin with `/flows/<id>`."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of a deployment."""

    deployment: Deployment | None
    """None if no flow had to be changed."""
    created: frozenset[str] = frozenset()
    """The flows that were not served before."""
    pending: Sequence[str] = ()
    """The names of the nodes that may still serve the previous versions."""


def tag_of(flow: CompiledFlow) -> str:
    """The ETag of a flow: its version, with a hash of the keys that the version leaves out, such as the title."""
    document = read(flow.source).value
    silent = {key: value for key, value in sorted(document.items()) if key in SILENT}
    return f"{flow.version}-{hashlib.sha256(encode(silent)).hexdigest()[:8]}" if silent else flow.version


def version_of_cases(text: bytes) -> str:
    """The version of cases: a hash of their text."""
    return hashlib.sha256(text).hexdigest()[:16]
