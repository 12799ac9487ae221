"""The engine wires all parts together, starts them and stops them. Several engines can live in one process."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog

from hookline.access.failed_sign_ins import SignIns
from hookline.access.sessions import Sessions
from hookline.access.tokens import ApiTokens
from hookline.catalog.catalog import Catalog, CatalogChanges
from hookline.catalog.folder_catalog import FolderCatalog
from hookline.catalog.stored_catalog import StoredCatalog
from hookline.catalog.versions_and_states import FlowStates, VersionResolver
from hookline.credentials.access_tokens import AccessTokens
from hookline.credentials.database_keys import DatabaseKeys
from hookline.credentials.oauth_authorization import CALLBACK, Authorizations
from hookline.credentials.stored_credentials import Credentials
from hookline.deployments.database_flow_storage import DatabaseFlowStorage
from hookline.deployments.deployer import Deployer
from hookline.deployments.deployment_check import DeploymentCheck
from hookline.deployments.drafts import Drafts
from hookline.deployments.flow_storage import FlowStorage
from hookline.deployments.folder_flow_storage import FolderFlowStorage
from hookline.deployments.journal_compatibility import CompatibilityChecker
from hookline.deployments.migration import Migration
from hookline.deployments.version_history import VersionHistory
from hookline.deployments.version_switch import VersionSwitch
from hookline.discovery.registry import Registry
from hookline.engine_options import EngineOptions
from hookline.executions.delivery.dispatcher import Dispatcher
from hookline.executions.delivery.runner import Runner
from hookline.executions.delivery.timers import Timers
from hookline.executions.rate_limits import StepRates
from hookline.executions.services import Services
from hookline.executions.waiting_callers import Replies
from hookline.flows.check.check_flow import check_flow
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.intake.backlog import Backlog
from hookline.intake.body_checker import BodyChecker, SeparateBodyChecker
from hookline.intake.callbacks import Callbacks
from hookline.intake.intake import Intake
from hookline.intake.queue_inserter import INSERTION_DUTY, Inserter
from hookline.intake.queue_publisher import Publisher
from hookline.intake.shared_limits import SharedLimits
from hookline.kernel.clocks import Clock, SystemClock, follow_jumps
from hookline.kernel.errors import CredentialError, StoreAway, StoreError
from hookline.kernel.ids import Ids
from hookline.maintenance.disk_budget import DiskBudget
from hookline.maintenance.duty import Duty, LeasedWork
from hookline.maintenance.node_settings_check import check_flows_folder, check_queue
from hookline.maintenance.retention import Purger, Retention, retention_in
from hookline.maintenance.shared_blob_store_check import check_blob_store, is_readable
from hookline.maintenance.sweeper import Sweeper
from hookline.operations.attention import Attention
from hookline.operations.captures import Captures
from hookline.operations.content_search import ContentSearch
from hookline.operations.node_problems import NodeProblems
from hookline.operations.operations import Operations
from hookline.operations.replay import Replays
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.plugin_host.engine_facades import BlobsFacade, HttpClientFacade, ResourcesFacade
from hookline.plugin_host.loop_monitor import LoopMonitor
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.plugin_host.resources import EngineResources
from hookline.sdk.context_parts import Resources
from hookline.sdk.http_client import HttpClient
from hookline.secrets.encryption import Vault
from hookline.secrets.redaction import Redaction
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.simulation.authoring.worker_pool import WorkerPool
from hookline.sources.source import SourceServices
from hookline.sources.subscription_store import SubscriptionStore
from hookline.sources.supervisor import SourceSupervisor
from hookline.storage.backend import Backend
from hookline.storage.blobs import Blobs
from hookline.storage.change_declarations import SetAdminToken
from hookline.storage.cluster import Membership, NodeDescription, NodeRole
from hookline.storage.intake_queue import IntakeQueue
from hookline.storage.queue import Queue
from hookline.storage.store import Store
from hookline.telemetry.captures import CaptureRecord
from hookline.telemetry.live_events import Events
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.node_broadcasts import NodeBroadcasts
from hookline.telemetry.rejections import RejectionRecord
from hookline.telemetry.statistics_record import StatisticsRecord
from hookline.telemetry.store_problem import StoreProblem

#: Seconds in which renewals of tokens must end, unless the grace period is shorter.
_TOKENS_GRACE: Final = 10.0


class Engine:
    """Run the flows of one folder, or of the database, over one backend.

    `async with Engine(registry, options):` starts and stops the engine. Its parts are attributes, which the service and
    the admin API use.
    """

    def __init__(
        self,
        registry: Registry,
        options: EngineOptions,
        *,
        clock: Clock | None = None,
        log: Any = None,
        credential_store: Store | None = None,
    ) -> None:
        """`credential_store` keeps credentials and tokens, if that is not the backend's store.

        Raises ConfigError if no plugin provides the backend or the blob store that the options name.
        """
        self.registry = registry
        self.options = options
        self.clock: Clock = clock or SystemClock()
        self.log: Any = log or structlog.get_logger("hookline")
        self.ids = Ids(self.clock)
        self.metrics = Metrics(options.node_name)
        self._backend: Backend = registry.backend(options.db, self.clock)
        self.store: Store = self._backend.store
        self.queue: Queue = self._backend.queue
        self.membership: Membership = self._backend.membership
        self.blobs: Blobs = registry.blob_store(options.blobs, self.clock)
        self.intake_queue: IntakeQueue | None = None
        if options.queue is not None:
            self.intake_queue = registry.intake_queue(options.queue, self.clock, self.blobs)
        egress = Egress(options.egress_allow)
        self._http = PooledClient(clock=self.clock, egress=egress, blobs=self.blobs)
        self.http: HttpClient = HttpClientFacade(self._http)
        self._resources = EngineResources(egress)
        self.resources: Resources = ResourcesFacade(self._resources)
        self.plugin_calls = PluginCalls(registry, self.metrics, self.log)
        self._loop_monitor = LoopMonitor(registry, self.metrics, self.log)
        self.vault = Vault(options.secret_keys)
        self.redaction = Redaction(self.vault)
        self.credentials = Credentials(
            credential_store or self.store,
            self.vault,
            registry.credential_types,
            self.clock,
            self.ids.new,
            [lambda name: self.version_switch.credential_changed(name)],
            registry.oauth2,
            hosts=registry.credential_hosts,
            has_connectors=registry.has_connectors,
        )
        self.api_tokens = ApiTokens(self.store, self.clock, self.ids.new)
        self.sessions = Sessions(self.store, self.clock, self.ids.new)
        self.instance_id = ""
        """The id of the database, the same on all of its nodes; empty before the start."""
        self.tokens = AccessTokens(self.credentials, self.http, self.clock, self.log, self.membership)
        self.authorizations = Authorizations(
            self.credentials, self.clock, options.public_url.rstrip("/") + CALLBACK, self.membership
        )
        self.flow_storage = self._flow_storage()
        self.catalog: Catalog = self.flow_storage.catalog
        self.version_resolver = VersionResolver(self.catalog, self.store)
        self.states = FlowStates(self.store, self.clock, self.ids.new)
        self.version_history = VersionHistory(self.store, self.catalog)
        self.drafts = Drafts(self.store, self.clock, self.ids.new)
        self.events = Events(self.clock)
        self.store_problem = StoreProblem(
            self.store, self.blobs, self.clock, self.log, watches=self.intake_queue is not None
        )
        self.publisher: Publisher | None = None
        if self.intake_queue is not None:
            self.publisher = Publisher(
                self.intake_queue,
                self.store,
                self.clock,
                self.log,
                self.store_problem,
                options.intake_stale,
                self.membership,
            )
        limits = SharedLimits(self.clock, self.membership, self._limited_flows, options.max_backlog)
        backlog = Backlog(self.clock, options.max_backlog, options.max_backlog_total, limits)
        self.body_checker: BodyChecker = SeparateBodyChecker()
        self.sign_ins = SignIns(self.store, self.clock, self.ids.new, self.store_problem, self.metrics.sign_ins_dropped)
        self.intake = Intake(
            store=self.store,
            queue=self.queue,
            clock=self.clock,
            metrics=self.metrics,
            current=self.version_resolver.current,
            backlog=backlog,
            state_of=self.states.of,
            events=self.events,
            redaction=self.redaction,
            store_problem=self.store_problem,
        )
        self.intake.publisher = self.publisher
        self._inserter: Inserter | None = None
        if self.intake_queue is not None:
            self._inserter = Inserter(
                self.intake_queue,
                self.store,
                self.clock,
                backlog,
                self.events,
                self.store_problem,
            )
        self.replies = Replies()
        self._broadcasts = NodeBroadcasts(self.membership, self.events, self.replies.may_be_stored)
        self.replies.offer = self._broadcasts.reply
        self._timers = Timers(self.store, self.queue, self.clock, self.store_problem, self.log, self.ids.new)
        self.services = services = Services(
            store=self.store,
            blobs=BlobsFacade(self.blobs),
            http=self.http,
            resources=self.resources,
            credentials=self.credentials,
            replies=self.replies,
            find_flow=self.intake.called_flow,
            emit=self.intake.emit,
            note_emitted=self.intake.note_emitted,
            # The operations are created later, because they need the runner.
            cancel=lambda execution_id: self.operations.cancel(execution_id, by=None),
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            store_problem=self.store_problem,
            files_root=options.files_root,
            plugin_calls=self.plugin_calls,
            new_id=self.ids.new,
            events=self.events,
            redaction=self.redaction,
            step_timeout=options.step_timeout,
            tokens=self.tokens,
            membership=self.membership,
            rates=StepRates(limits),
            body_checker=self.body_checker,
        )
        self.rejections = RejectionRecord(self.store, self.clock, self.ids, self.log, self.store_problem)
        self.captures = CaptureRecord(self.store, self.clock, self.log, self.events, self.store_problem)
        self.capture_operations = Captures(self.store, self.clock, self.ids.new, self.membership, self.captures)
        process_name = f"{options.node_name}.{secrets.token_hex(6)}"
        self._statistics = StatisticsRecord(
            self.metrics.flow_counts,
            self.store,
            self.clock,
            self.log,
            self.store_problem,
            process_name,
            lambda: self.reports_database,
        )
        self.subscriptions = SubscriptionStore(self.store, self.vault, self.clock)
        self.sources = SourceSupervisor(
            SourceServices(
                engine=services,
                intake=self.intake,
                rejections=self.rejections,
                registry=registry,
                subscriptions=self.subscriptions,
                public_url=options.public_url.rstrip("/"),
                public_url_set=options.public_url_set,
            )
        )
        self.resume_tokens = ResumeTokens(options.secret_keys, self.vault)
        self.keys = DatabaseKeys(
            self.store,
            self.vault,
            self.resume_tokens,
            self.clock,
            self.log,
            options.keep_new_key,
            options.drop_new_key,
        )
        self.admin_token: bytes | None = None
        """The SHA-256 of the token of the admin API that the nodes of the database share."""
        self.callbacks = Callbacks(
            self.store,
            self.queue,
            self.version_resolver,
            self.resume_tokens,
            self.redaction,
            lambda: self.intake.open and self.membership.current,
        )
        checker = CompatibilityChecker(services, registry.actions, self.resume_url)
        self.migration = Migration(
            self.store, self.queue, self.version_resolver, self.version_history, checker, self.clock, self.ids.new
        )
        self._runner = Runner(
            services, self.version_resolver, self.queue, self._timers, self.intake.leaving_queue, self.resume_url
        )
        self._dispatcher = Dispatcher(
            self.queue,
            self._runner,
            self.clock,
            self.log,
            self.store_problem,
            self.version_resolver.published,
        )
        self.intake.places = self._dispatcher
        self.intake.membership = self.membership
        self.deployer = Deployer(
            store=self.store,
            flow_storage=self.flow_storage,
            versions=self.version_resolver,
            clock=self.clock,
            ids=Ids(self.clock),
            new_id=self.ids.new,
            check=DeploymentCheck(
                self.flow_storage,
                self.credentials.list,
                lambda document, **given: check_flow(
                    document,
                    registry,
                    environment=options.environment,
                    unverified=options.unverified_flows,
                    public_url=options.public_url_set,
                    several_hosts=self.membership.hosts > 1,
                    **given,
                ),
            ),
            adopted=self._other_versions,
        )
        self.version_switch = VersionSwitch(
            store=self.store,
            queue=self.queue,
            flow_storage=self.flow_storage,
            deployer=self.deployer,
            versions=self.version_resolver,
            states=self.states,
            dispatcher=self._dispatcher,
            runner=self._runner,
            sources=self.sources,
            options=options,
            clock=self.clock,
            log=self.log,
            store_problem=self.store_problem,
            membership=self.membership,
        )
        self.search = ContentSearch(self.store, self.clock, registry.mappers)
        self.operations = Operations(
            store=self.store,
            queue=self.queue,
            intake=self.intake,
            callbacks=self.callbacks,
            runner=self._runner,
            version_switch=self.version_switch,
            versions=self.version_history,
            resolver=self.version_resolver,
            migration=self.migration,
            replays=Replays(
                store=self.store,
                versions=self.version_resolver,
                intake=self.intake,
                wake=self.version_switch.wake,
                redaction=self.redaction,
                clock=self.clock,
                ids=self.ids,
                body_checker=self.body_checker,
            ),
            redaction=self.redaction,
            replies=self.replies,
            events=self.events,
            metrics=self.metrics,
            clock=self.clock,
            new_id=self.ids.new,
        )
        purger = Purger(self.store, self.blobs, self.clock, self.log, self.retention_of, self.oldest_unstored)
        self._sweeper = Sweeper(
            self.store,
            self.blobs,
            self.clock,
            self.log,
            options.file_retention,
            options.max_request_time,
            purger,
            options.audit_retention,
            self.oldest_unstored,
        )
        self._node_problems = NodeProblems(
            self.store,
            self.clock,
            self.store_problem,
            process_name,
            failed_plugins=registry.failed,
            sources=self.sources.statuses,
            intake=self.intake,
        )
        self.attention = Attention(self.store, self.clock, self.credentials, self.membership)
        self._housekeeping = Duty(self.membership, "housekeeping", self.clock)
        self._reporting = Duty(self.membership, "reporting", self.clock)
        self._ordering = Duty(self.membership, INSERTION_DUTY, self.clock)
        self._watching = Duty(self.membership, "folder", self.clock)
        self._inserting = LeasedWork(self.membership, self.clock)
        self.disk_budget: DiskBudget | None = None
        if options.disk_budget is not None:
            self.disk_budget = DiskBudget(
                self.store,
                self.blobs,
                purger,
                self.intake.set_full,
                self.clock,
                self.log,
                options.disk_budget,
            )
        self.authoring = WorkerPool()
        self.waits_for: str | None = None
        """The reason why the last start has failed, if the next one may succeed."""
        self._queue_open = False
        self._closed = False
        self.draining = False
        """Set it when the server is about to stop: it is no longer ready, but still accepts messages."""
        self._background: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()
        """Set after a part of the engine died. The engine and its process must then be stopped."""

    async def __aenter__(self) -> "Engine":
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A cancelled caller has no time for a grace period.
        await self.stop(0 if kind is asyncio.CancelledError else None)

    @property
    def ready(self) -> bool:
        """True while the engine accepts messages, and will for a while."""
        return self.intake.open and not self.draining and not self.failed.is_set()

    async def connect(self) -> None:
        """Open the backend and load what operations need. No flow is run or published; `stop` closes the backend.

        Raises StoreError if the backend can't be opened.
        """
        self.intake.limits.on_demand = True
        await self._backend.open(self._node("command"))
        self._resources.own = self._backend.identities
        try:
            await self._load(command=True)
        except BaseException:
            await self._close()
            raise
        self.version_history.live = False
        self.intake.open = True

    def _node(self, role: NodeRole) -> NodeDescription:
        accepts = self.intake_queue is not None and role in ("all", "webhook")
        return NodeDescription(
            self.options.node_name,
            role,
            listen_url=self.options.db_listen,
            accepts_without_lease=self.options.intake_stale.total_seconds() if accepts else 0.0,
            queue="" if self.intake_queue is None else self.intake_queue.name,
        )

    async def start(self) -> None:
        """Open the backend, load credentials and flows, and continue what a previous process left.

        Raises StoreAway if the backend can't be reached now; then it may be called again. Raises StoreError if the
        backend can't be opened or no files can be stored.
        """
        try:
            await self._start()
        except StoreAway as error:
            self.waits_for = error.message
            raise
        self.waits_for = None

    async def _start(self) -> None:
        self.membership.on_lost = self._drop
        self.membership.on_cancel = self._cancel_all
        self.membership.on_look = self.intake.limits.look
        await self._backend.open(self._node(self.options.role))
        self._resources.own = self._backend.identities
        try:
            if isinstance(self.flow_storage, FolderFlowStorage):
                await check_flows_folder(self.membership, self.flow_storage.catalog.directory)
            await check_queue(self.membership)
            # A missing bucket is better found now than by the first file.
            await self.blobs.ping()
            await check_blob_store(self.membership, self.blobs, self.log)
            if self.intake_queue is not None and not self._queue_open:
                await self.intake_queue.open()
                self._queue_open = True
            await self.deployer.recover()
            await self._load()
            await self.version_switch.start()
            await self.intake.limits.begin()
        except StoreAway:
            # The rest stays as it is for the next time.
            for flow_id in self._dispatcher.lanes():
                await self._dispatcher.close(flow_id)
            # The next lease is another one, under which other nodes may have what runs.
            await self._dispatcher.drop()
            await self._backend.close()
            raise
        except BaseException:
            await self._close()
            raise
        self.membership.on_change = self._adopt
        self.membership.on_probe = partial(is_readable, self.blobs)
        self._loop_monitor.start()
        self._background = asyncio.create_task(self._run_background(), name="hookline engine")
        self.intake.open = self.options.role != "worker"

    def _limited_flows(self) -> Iterable[CompiledFlow]:
        """The flows that this node accepts messages for, by its role."""
        role = self.options.role
        if self.intake.limits.on_demand:
            return
        for flow in [entry.flow for entry in self.catalog.entries.values() if entry.flow is not None]:
            if role in ("all", "worker" if flow.trigger.webhook is None else "webhook"):
                yield flow

    async def _drop(self) -> None:
        """Drop all that runs here, since other nodes may have taken it over."""
        self.intake.limits.drop()
        # What was taken from the intake queue may be inserted by another node, run and be purged by now.
        for work in (self._inserting, self._housekeeping, self._reporting, self._ordering, self._watching):
            await work.drop()
        await self.sources.drop()
        await self._dispatcher.drop()

    async def _adopt(self) -> None:
        """Adopt what other nodes have changed. Raises StoreError."""
        try:
            await self.keys.refresh()
        except CredentialError as error:
            # Whatever needs the key fails, and the node isn't ready.
            self.log.error("this node lacks a key of the database", error=error.message)
        await self.load_admin_token()
        await self.credentials.load()
        await self.subscriptions.load()
        await self.captures.load()
        await self.version_switch.adopt()
        self.intake.limits.flows_changed()
        await self.intake.limits.refresh()

    def _other_versions(self, changes: CatalogChanges) -> None:
        """Continue with the versions that are active now."""
        self.version_switch.adopted(changes)
        self.intake.limits.flows_changed()

    async def load_admin_token(self) -> None:
        """Read which token of the admin API the nodes share. Raises StoreError."""
        self.admin_token = (await self.store.shared_secrets()).admin_token

    async def share_admin_token(self, digest: bytes, *, first: bool = False) -> None:
        """Let all nodes that have no token of the admin API themselves accept this one; `first`: if there is none yet.

        Raises StoreError.
        """
        await self.store.commit([SetAdminToken(digest, first)])
        await self.load_admin_token()

    def _cancel_all(self, execution_ids: Sequence[str]) -> None:
        for execution_id in execution_ids:
            self._runner.cancel(execution_id)

    async def _load(self, *, command: bool = False) -> None:
        await self.keys.join(command=command)
        await self.load_admin_token()
        self.instance_id = await self.store.instance_id()
        await self.credentials.load()
        await self.subscriptions.load()
        await self.captures.load()
        await self.version_switch.load()
        for flow_id, (count, _) in (await self.store.backlog()).items():
            self.intake.set_backlog(flow_id, count)

    async def stop(self, grace: float | None = None) -> None:
        """Accept nothing more, let executions finish within the grace period, and leave the rest for the next start.

        `grace`: seconds, instead of those of the options. If this call is cancelled, the rest is left at once.
        """
        self.intake.open = False
        self.events.close()
        try:
            if self._background is not None:
                self._background.cancel()
                await asyncio.wait((self._background,))
                self._background = None
            left = await self._dispatcher.stop(self.options.grace if grace is None else grace)
            if left:
                self.log.warning("executions were interrupted; they continue at the next start", executions=left)
            await self.rejections.close()
            await self.captures.close()
            await self._statistics.close()
            await self.tokens.close(min(_TOKENS_GRACE, self.options.grace if grace is None else grace))
            with contextlib.suppress(StoreError):  # then they are soon too old
                await self._node_problems.withdraw()
            with contextlib.suppress(StoreError):  # then the parts count as used up
                await self.intake.limits.leave()
        finally:
            self.replies.close()
            await self._close()

    async def _run_background(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if self.options.role != "webhook":
                    group.create_task(self._timers.run())
                    group.create_task(self._housekeeping.run(self._keep_house))
                    group.create_task(self.sources.run())
                    group.create_task(self.version_switch.follow_nodes())
                    if self._inserter is not None:
                        group.create_task(self._inserting.run(self._inserter.run))
                        group.create_task(self._ordering.run(self._inserter.run_in_order))
                else:
                    group.create_task(follow_jumps(self.clock))
                if self.disk_budget is not None:
                    group.create_task(self.disk_budget.watch(lambda: self._housekeeping.held))
                group.create_task(self.intake.follow_backlog())
                group.create_task(self.intake.limits.run())
                group.create_task(self._reporting.run(asyncio.Event().wait))
                group.create_task(self._broadcasts.run())
                group.create_task(self.keys.follow())
                group.create_task(self.version_switch.follow_credentials())
                group.create_task(self.version_switch.follow_failures())
                group.create_task(self.rejections.run())
                group.create_task(self.captures.run())
                group.create_task(self._statistics.run())
                group.create_task(self._node_problems.run())
                group.create_task(self.sign_ins.run())
                group.create_task(self.store_problem.run())
                if self.options.watch and self.registry.has_connectors:
                    group.create_task(self._watching.run(self.version_switch.follow_flow_storage))
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.log.critical("a part of the engine died", exc_info=True)
            self.failed.set()
            raise

    async def _keep_house(self) -> None:
        """Remove what is too old or too much, for all nodes."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sweeper.run())
            if self.disk_budget is not None:
                group.create_task(self.disk_budget.run())

    @property
    def reports_database(self) -> bool:
        """True if this node reports the metrics that describe the database, so that a sum over all nodes is right."""
        return not self.membership.shared or self._reporting.held

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop_monitor.stop()
        # Close every part, also after errors. The backend is closed last, because the others may still write to it.
        async with AsyncExitStack() as stack:
            for part in (
                self._backend,
                self.blobs,
                self.intake_queue,
                self._http,
                self._resources,
                self.tokens,
                self.authoring,
                self.body_checker,
            ):
                if part is not None:
                    stack.push_async_callback(part.close)

    def _flow_storage(self) -> FlowStorage:
        folder, environment, unverified = self.options.flows, self.options.environment, self.options.unverified_flows
        if folder is None or not self.registry.has_connectors:
            # Without connectors no flow can be checked, so a node that has them deploys the folder.
            stored = StoredCatalog(self.store, self.registry, environment=environment, unverified=unverified)
            return DatabaseFlowStorage(stored, self.store)
        catalog = FolderCatalog(folder, self.registry, environment=environment, unverified=unverified)
        return FolderFlowStorage(catalog, self.store, self.clock, self.log)

    async def oldest_unstored(self) -> datetime | None:
        """The time of the oldest message that the store doesn't have, or may not have. Raises StoreError."""
        return None if self.intake_queue is None else await self.intake_queue.oldest()

    def retention_of(self, flow_id: str) -> Retention:
        """The retention of a flow's executions."""
        return retention_in(self.catalog, self.options.retention, flow_id)

    def resume_url(self, execution_id: str, path: str) -> str:
        """The resume URL of a waiting step, given by its execution and its path."""
        return self.resume_tokens.url(self.options.public_url, execution_id, path)
