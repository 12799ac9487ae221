"""Deployments: the check of a change of several flows, and its application as a whole."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from hookline.access.audit import Operation, audited
from hookline.catalog.catalog import CatalogChanges, CatalogEntry
from hookline.catalog.current_flows import VersionResolver
from hookline.deployments.flow_source import FlowSource, NewTexts
from hookline.flows.check.check_flow import check_flow
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.documents.read import Document, read
from hookline.flows.types.samples import NO_SAMPLES, Samples, read_samples
from hookline.kernel.cancellation import shielded
from hookline.kernel.errors import DeploymentConflict, FlowInvalid, Problem, StoreError
from hookline.kernel.json import decode
from hookline.kernel.pointer import escape
from hookline.kernel.time import Clock
from hookline.model.access import FOLDER, Actor
from hookline.model.deployment import DeployedFlow, Deployment
from hookline.storage.changes import Change, Deploy, Publish
from hookline.storage.store import Store

#: A flow with these problems can serve: its executions wait for the credential.
_ONLY_WARNED: Final = frozenset({"credential_missing", "credential_type"})


@dataclass(frozen=True, slots=True)
class Expected:
    """The version of a flow that a caller has seen. It is the one that is served, or the caller has missed a change."""

    versions: frozenset[str] | None = None
    """One of these is served; None for any version."""
    absent: bool = False
    """No version is served, and there is no flow of this id."""

    def fits(self, version: str | None) -> bool:
        """Return true if a version is one of those; None is no version."""
        if self.absent:
            return version is None
        return version is not None and (self.versions is None or version in self.versions)


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
    """Replace files that have changes which were never published."""
    served_before: bool = False
    """The documents have served before, so that only what keeps them from running counts."""
    expected_cases: Mapping[str, Expected] = field(default_factory=dict)
    """By flow id; the versions of cases are those of `version_of_cases`."""


@dataclass(frozen=True, slots=True)
class CheckedDeployment:
    """A change of the set of flows in which no error was found."""

    request: DeploymentRequest
    flows: Mapping[str, CompiledFlow | None]
    documents: Mapping[str, Mapping[str, Any] | None]
    warnings: Mapping[str, Sequence[Problem]] = field(default_factory=dict)
    """By flow id."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """The result of a deployment."""

    deployment: Deployment | None
    """None if everything was as it should be already."""
    created: frozenset[str] = frozenset()
    """The flows that were not served before."""


class Deployer:
    """Applies deployments one at a time: those of callers, and those that a source has."""

    def __init__(
        self,
        *,
        store: Store,
        source: FlowSource,
        versions: VersionResolver,
        clock: Clock,
        new_id: Callable[[], str],
        credentials: Callable[[], Mapping[str, str]],
        check: Callable[..., list[Problem]] = check_flow,
        adopted: Callable[[CatalogChanges], None],
    ) -> None:
        """`credentials` returns the type of each credential; `check` knows the plugins and settings of the server;
        `adopted` is told each change of the catalog."""
        self._store = store
        self._source = source
        self._versions = versions
        self._clock = clock
        self._new_id = new_id
        self._credentials = credentials
        self._check_flow = check
        self._adopted = adopted
        self._lock = asyncio.Lock()
        self._unfinished = True

    async def load(self) -> None:
        """Read the flows and activate them, without deploying them. Raises StoreError and OSError."""
        async with self._lock:
            self._adopt(await self._source.read())

    async def recover(self) -> None:
        """Finish what a process has left. Raises StoreError and OSError."""
        async with self._lock:
            await self._recover()

    async def refresh(self) -> None:
        """Deploy what has changed in the source, as one deployment. Raises StoreError and OSError."""
        async with self._lock:
            await shielded(self._refresh())

    async def _recover(self) -> None:
        if self._unfinished:
            await self._source.recover()
            self._unfinished = False

    async def _refresh(self) -> None:
        await self._recover()
        reading = await self._source.read()
        served = await self._served()
        flows = _differences(reading.entries, served)
        found = [entry.flow for entry in reading.entries.values() if entry.flow is not None]
        publish = [flow for flow in found if self._versions.published.get(flow.id) != flow.version]
        if flows or publish:
            deployment = Deployment(self._new_id(), self._clock.now(), FOLDER, flows)
            await self._store.commit(self._changes(deployment, publish))
            self._published(publish)
        self._adopt(reading)

    def _adopt(self, reading: Any) -> None:
        changes = self._source.adopt(reading)
        self._adopted(changes)

    def _published(self, flows: Sequence[CompiledFlow]) -> None:
        self._versions.published.update({flow.id: flow.version for flow in flows})

    def _changes(
        self, deployment: Deployment, publish: Sequence[CompiledFlow], operation: Operation = "flow.deploy"
    ) -> list[Change]:
        """The changes of a deployment, besides those of its texts."""
        changes: list[Change] = [Publish(flow.id, flow.version, flow.source, deployment.at) for flow in publish]
        if deployment.flows:
            changes.append(Deploy(deployment))
        changes += [
            audited(
                self._new_id(),
                deployment.at,
                deployment.author,
                "flow.delete" if flow.version is None else operation,
                flow_id=flow.flow_id,
                flow_version=flow.version,
                subject=deployment.id,
                detail=deployment.rollback_of,
            )
            for flow in deployment.flows
        ]
        return changes

    async def check(self, request: DeploymentRequest, *, prefixed: bool = False) -> CheckedDeployment:
        """Check all documents and what the caller expects; nothing is changed.

        `prefixed`: the pointers of the problems begin with `/flows/<id>`. Raises FlowInvalid with the problems of all
        flows, DeploymentConflict and StoreError.
        """
        self._check_expected(request, await self._served())
        samples = {flow_id: await self._samples(request, flow_id) for flow_id in request.documents}
        return await asyncio.to_thread(self._checked, request, samples, self._credentials(), prefixed)

    async def _samples(self, request: DeploymentRequest, flow_id: str) -> Samples:
        """The shapes that the cases of a flow show."""
        text = request.cases[flow_id] if flow_id in request.cases else await self._source.cases(flow_id)
        if text is not None:
            # The problems of cases are reported where they are set.
            with suppress(ValueError, RecursionError):
                return read_samples(decode(text))
        return NO_SAMPLES

    def _checked(
        self,
        request: DeploymentRequest,
        samples: Mapping[str, Samples],
        credentials: Mapping[str, str],
        prefixed: bool,
    ) -> CheckedDeployment:
        entries = self._source.catalog.entries
        known = {*entries, *request.documents} - {key for key, text in request.documents.items() if text is None}
        problems: list[Problem] = []
        flows: dict[str, CompiledFlow | None] = {}
        documents: dict[str, Mapping[str, Any] | None] = {}
        warnings: dict[str, Sequence[Problem]] = {}
        for flow_id, text in request.documents.items():
            start = f"/flows/{escape(flow_id)}" if prefixed else ""
            flow, document, found = None, None, list[Problem]()
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
        return CheckedDeployment(request, flows, documents, warnings)

    def _examined(
        self,
        request: DeploymentRequest,
        flow_id: str,
        text: bytes,
        samples: Samples,
        credentials: Mapping[str, str],
        known: set[str],
    ) -> tuple[CompiledFlow | None, Mapping[str, Any] | None, list[Problem]]:
        """The flow of a document, the document, and its problems."""
        try:
            document = read(text)
        except FlowInvalid as error:
            return None, None, list(error.problems)
        compiled = self._source.catalog.compile(document)
        if request.served_before:
            return compiled.flow, document.value, list(compiled.problems)
        problems = self._check_flow(document, credentials=credentials, flows=known, samples=samples)
        problems += _other_id(document, flow_id)
        return compiled.flow, document.value, [_lenient(problem) for problem in problems]

    async def deploy(self, checked: CheckedDeployment) -> Deployed:
        """Apply a deployment: all of it in one commit, or none. Its versions are active when this returns.

        Raises DeploymentConflict, UnpublishedChanges, FolderReadOnly and StoreError. After a StoreError the deployment
        may have taken place; `refresh` shows which.
        """
        async with self._lock:
            return await shielded(self._deploy(checked))

    async def _deploy(self, checked: CheckedDeployment) -> Deployed:
        request, served, now = checked.request, await self._served(), self._clock.now()
        await self._recovered()
        self._check_expected(request, served)
        changed = {
            flow_id: flow
            for flow_id, flow in checked.flows.items()
            if self._differs(flow_id, flow, served.get(flow_id))
        }
        cases = await self._changed_cases(request)
        if not changed and not cases:
            return Deployed(None)
        flows = tuple(
            DeployedFlow(flow_id, None if flow is None else flow.version, served.get(flow_id))
            for flow_id, flow in sorted(changed.items())
        )
        deployment = Deployment(self._new_id(), now, request.by, flows, request.message, request.rollback_of)
        operation: Operation = "flow.rollback" if request.served_before else "flow.deploy"
        changes = self._changes(deployment, [flow for flow in changed.values() if flow is not None], operation)
        changes += [
            audited(self._new_id(), now, request.by, "flow.cases", flow_id=flow_id, flow_version=served.get(flow_id))
            for flow_id in cases
        ]
        texts = NewTexts({flow_id: checked.documents[flow_id] for flow_id in changed}, cases)
        await self._commit(texts, changes, force=request.force)
        self._published([flow for flow in changed.values() if flow is not None])
        created = frozenset(one.flow_id for one in flows if one.version is not None and one.before is None)
        return Deployed(deployment if flows else None, created)

    async def _changed_cases(self, request: DeploymentRequest) -> Mapping[str, bytes | None]:
        """The cases that aren't as they should be. Raises DeploymentConflict."""
        before = {flow_id: await self._source.cases(flow_id) for flow_id in request.cases}
        for flow_id, expected in request.expected_cases.items():
            now = before[flow_id]
            if not expected.fits(None if now is None else version_of_cases(now)):
                raise DeploymentConflict(f"the cases of flow {flow_id!r} were changed: read them again")
        return {flow_id: text for flow_id, text in request.cases.items() if text != before[flow_id]}

    async def _commit(self, texts: NewTexts, changes: list[Change], *, force: bool) -> None:
        """Commit a deployment with its texts, and activate its versions."""
        staged = await self._source.stage(texts, self._clock.now(), force=force)
        try:
            await self._store.commit([*changes, *staged.changes])
        except BaseException as error:
            # It may have been committed nevertheless.
            self._unfinished |= isinstance(error, StoreError)
            await staged.discard()
            raise
        self._unfinished = True
        try:
            await staged.finish()
        except OSError as error:
            raise StoreError(f"the flows are deployed, and their files will be written later: {error}") from error
        self._unfinished = False
        self._adopt(await self._source.read(texts.flow_ids))

    async def _recovered(self) -> None:
        """Finish what an earlier deployment has left. Raises StoreError."""
        try:
            await self._recover()
        except OSError as error:
            raise StoreError(f"the files of the deployment before can't be written: {error}") from error

    def _differs(self, flow_id: str, flow: CompiledFlow | None, served: str | None) -> bool:
        """Return true if a flow isn't as a deployment wants it. Its title counts, although its version stays."""
        entry = self._source.catalog.entries.get(flow_id)
        if flow is None:
            return entry is not None or served is not None
        now = None if entry is None or entry.errors else entry.flow
        return served != flow.version or now is None or now.source != flow.source

    def _check_expected(self, request: DeploymentRequest, served: Mapping[str, str]) -> None:
        """Raise DeploymentConflict unless the flows are served by the versions that the caller expects."""
        for flow_id, expected in request.expected.items():
            now = served.get(flow_id)
            broken = expected.absent and flow_id in self._source.catalog.entries
            if broken or not expected.fits(now):
                state = "isn't served" if now is None else f"is served by version {now}"
                raise DeploymentConflict(f"flow {flow_id!r} {state} now: read it again, and repeat your change")

    async def _served(self) -> dict[str, str]:
        return {one.flow_id: one.version for one in await self._store.served_flows()}


def version_of_cases(text: bytes) -> str:
    """The version of cases: a hash of their text."""
    return hashlib.sha256(text).hexdigest()[:16]


def _differences(entries: Mapping[str, CatalogEntry], served: Mapping[str, str]) -> tuple[DeployedFlow, ...]:
    """The changes after which the versions of these entries are served; broken ones stay as they are."""
    changed = [
        DeployedFlow(entry.id, entry.flow.version, served.get(entry.id))
        for entry in entries.values()
        if entry.flow is not None and entry.flow.version != served.get(entry.id)
    ]
    gone = [DeployedFlow(flow_id, None, version) for flow_id, version in served.items() if flow_id not in entries]
    return tuple(sorted([*changed, *gone], key=lambda flow: flow.flow_id))


def _other_id(document: Document, flow_id: str) -> list[Problem]:
    value = document.value
    found = value.get("id") if isinstance(value, dict) else None
    if found == flow_id or not isinstance(found, str):
        return []
    problem = Problem(f"this is flow {found!r}, and not {flow_id!r}", "/id", "other_flow", f"write {flow_id}")
    return document.place([problem])


def _lenient(problem: Problem) -> Problem:
    return replace(problem, severity="warning") if problem.code in _ONLY_WARNED else problem
