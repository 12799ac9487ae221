"""The store: commits and queries, for both databases."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from hookline.api_storage import (
    ALL_ENTRIES,
    ALL_EXECUTIONS,
    AuditFilter,
    AuditPage,
    BatchItem,
    BatchPlace,
    Capture,
    CapturedPage,
    CapturedRequest,
    Change,
    Clock,
    CommitResult,
    DeadLetterPage,
    Deployment,
    DeploymentPage,
    DiskUsage,
    Draft,
    DraftPage,
    Due,
    Envelope,
    Execution,
    ExecutionFilter,
    ExecutionPage,
    FileUsePage,
    FlowFile,
    FlowPoint,
    FlowVersion,
    Held,
    NodeProblem,
    PartitionUpkeep,
    Progress,
    RejectedPage,
    RejectedSignInPage,
    RejectionReason,
    Rejections,
    RowUsagePage,
    ServedFlow,
    Session,
    SharedSecrets,
    SignInCode,
    State,
    StateOverride,
    StatePage,
    StatisticsPoint,
    StepRecord,
    StoredCredential,
    Token,
    WaitStatus,
)
from hookline_sqlstore.column_values import micros
from hookline_sqlstore.databases.database import Database
from hookline_sqlstore.reading import (
    access,
    credentials,
    deployments,
    disk_usage,
    drafts_and_captures,
    flow_state,
    flow_versions,
    nodes,
    rejected_requests,
    statistics,
)
from hookline_sqlstore.reading.executions import execution_lists, executions, journal, open_executions, removable, waits
from hookline_sqlstore.writing import batch_joining
from hookline_sqlstore.writing.prepared_commit import Claims, no_claims, ping, prepare_commit

#: Bytes of a message above which it is decoded in a thread.
_LARGE: Final = 64 * 1024


class SqlStore:
    """The durable state in a SQL database."""

    def __init__(self, database: Database, clock: Clock, claims: Claims = no_claims) -> None:
        self._database = database
        self._clock = clock
        self._claims = claims

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        commit = prepare_commit(changes, self._claims)
        if commit.operations:
            await self._database.write(commit)
        return commit.results

    async def execution(self, execution_id: str) -> Execution | None:
        return await self._database.read(lambda connection: executions.execution(connection, execution_id))

    async def envelope(self, execution_id: str) -> Envelope | None:
        row = await self._database.read(lambda connection: executions.envelope_row(connection, execution_id))
        if row is None:
            return None
        if len(row.payload) <= _LARGE:
            return executions.envelope_of(row)
        # Decoding takes milliseconds, and not every database reads in a thread.
        return await asyncio.to_thread(executions.envelope_of, row)

    async def data_keys(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        return await self._database.read(lambda connection: executions.data_keys(connection, after, limit), long=True)

    async def accepted_as(self, flow_id: str, dedupe_key: str, now: datetime) -> str | None:
        return await self._database.read(
            lambda connection: executions.accepted_as(connection, flow_id, dedupe_key, now)
        )

    async def aliased(self, alias: str) -> str | None:
        return await self._database.read(lambda connection: executions.aliased(connection, alias))

    async def journal(self, execution_id: str, after: int = 0, limit: int | None = None) -> Sequence[StepRecord]:
        return await self._database.read(lambda connection: journal.journal_of(connection, execution_id, after, limit))

    async def progress(self, execution_id: str) -> Sequence[Progress]:
        return await self._database.read(lambda connection: journal.progress_of(connection, execution_id))

    async def item_results(
        self, execution_id: str, path: str, after: int = -1, limit: int = 1000
    ) -> Sequence[tuple[int, bytes]]:
        return await self._database.read(
            lambda connection: journal.item_results_of(connection, execution_id, path, after, limit)
        )

    async def callbacks(self, execution_id: str) -> Mapping[str, bytes]:
        return await self._database.read(lambda connection: waits.callbacks_of(connection, execution_id))

    async def callbacks_to_come(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        return await self._database.read(
            lambda connection: waits.callbacks_to_come(connection, after, limit), long=True
        )

    async def executions_with_callbacks(self, ended_before: datetime, limit: int) -> Sequence[str]:
        return await self._database.read(
            lambda connection: waits.executions_with_callbacks(connection, ended_before, limit), long=True
        )

    async def waits(self, execution_id: str) -> Sequence[str]:
        return await self._database.read(lambda connection: waits.waits_of(connection, execution_id))

    async def wait_status(self, execution_id: str, path: str) -> WaitStatus:
        return await self._database.read(lambda connection: waits.wait_status(connection, execution_id, path))

    async def batches(self, execution_id: str) -> Mapping[str, bool]:
        return await self._database.read(lambda connection: batch_joining.batches_of(connection, execution_id))

    async def batch_items(self, execution_id: str, path: str) -> Sequence[BatchItem]:
        return await self._database.read(lambda connection: batch_joining.items_of(connection, execution_id, path))

    async def batch_bodies(self, after: BatchPlace | None, limit: int) -> Sequence[tuple[BatchPlace, bytes]]:
        return await self._database.read(
            lambda connection: batch_joining.bodies_after(connection, after, limit), long=True
        )

    async def state(self, flow_id: str, key: str) -> bytes | None:
        return await self._database.read(lambda connection: flow_state.state_of(connection, flow_id, key))

    async def state_entries(self, flow_id: str, *, cursor: str | None = None, limit: int = 50) -> StatePage:
        return await self._database.read(
            lambda connection: flow_state.state_entries(connection, flow_id, cursor, limit)
        )

    async def cursor(self, flow_id: str) -> bytes | None:
        return await self._database.read(lambda connection: flow_state.cursor_of(connection, flow_id))

    async def executions(
        self, chosen: ExecutionFilter = ALL_EXECUTIONS, *, cursor: str | None = None, limit: int = 50
    ) -> ExecutionPage:
        return await self._database.read(lambda connection: executions.page(connection, chosen, cursor, limit))

    async def matching_ids(self, part: str, limit: int, flows: Collection[str] | None = None) -> Sequence[str]:
        return await self._database.read(lambda connection: execution_lists.matching(connection, part, limit, flows))

    async def dead_letters(
        self, *, flow_id: str | None = None, cause: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> DeadLetterPage:
        return await self._database.read(
            lambda connection: executions.dead_letters(connection, flow_id, cause, cursor, limit)
        )

    async def due(self, after: datetime | None, until: datetime, limit: int) -> Sequence[Due]:
        return await self._database.read(lambda connection: open_executions.due(connection, after, until, limit))

    async def next_due(self, after: datetime) -> datetime | None:
        return await self._database.read(lambda connection: open_executions.next_due(connection, after))

    async def flow_document(self, flow_id: str, version: str) -> bytes | None:
        return await self._database.read(lambda connection: flow_versions.flow_document(connection, flow_id, version))

    async def flow_documents(self, versions: Collection[tuple[str, str]]) -> Mapping[str, bytes]:
        return await self._database.read(
            lambda connection: flow_versions.flow_documents(connection, versions), long=True
        )

    async def flow_versions(self, flow_id: str) -> Sequence[FlowVersion]:
        return await self._database.read(lambda connection: flow_versions.flow_versions_of(connection, flow_id))

    async def executions_by_version(self, flow_id: str) -> Mapping[tuple[str | None, State], int]:
        return await self._database.read(
            lambda connection: flow_versions.executions_by_version(connection, flow_id), long=True
        )

    async def state_overrides(self) -> Mapping[str, StateOverride]:
        return await self._database.read(flow_versions.state_overrides)

    async def flows_with_work(self) -> Collection[str]:
        return await self._database.read(open_executions.flows_with_work, long=True)

    async def backlog(self) -> Mapping[str, tuple[int, datetime]]:
        return await self._database.read(open_executions.backlog, long=True)

    async def oldest_queued(self) -> Mapping[str, datetime]:
        return await self._database.read(open_executions.oldest_queued, long=True)

    async def blocked(self, limit: int) -> Mapping[str, Held]:
        return await self._database.read(lambda connection: open_executions.blocked(connection, limit), long=True)

    async def late_waits(self, at: datetime, limit: int) -> Mapping[str, Held]:
        return await self._database.read(lambda connection: waits.late(connection, at, limit), long=True)

    async def queue_depth(self, flow_id: str, order_key: str, limit: int) -> int:
        return await self._database.read(
            lambda connection: open_executions.queue_depth(connection, flow_id, order_key, limit)
        )

    async def counts(self) -> Mapping[tuple[str, State], int]:
        return await self._database.read(open_executions.counts, long=True)

    async def referenced(self, blob_ids: Collection[str]) -> Collection[str]:
        return await self._database.read(lambda connection: removable.referenced(connection, blob_ids), long=True)

    async def executions_with_files(self, ended_before: datetime, limit: int) -> Sequence[str]:
        return await self._database.read(
            lambda connection: removable.executions_with_files(connection, ended_before, limit), long=True
        )

    async def keep_partitions(self, longest: timedelta, before: datetime) -> PartitionUpkeep:
        return await self._database.keep_partitions(longest, before)

    async def has_spent_keys(self, at: datetime) -> bool:
        return await self._database.read(lambda connection: removable.has_spent_keys(connection, at), long=True)

    async def flows_with_history(self) -> Collection[str]:
        return await self._database.read(removable.flows, long=True)

    async def purgeable(
        self, flow_id: str | None, ended_before: datetime, limit: int, *, after: str = "", up_to: str | None = None
    ) -> Sequence[str]:
        return await self._database.read(
            lambda connection: removable.purgeable(connection, flow_id, ended_before, limit, after, up_to), long=True
        )

    async def first_too_many(self, flow_id: str, count: int) -> str | None:
        return await self._database.read(
            lambda connection: removable.first_too_many(connection, flow_id, count), long=True
        )

    async def disk_usage(self) -> DiskUsage:
        return await self._database.read(disk_usage.disk_usage, long=True)

    async def execution_count(self) -> int:
        return await self._database.read(disk_usage.execution_count, long=True)

    async def row_usage(self, after: str, limit: int) -> RowUsagePage:
        return await self._database.read(lambda connection: disk_usage.row_usage(connection, after, limit), long=True)

    async def file_usage(self, after: str, limit: int) -> FileUsePage:
        return await self._database.read(lambda connection: disk_usage.file_usage(connection, after, limit), long=True)

    async def freed_by_purging(self, execution_ids: Sequence[str]) -> Mapping[str, int]:
        return await self._database.read(
            lambda connection: disk_usage.freed_by_purging(connection, execution_ids), long=True
        )

    async def files_of(self, execution_ids: Sequence[str]) -> Mapping[str, Collection[str]]:
        return await self._database.read(lambda connection: disk_usage.files_of(connection, execution_ids), long=True)

    async def spent_versions(self, flow_id: str, keep: int, deployments: int = 0) -> Sequence[str]:
        return await self._database.read(
            lambda connection: removable.spent_versions(connection, flow_id, keep, deployments), long=True
        )

    async def rejected(
        self, *, flow_id: str | None = None, code: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> RejectedPage:
        return await self._database.read(
            lambda connection: rejected_requests.rejected_page(connection, flow_id, code, cursor, limit)
        )

    async def rejection_reasons(self) -> Sequence[RejectionReason]:
        return await self._database.read(rejected_requests.rejection_reasons, long=True)

    async def rejected_since(self, since: datetime) -> Mapping[str, Rejections]:
        return await self._database.read(
            lambda connection: rejected_requests.rejected_since(connection, since), long=True
        )

    async def statistics(
        self, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
    ) -> Sequence[StatisticsPoint]:
        return await self._database.read(
            lambda connection: statistics.points(connection, flow_ids, since, until, hourly=hourly), long=True
        )

    async def statistics_by_flow(
        self, flow_ids: Collection[str], since: datetime, until: datetime, *, hourly: bool
    ) -> Sequence[FlowPoint]:
        return await self._database.read(
            lambda connection: statistics.flow_points(connection, flow_ids, since, until, hourly=hourly), long=True
        )

    async def has_old_statistics(self, minutes_before: datetime, hours_before: datetime) -> bool:
        return await self._database.read(
            lambda connection: statistics.has_old(connection, minutes_before, hours_before), long=True
        )

    async def node_problems(self, since: datetime) -> Sequence[NodeProblem]:
        return await self._database.read(lambda connection: nodes.problems(connection, since))

    async def served_flows(self) -> Sequence[ServedFlow]:
        return await self._database.read(deployments.served)

    async def served_after(self, deployment_id: str) -> Mapping[str, str]:
        return await self._database.read(lambda connection: deployments.served_after(connection, deployment_id))

    async def deployment(self, deployment_id: str) -> Deployment | None:
        return await self._database.read(lambda connection: deployments.deployment(connection, deployment_id))

    async def deployments(
        self, *, flows: Collection[str] | None = None, cursor: str | None = None, limit: int = 50
    ) -> DeploymentPage:
        return await self._database.read(
            lambda connection: deployments.deployment_page(connection, flows, cursor, limit)
        )

    async def unwritten_files(self) -> Sequence[FlowFile]:
        return await self._database.read(deployments.files_to_write)

    async def flow_cases(self, flow_id: str) -> bytes | None:
        return await self._database.read(lambda connection: flow_versions.cases_of(connection, flow_id))

    async def drafts(
        self, *, flows: Collection[str] | None = None, cursor: str | None = None, limit: int = 50
    ) -> DraftPage:
        return await self._database.read(
            lambda connection: drafts_and_captures.draft_page(connection, flows, cursor, limit)
        )

    async def draft(self, flow_id: str) -> Draft | None:
        return await self._database.read(lambda connection: drafts_and_captures.draft_of(connection, flow_id))

    async def captures(self, since: datetime) -> Sequence[Capture]:
        return await self._database.read(lambda connection: drafts_and_captures.all_captures(connection, since))

    async def captured(
        self, flow_id: str, since: datetime, *, cursor: str | None = None, limit: int = 50
    ) -> CapturedPage:
        return await self._database.read(
            lambda connection: drafts_and_captures.captured_page(connection, flow_id, since, cursor, limit)
        )

    async def captured_request(self, flow_id: str, request_id: str) -> CapturedRequest | None:
        return await self._database.read(
            lambda connection: drafts_and_captures.captured_request(connection, flow_id, request_id)
        )

    async def has_old_captures(self, before: datetime) -> bool:
        return await self._database.read(lambda connection: drafts_and_captures.has_old_captures(connection, before))

    async def tokens(self) -> Sequence[Token]:
        return await self._database.read(access.all_tokens)

    async def token(self, digest: bytes) -> Token | None:
        return await self._database.read(lambda connection: access.token_of(connection, digest))

    async def token_by_id(self, token_id: str) -> Token | None:
        return await self._database.read(lambda connection: access.token_by_id(connection, token_id))

    async def session(self, digest: bytes) -> Session | None:
        return await self._database.read(lambda connection: access.session_of(connection, digest))

    async def sign_in_code(self, digest: bytes) -> SignInCode | None:
        return await self._database.read(lambda connection: access.sign_in_code_of(connection, digest))

    async def has_expired_sessions(self, at: datetime) -> bool:
        return await self._database.read(lambda connection: access.has_expired_sessions(connection, at))

    async def instance_id(self) -> str:
        return await self._database.read(nodes.instance_id)

    async def shared_secrets(self) -> SharedSecrets:
        return await self._database.read(nodes.shared_secrets)

    async def rejected_sign_ins(self, *, cursor: str | None = None, limit: int = 50) -> RejectedSignInPage:
        return await self._database.read(lambda connection: access.rejected_sign_in_page(connection, cursor, limit))

    async def audit(
        self, chosen: AuditFilter = ALL_ENTRIES, *, cursor: str | None = None, limit: int = 50
    ) -> AuditPage:
        return await self._database.read(lambda connection: access.audit_page(connection, chosen, cursor, limit))

    async def credentials(self) -> Sequence[StoredCredential]:
        return await self._database.read(credentials.stored_credentials)

    async def subscription(self, flow_id: str) -> bytes | None:
        return await self._database.read(lambda connection: credentials.subscription(connection, flow_id))

    async def subscriptions(self) -> Mapping[str, bytes]:
        return await self._database.read(credentials.all_subscriptions)

    async def ping(self) -> None:
        await self._database.write(ping(micros(self._clock.now())))
        await self._database.read(lambda connection: executions.execution(connection, ""))
