"""Deployments: a change of several flows is applied as a whole."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from hookline.access.audit import AuditedOperation, audited, entry
from hookline.catalog.catalog import CatalogChanges, CatalogEntry
from hookline.catalog.stored_catalog import StoredReading
from hookline.catalog.versions_and_states import VersionResolver
from hookline.deployments.deployment_check import DeploymentCheck, canonical_source
from hookline.deployments.deployment_request import (
    CheckedDeployment,
    Deployed,
    DeploymentRequest,
    tag_of,
    version_of_cases,
)
from hookline.deployments.flow_storage import FlowReading, FlowStorage, NewTexts
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.cancellation import shielded
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import CasesConflict, DeploymentConflict, FlowInvalid, FlowNotFound, StoreError
from hookline.kernel.ids import Ids
from hookline.model.access import FOLDER, AuditEntry
from hookline.model.deployments_and_drafts import DeployedFlow, Deployment
from hookline.storage.change_declarations import Change, Deploy, Publish, RecordAudit
from hookline.storage.store import Store


class Deployer:
    """Applies deployments one at a time: those that callers request, and those that others make in the flow storage."""

    def __init__(
        self,
        *,
        store: Store,
        flow_storage: FlowStorage,
        versions: VersionResolver,
        clock: Clock,
        ids: Ids,
        new_id: Callable[[], str],
        check: DeploymentCheck,
        adopted: Callable[[CatalogChanges], None],
    ) -> None:
        """`ids` makes the ids of deployments, and `new_id` those of audit entries; `adopted` is called with each change
        of the catalog."""
        self._store = store
        self._flow_storage = flow_storage
        self._versions = versions
        self._clock = clock
        self._ids = ids
        self._new_id = new_id
        self._check = check
        self._adopted = adopted
        self._lock = asyncio.Lock()
        self._unfinished = True
        self._stored: dict[str, bytes] = {}
        """The stored documents of the versions that serve, as far as they are known."""

    async def load(self) -> None:
        """Read the flows and activate them, without deploying them. Raises StoreError and OSError.

        If others are changing the flows just now, those of the last deployment are activated.
        """
        async with self._lock:
            reading = await self._flow_storage.read()
            self._adopt(reading or await self._flow_storage.read_deployed(await self._compiled(await self._served())))

    async def _compiled(self, served: Mapping[str, str]) -> Mapping[str, CompiledFlow]:
        """The versions that can run here, of those that are served."""
        found: dict[str, CompiledFlow] = {}
        for flow_id, version in served.items():
            with suppress(FlowInvalid, FlowNotFound):
                flow = await self._versions.version(flow_id, version)
                # It may have been deployed before the server required what it requires now.
                if not self._flow_storage.catalog.compile(read(flow.source), without_actions=True).errors:
                    found[flow_id] = flow
        return found

    async def recover(self) -> None:
        """Finish the deployment that an earlier process has left unfinished. Raises StoreError and OSError."""
        async with self._lock:
            await self._recover()

    async def refresh(self) -> bool:
        """Deploy what has changed in the flow storage, as one deployment. Raises StoreError and OSError.

        Return false if others are changing the flows just now. Then nothing is deployed.
        """
        async with self._lock:
            return await shielded(self._refresh())

    async def serve_deployed(self) -> None:
        """Activate the versions that were deployed last, whatever is in the flow storage. Raises StoreError and
        OSError."""
        async with self._lock:
            active = {one.id: one.flow for one in self._flow_storage.catalog.entries.values() if one.flow is not None}
            served = await self._served()
            deployed = await self._compiled(served)
            changed: dict[str, CompiledFlow | None] = dict.fromkeys(active.keys() - served.keys())
            changed |= {
                flow_id: flow
                for flow_id, flow in deployed.items()
                if flow_id not in active or active[flow_id].version != flow.version
            }
            self._adopt(await self._flow_storage.read_deployed(changed))

    async def _recover(self) -> None:
        if self._unfinished:
            # The sets of flows follow from the order of the deployments, which is that of their ids.
            for newest in (await self._store.deployments(limit=1)).items:
                self._ids.follow(newest.id)
            await self._flow_storage.recover()
            self._unfinished = False

    async def _refresh(self) -> bool:
        await self._recover()
        # Read first: if a deployment of another node comes in between, the commit of this one is a conflict.
        served = await self._served()
        reading = await self._flow_storage.read()
        if reading is None:
            return False
        found = [entry.flow for entry in reading.entries.values() if entry.flow is not None]
        if isinstance(reading, StoredReading):
            # The flows of a database were already deployed when they were changed.
            self._remember(found)
            self._adopt(reading)
            return True
        await self._read_stored(reading.entries, served)
        flows = self._differences(reading.entries, served)
        publish = [flow for flow in found if not self._is_published(flow)]
        if flows or publish:
            deployment = Deployment(self._ids.new(), self._clock.now(), FOLDER, flows)
            await self._store.commit(self._changes(deployment, publish))
            self._remember(publish)
        self._adopt(reading)
        return True

    async def _read_stored(self, entries: Mapping[str, CatalogEntry], served: Mapping[str, str]) -> None:
        """Read how the versions that serve are stored, unless that is known.

        So a change of a title is seen at a start, too, and a deployment of another node isn't taken for such a change.
        """
        flows = [
            one.flow for one in entries.values() if one.flow is not None and self._stored.get(one.id) != one.flow.source
        ]
        unknown = [(flow.id, flow.version) for flow in flows if served.get(flow.id) == flow.version]
        if unknown:
            self._stored |= await self._store.flow_documents(unknown)

    def _differences(self, entries: Mapping[str, CatalogEntry], served: Mapping[str, str]) -> tuple[DeployedFlow, ...]:
        """The changes after which the versions of these entries are served; broken ones stay as they are."""
        changed = [
            DeployedFlow(entry.id, entry.flow.version, served.get(entry.id))
            for entry in entries.values()
            if entry.flow is not None
            and (entry.flow.version != served.get(entry.id) or self._has_other_title(entry.flow))
        ]
        gone = [DeployedFlow(flow_id, None, version) for flow_id, version in served.items() if flow_id not in entries]
        return tuple(sorted([*changed, *gone], key=lambda flow: flow.flow_id))

    def _has_other_title(self, flow: CompiledFlow) -> bool:
        """Return true if a version was stored with another title, or with other keys that the version leaves out."""
        stored = self._stored.get(flow.id)
        return stored is not None and not _is_same(stored, flow.source)

    def _is_published(self, flow: CompiledFlow) -> bool:
        return self._versions.published.get(flow.id) == flow.version and self._stored.get(flow.id) == flow.source

    def _adopt(self, reading: FlowReading) -> None:
        self._adopted(self._flow_storage.adopt(reading))

    def _remember(self, flows: Sequence[CompiledFlow]) -> None:
        """Remember that these versions are published."""
        self._versions.published.update({flow.id: flow.version for flow in flows})
        self._stored.update({flow.id: flow.source for flow in flows})

    def _changes(
        self, deployment: Deployment, publish: Sequence[CompiledFlow], operation: AuditedOperation = "flow.deploy"
    ) -> list[Change]:
        """The changes of a deployment, besides those of its texts."""
        changes: list[Change] = [Publish(flow.id, flow.version, flow.source, deployment.at) for flow in publish]
        if deployment.flows:
            entries = tuple(self._entry(deployment, flow, operation) for flow in deployment.flows)
            changes += [Deploy(deployment), RecordAudit(entries)]
        return changes

    def _entry(self, deployment: Deployment, flow: DeployedFlow, operation: AuditedOperation) -> AuditEntry:
        return entry(
            self._new_id(),
            deployment.at,
            deployment.author,
            "flow.delete" if flow.version is None else operation,
            flow_id=flow.flow_id,
            flow_version=flow.version,
            subject=deployment.id,
            detail=deployment.rollback_of,
        )

    async def check(self, request: DeploymentRequest, *, prefixed: bool = False) -> CheckedDeployment:
        """Check all documents and what the caller expects; nothing is changed.

        `prefixed`: the pointers of the problems begin with `/flows/<id>`. Raises FlowInvalid with the problems of all
        flows, DeploymentConflict and StoreError.
        """
        self._check_expected(request, await self._served())
        await self._check_expected_cases(request)
        return await self._check.check(request, prefixed=prefixed)

    async def deploy(self, checked: CheckedDeployment) -> Deployed:
        """Apply a deployment: all of it in one commit, or none. Its versions are active when this returns.

        Raises DeploymentConflict, UnpublishedChanges, FolderReadOnly and StoreError. After a StoreError the deployment
        may have taken place; `refresh` shows which.
        """
        async with self._lock:
            return await shielded(self._deploy(checked))

    async def _deploy(self, checked: CheckedDeployment) -> Deployed:
        request, served, now = checked.request, await self._served(), self._clock.now()
        await self._finish_earlier()
        self._check_expected(request, served)
        if checked.among is not None and checked.among is not self._flow_storage.catalog.entries:
            # Another deployment came in between: a flow that this one calls may be gone.
            checked = await self._check.check(request, prefixed=checked.prefixed)
        changed = {
            flow_id: flow
            for flow_id, flow in checked.flows.items()
            if self._differs(flow_id, flow, served.get(flow_id))
        }
        cases = {**await self._cases_of_deleted(request, changed, served), **await self._changed_cases(request)}
        if not changed and not cases:
            return Deployed(None)
        flows = tuple(
            DeployedFlow(flow_id, None if flow is None else flow.version, served.get(flow_id))
            for flow_id, flow in sorted(changed.items())
        )
        deployment = Deployment(self._ids.new(), now, request.by, flows, request.message, request.rollback_of)
        operation: AuditedOperation = "flow.rollback" if request.served_before else "flow.deploy"
        publish = [flow for flow in changed.values() if flow is not None]
        changes = self._changes(deployment, publish, operation)
        serves = served | {flow.id: flow.version for flow in publish}
        changes += [
            audited(self._new_id(), now, request.by, "flow.cases", flow_id=flow_id, flow_version=serves.get(flow_id))
            for flow_id in cases
        ]
        texts = NewTexts({flow_id: checked.documents[flow_id] for flow_id in changed}, cases)
        await self._commit(texts, changed, changes, force=request.force)
        created = frozenset(one.flow_id for one in flows if one.version is not None and one.before is None)
        return Deployed(deployment if flows else None, created)

    async def _cases_of_deleted(
        self, request: DeploymentRequest, changed: Mapping[str, CompiledFlow | None], served: Mapping[str, str]
    ) -> Mapping[str, bytes]:
        """The cases that deleted flows had, of those that a rollback serves again; unless they have others now."""
        found: dict[str, bytes] = {}
        for flow_id, flow in changed.items() if request.served_before else ():
            if flow is not None and flow_id not in served and await self._flow_storage.cases(flow_id) is None:
                kept = await self._store.flow_cases(flow_id)
                if kept is not None:
                    found[flow_id] = kept
        return found

    async def _changed_cases(self, request: DeploymentRequest) -> Mapping[str, bytes | None]:
        """The cases that the request changes. Raises CasesConflict."""
        await self._check_expected_cases(request)
        given = request.cases.items()
        return {flow_id: text for flow_id, text in given if text != await self._flow_storage.cases(flow_id)}

    async def _check_expected_cases(self, request: DeploymentRequest) -> None:
        """Raise CasesConflict unless the flows have the cases that the caller expects."""
        for flow_id, expected in request.expected_cases.items():
            now = await self._flow_storage.cases(flow_id)
            if not expected.fits(None if now is None else version_of_cases(now)):
                raise CasesConflict(
                    f"the cases of flow {flow_id!r} were changed in the meantime, so nothing was saved: load them again"
                )

    async def _commit(
        self, texts: NewTexts, flows: Mapping[str, CompiledFlow | None], changes: list[Change], *, force: bool
    ) -> None:
        """Commit a deployment with its texts, and activate its versions."""
        staged = await self._flow_storage.stage(texts, self._clock.now(), force=force)
        try:
            await self._store.commit([*changes, *staged.changes])
        except BaseException as error:
            # It may have been committed nevertheless.
            self._unfinished |= isinstance(error, StoreError)
            await staged.discard()
            raise
        self._remember([flow for flow in flows.values() if flow is not None])
        self._unfinished = True
        try:
            await staged.finish()
        except OSError as error:
            raise StoreError(f"the flows are deployed, and their files will be written later: {error}") from error
        self._unfinished = False
        self._adopt(await self._flow_storage.read_deployed(flows))

    async def _finish_earlier(self) -> None:
        """Finish an earlier deployment whose files could not be written. Raises StoreError."""
        try:
            await self._recover()
        except OSError as error:
            raise StoreError(f"the files of the earlier deployment can't be written: {error}") from error

    def _differs(self, flow_id: str, flow: CompiledFlow | None, served: str | None) -> bool:
        """Return true if a flow isn't as a deployment wants it. Its title counts, although its version stays."""
        entry = self._flow_storage.catalog.entries.get(flow_id)
        if flow is None:
            return entry is not None or served is not None
        now = None if entry is None or entry.errors else entry.flow
        return served != flow.version or now is None or not _is_same(now.source, flow.source)

    def _check_expected(self, request: DeploymentRequest, served: Mapping[str, str]) -> None:
        """Raise DeploymentConflict unless the flows are served by the versions that the caller expects."""
        for flow_id, expected in request.expected.items():
            now, entry = served.get(flow_id), self._flow_storage.catalog.entries.get(flow_id)
            flow = None if entry is None else entry.flow
            tag = None if flow is None or flow.version != now else tag_of(flow)
            if (expected.absent and entry is not None) or not expected.fits(now, tag):
                state = "isn't served" if now is None else f"is served by version {now}"
                raise DeploymentConflict(f"flow {flow_id!r} {state} now: read it again, and repeat your change")

    async def _served(self) -> dict[str, str]:
        return {one.flow_id: one.version for one in await self._store.served_flows()}


def _is_same(one: bytes, other: bytes) -> bool:
    """Return true if two documents differ at most in the order of the keys that the canonical form sorts."""
    return one == other or canonical_source(one) == canonical_source(other)
