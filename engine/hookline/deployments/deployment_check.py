"""The check of a deployment: the problems of its documents, and of the flows that stay."""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from hookline.catalog.catalog import CatalogEntry
from hookline.credentials.stored_credentials import CredentialInfo
from hookline.deployments.deployment_request import CheckedDeployment, DeploymentRequest
from hookline.deployments.flow_storage import FlowStorage
from hookline.flows.authoring.formatter import format_flow
from hookline.flows.check.check_flow import CheckedFlow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import Document, read
from hookline.flows.elements.outside_references import KnownFlow
from hookline.flows.types.sample_shapes import NO_SAMPLES, Samples, read_samples
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.json import decode, encode
from hookline.kernel.pointers_and_patches import escape
from hookline.model.flow import FLOW_ID
from hookline.secrets.credential_reach import KnownCredential

#: A flow with these problems can serve: its executions wait for the credential, or fail without sending it.
_ONLY_WARNED: Final = frozenset({"credential_missing", "credential_type", "credential_flows", "credential_host"})
_LONGEST_ID: Final = 100


class DeploymentCheck:
    """Checks the documents of deployments among the flows of a flow storage."""

    def __init__(
        self,
        flow_storage: FlowStorage,
        credentials: Callable[[], Sequence[CredentialInfo]],
        check: Callable[..., CheckedFlow],
    ) -> None:
        """`credentials` returns all credentials; `check` knows the plugins and settings of the server."""
        self._flow_storage = flow_storage
        self._credentials = credentials
        self._check_flow = check

    async def check(self, request: DeploymentRequest, *, prefixed: bool) -> CheckedDeployment:
        """Raises FlowInvalid with the problems of all flows, NoConnectors and StoreError."""
        samples = {flow_id: await self._samples(request, flow_id) for flow_id in request.documents}
        return await asyncio.to_thread(self._checked, request, samples, self._visible(request), prefixed)

    def _visible(self, request: DeploymentRequest) -> Mapping[str, KnownCredential]:
        """The credentials that some flow of the caller may use."""
        flows = request.visible
        return {one.name: one.known for one in self._credentials() if flows is None or any(map(one.is_for, flows))}

    async def _samples(self, request: DeploymentRequest, flow_id: str) -> Samples:
        """The samples in the cases of a flow."""
        if len(flow_id) > _LONGEST_ID or not re.fullmatch(FLOW_ID, flow_id):
            # Perhaps no file can have this name. The check of the document tells what is wrong.
            return NO_SAMPLES
        text = request.cases[flow_id] if flow_id in request.cases else await self._flow_storage.cases(flow_id)
        if text is not None:
            # The problems of cases are reported where they are set.
            with suppress(ValueError, RecursionError):
                return read_samples(decode(text))
        return NO_SAMPLES

    def _checked(
        self,
        request: DeploymentRequest,
        samples: Mapping[str, Samples],
        credentials: Mapping[str, KnownCredential],
        prefixed: bool,
    ) -> CheckedDeployment:
        entries = self._flow_storage.catalog.entries
        deleted = {flow_id for flow_id, text in request.documents.items() if text is None}
        known = known_flows(entries, request.visible) | {
            flow_id: KnownFlow.of(text, shown=request.sees(flow_id))
            for flow_id, text in request.documents.items()
            if text is not None
        }
        known = {flow_id: flow for flow_id, flow in known.items() if flow_id not in deleted}
        left = {} if request.served_before else _left_calls(request, deleted, entries)
        problems: list[Problem] = []
        flows: dict[str, CompiledFlow | None] = {}
        documents: dict[str, Mapping[str, Any] | None] = {}
        warnings: dict[str, Sequence[Problem]] = {}
        for flow_id, text in request.documents.items():
            start = f"/flows/{escape(flow_id)}" if prefixed else ""
            flow, document, found = None, None, list(left.get(flow_id, ()))
            if text is not None:
                flow, document, found = self._examined(request, flow_id, text, samples[flow_id], credentials, known)
            elif flow_id not in entries:
                found = [Problem(f"there is no flow {flow_id!r}", "", "unknown_flow", "leave it out")]
            flows[flow_id], documents[flow_id] = flow, document
            found = [replace(problem, pointer=start + problem.pointer) for problem in found]
            warnings[flow_id] = [problem for problem in found if problem.severity == "warning"]
            problems += [problem for problem in found if problem.severity == "error"]
        if problems:
            raise FlowInvalid(problems)
        return CheckedDeployment(request, flows, documents, warnings, entries, prefixed)

    def _examined(
        self,
        request: DeploymentRequest,
        flow_id: str,
        text: bytes,
        samples: Samples,
        credentials: Mapping[str, KnownCredential],
        known: Mapping[str, KnownFlow],
    ) -> tuple[CompiledFlow | None, Mapping[str, Any] | None, list[Problem]]:
        """The flow of a document, the document, and its problems."""
        try:
            document = read(text)
        except FlowInvalid as error:
            return None, None, list(error.problems)
        other = _other_id(document, flow_id)
        if other:
            # It is checked as the flow that it would replace: the caller may not know of the one that it names.
            document = replace(document, value={**document.value, "id": flow_id})
        compiled = self._flow_storage.catalog.compile(document)
        flow = None if compiled.flow is None else _canonical(compiled.flow)
        if request.served_before:
            return flow, document.value, [*compiled.problems, *other]
        checked = self._check_flow(document, credentials=credentials, flows=known, samples=samples)
        problems = [*checked.problems, *other]
        return flow, document.value, [_lenient(problem) for problem in problems]


def known_flows(entries: Mapping[str, CatalogEntry], visible: Collection[str] | None) -> dict[str, KnownFlow]:
    """The flows of a catalog, for the check of those that call them. `visible`: those that the caller may know of."""
    return {
        entry.id: KnownFlow(
            () if entry.flow is None else entry.flow.settings.callable_by, visible is None or entry.id in visible
        )
        for entry in entries.values()
    }


def _canonical(flow: CompiledFlow) -> CompiledFlow:
    """The flow with its source in canonical form, as it is read from the file that a folder would have of it."""
    return replace(flow, source=canonical_source(flow.source))


def canonical_source(source: bytes) -> bytes:
    """A document in canonical form, without spaces."""
    return encode(read(format_flow(read(source).value).encode()).value)


def _left_calls(
    request: DeploymentRequest, deleted: Collection[str], entries: Mapping[str, CatalogEntry]
) -> Mapping[str, Sequence[Problem]]:
    """The problems of deleted flows that other flows still call, by the id of the deleted flow."""
    found: dict[str, list[Problem]] = {}
    for entry in entries.values():
        if not deleted or entry.flow is None or entry.id in request.documents:
            continue
        for use in entry.flow.calls:
            if use.id in deleted:
                sees = request.sees(entry.id)
                caller = f"flow {entry.id!r} calls it, at {use.pointer}" if sees else "another flow calls it"
                remedy = "change or delete the flow that calls it, before or in the same deployment"
                found.setdefault(use.id, []).append(Problem(caller, "", "unknown_flow", remedy))
    return found


def _other_id(document: Document, flow_id: str) -> list[Problem]:
    found = document.flow_id
    if found is None or found == flow_id:
        return []
    problem = Problem(f"this is flow {found!r}, and not {flow_id!r}", "/id", "other_flow", f"write {flow_id}")
    return document.place([problem])


def _lenient(problem: Problem) -> Problem:
    return replace(problem, severity="warning") if problem.code in _ONLY_WARNED else problem
