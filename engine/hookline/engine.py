"""The engine: everything that runs, made, started and stopped together. Two can live in one process."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from hookline.catalog.catalog import Catalog
from hookline.catalog.flow_states import FlowStates
from hookline.catalog.version_resolver import VersionResolver
from hookline.credentials.authorization import CALLBACK, Authorizations
from hookline.credentials.store import Credentials
from hookline.credentials.tokens import AccessTokens
from hookline.deployments.compatibility import Fitting
from hookline.deployments.migration import Moves
from hookline.deployments.serving import ServedFlows
from hookline.deployments.version_history import KeptVersions
from hookline.discovery.registry import Registry
from hookline.engine_options import EngineOptions
from hookline.executions.blocks.flow_call import CallableFlows
from hookline.executions.completion import told_of_end
from hookline.executions.dispatcher import Dispatcher
from hookline.executions.replies import Replies
from hookline.executions.runner import Runner
from hookline.executions.services import Services
from hookline.executions.timers import Timers
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.intake.callbacks import Callbacks, check_delivered, operator_callback
from hookline.intake.intake import Intake
from hookline.kernel.errors import ConfigError, ExecutionNotFound
from hookline.kernel.ids import Ids
from hookline.kernel.time import Clock, SystemClock
from hookline.maintenance.disk_budget import DiskBudget
from hookline.maintenance.key_rotation import rotate_keys
from hookline.maintenance.retention import Purger, Retention, retention_in
from hookline.maintenance.sweeper import Sweeper
from hookline.model.execution import ExecutionFilter, Outcome, State
from hookline.model.flow import FlowState
from hookline.operations.bulk import Deed, Done, one_page
from hookline.operations.replay import Edit, Replaying, Which
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.plugin_host.facade import BlobsFacade, HttpClientFacade, ResourcesFacade
from hookline.plugin_host.host import PluginCalls
from hookline.plugin_host.loop_monitor import LoopWatch
from hookline.plugin_host.resources import EngineResources
from hookline.sdk.action import Action
from hookline.sdk.context import Resources
from hookline.sdk.http import HttpClient
from hookline.secrets.redaction import Sealing, check_not_erased
from hookline.secrets.resume_tokens import ResumeTokens
from hookline.secrets.vault import Vault
from hookline.sources.source import SourceServices
from hookline.sources.subscription import Subscribing
from hookline.sources.subscription_store import Subscriptions
from hookline.sources.supervisor import Sources
from hookline.storage.backend import Backend
from hookline.storage.blobs import Blobs
from hookline.storage.changes import (
    Cancel,
    Change,
    DismissDeadLetter,
    End,
    ReleaseOrderKey,
    Reopen,
)
from hookline.storage.queue import Queue
from hookline.storage.store import Store, readable_envelope
from hookline.telemetry.events import Events
from hookline.telemetry.metrics import Metrics
from hookline.telemetry.rejections import RejectionRecord

#: Seconds that renewals of tokens have to end in, where the grace period isn't shorter.
_TOKENS_GRACE: Final = 10.0


class Engine:
    """Runs the flows of one folder over one backend.

    `async with Engine(registry, options):` starts and stops it. Its parts are attributes, for the Webhook Service
    and the admin API, which stand on it.
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
        """`credential_store`: where credentials and their tokens are kept, where that is another's.

        Raises ConfigError where no plugin gives the backend or the blob store that the options name.
        """
        self.registry = registry
        self.options = options
        self.clock: Clock = clock or SystemClock()
        self.log: Any = log or structlog.get_logger("hookline")
        self.ids = Ids(self.clock)
        self.metrics = Metrics()
        self._backend: Backend = _made(registry.backends, options.db, "database", self.clock)
        self.store: Store = self._backend.store
        self.queue: Queue = self._backend.queue
        self.blobs: Blobs = _made(registry.blob_stores, options.blobs, "blob store", self.clock)
        egress = Egress(options.egress_allow)
        self._http = PooledClient(clock=self.clock, egress=egress, blobs=self.blobs)
        self.http: HttpClient = HttpClientFacade(self._http)
        self._resources = EngineResources([options.db], egress)
        self.resources: Resources = ResourcesFacade(self._resources)
        self._calls = PluginCalls(registry, self.metrics, self.log)
        self._watch = LoopWatch(registry, self.metrics, self.log)
        vault = self._vault = Vault(options.secret_keys)
        self.sealing = Sealing(vault)
        self.credentials = Credentials(
            credential_store or self.store,
            vault,
            registry.credential_types,
            self.clock,
            [lambda name: self._served.credential_changed(name)],
            registry.oauth2,
        )
        self.tokens = AccessTokens(self.credentials, self.http, self.clock, self.log)
        self.authorizations = Authorizations(self.credentials, self.clock, options.public_url.rstrip("/") + CALLBACK)
        self.catalog = Catalog(options.flows, registry, environment=options.environment)
        self._versions = VersionResolver(self.catalog, self.store)
        self.states = FlowStates(self.store, self.clock)
        self.versions = KeptVersions(self.store, self.catalog)
        self.events = Events(self.clock)
        self.intake = Intake(
            store=self.store,
            queue=self.queue,
            clock=self.clock,
            metrics=self.metrics,
            current=self._versions.current,
            max_backlog=options.max_backlog,
            max_backlog_total=options.max_backlog_total,
            state_of=self.states.of,
            events=self.events,
            sealing=self.sealing,
        )
        self.replies = Replies()
        self._timers = Timers(self.store, self.queue, self.clock, self.log)
        services = Services(
            store=self.store,
            blobs=BlobsFacade(self.blobs),
            http=self.http,
            resources=self.resources,
            secrets=self.credentials,
            replies=self.replies,
            flows=CallableFlows(self._versions.current, self.intake, self.cancel),
            clock=self.clock,
            metrics=self.metrics,
            log=self.log,
            files_root=options.files_root,
            describe=self._describe,
            calls=self._calls,
            new_id=self.ids.new,
            events=self.events,
            sealing=self.sealing,
            step_timeout=options.step_timeout,
            tokens=self.tokens,
        )
        self.rejections = RejectionRecord(self.store, self.clock, self.ids, self.log)
        self.subscriptions = Subscriptions(self.store, vault, self.clock, elsewhere=options.role == "webhook")
        subscribing = Subscribing(
            self.subscriptions, registry, options.public_url, public_url_set=options.public_url_set
        )
        self.sources = Sources(
            SourceServices(services, self.intake, self.rejections, self._describe_trigger), subscribing
        )
        self.resume_tokens = ResumeTokens(options.secret_keys)
        self.callbacks = Callbacks(self.store, self.queue, self._versions, self.resume_tokens, lambda: self.intake.open)
        fitting = Fitting(services, registry.actions, self.resume_url)
        self.moves = Moves(self.store, self.queue, self._versions, self.versions, fitting, self.clock)
        self._runner = Runner(
            services, self._versions, self.queue, self._timers, self.intake.left_queue, self.resume_url
        )
        self._dispatcher = Dispatcher(self.queue, self._runner, self.log)
        self._served = ServedFlows(
            store=self.store,
            queue=self.queue,
            catalog=self.catalog,
            versions=self._versions,
            states=self.states,
            dispatcher=self._dispatcher,
            runner=self._runner,
            sources=self.sources,
            options=options,
            clock=self.clock,
            log=self.log,
        )
        self._replaying = Replaying(
            store=self.store,
            versions=self._versions,
            intake=self.intake,
            wake=self._served.look_at,
            sealing=self.sealing,
            clock=self.clock,
            ids=self.ids,
        )
        purger = Purger(self.store, self.clock, self.log, self.retention_of)
        self._sweeper = Sweeper(
            self.store, self.blobs, self.clock, self.log, options.file_retention, options.max_request_time, purger
        )
        self.disk_budget: DiskBudget | None = None
        if options.disk_budget is not None:
            self.disk_budget = DiskBudget(
                self.store, self.blobs, purger, self._sweeper.sweep, self.clock, self.log, options.disk_budget
            )
            self.intake.full = self._full
        self._background: asyncio.Task[None] | None = None
        self.failed = asyncio.Event()
        """Set when a part of the engine died: it must be stopped, and the process with it."""

    async def __aenter__(self) -> "Engine":
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Whoever is cancelled has no time left.
        await self.stop(0 if kind is asyncio.CancelledError else None)

    @property
    def ready(self) -> bool:
        """Whether it takes messages."""
        return self.intake.open and not self.failed.is_set()

    async def start(self) -> None:
        """Open the backend, load credentials and flows, and go on with what a previous process left.

        Raises StoreError where the backend can't be opened, or no files can be kept.
        """
        await self._backend.open()
        try:
            # A bucket that isn't there is better found now than by the first file that comes.
            await self.blobs.ping()
            await self.credentials.load()
            await self.subscriptions.load()
            await self._served.load()
            for flow_id, (count, _) in (await self.store.backlog()).items():
                self.intake.set_backlog(flow_id, count)
            await self._served.open_lanes()
        except BaseException:
            await self._close()
            raise
        self._watch.start()
        self._background = asyncio.create_task(self._run_background(), name="hookline engine")
        self.intake.open = self.options.role != "worker"

    async def stop(self, grace: float | None = None) -> None:
        """Take nothing more, let what runs finish within the grace period, leave the rest for the next start.

        `grace`: seconds, in place of those of the options. Where this is cancelled, the rest is left at once.
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
                self.log.warning("executions were cut off; they go on at the next start", executions=left)
            await self.rejections.close()
            await self.tokens.close(min(_TOKENS_GRACE, self.options.grace if grace is None else grace))
        finally:
            self.replies.close()
            await self._close()

    async def retry(self, execution_id: str) -> None:
        """Reopen a failed execution: what it has done stays done.

        It goes on with the version that serves where its journal fits that, and else with its own.

        Raises ExecutionNotFound, IllegalStateChange where it hasn't failed, NotReplayable where its redacted values are
        erased, and StoreError.
        """
        execution = await self.store.execution(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        envelope = None if execution.discarded_at is None else await readable_envelope(self.store, execution_id)
        if envelope is not None:
            check_not_erased(envelope, await self.store.journal(execution_id))
        now = self.clock.now()
        deadline = None
        if execution.deadline_at is not None and execution.started_at is not None:
            deadline = now + (execution.deadline_at - execution.started_at)
        changes: list[Change] = [Reopen(execution_id, now, deadline)]
        newest = await self.moves.for_retry(execution, now)
        if newest is not None:
            flow, rebind = newest
            limit = flow.document.timeout
            changes = [Reopen(execution_id, now, None if limit is None else now + limit), rebind]
        await self.store.commit(changes)
        await self._served.look_at(execution.flow_id, execution_id)
        self.events.reopened(execution.flow_id, execution_id)

    async def replay(
        self,
        execution_id: str,
        *,
        step: str | None = None,
        version: Which = "current",
        edit: Edit | None = None,
        discard: bool = False,
    ) -> str:
        """Do an execution again; gives the id of the new one. See `Replaying.replay`."""
        return await self._replaying.replay(execution_id, step=step, version=version, edit=edit, discard=discard)

    async def discard(self, execution_id: str) -> None:
        """Let a failed execution be a dead letter no longer.

        Raises ExecutionNotFound, IllegalStateChange where it hasn't failed or was discarded before, and StoreError.
        """
        await self.store.commit((DismissDeadLetter(execution_id, self.clock.now()),))

    async def many(
        self,
        deed: Deed,
        chosen: ExecutionFilter,
        *,
        version: Which = "current",
        step: str | None = None,
        edit: Edit | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Done:
        """Do something with a page of executions. Replays of those that have a cause discard what they do again.

        Raises StoreError, and ValueError for a cursor that isn't one.
        """
        # So whoever goes on with the dead letters of a cause, after it was stopped, does none twice.
        discard = chosen.cause is not None

        async def one(execution_id: str) -> str | None:
            match deed:
                case "retry":
                    await self.retry(execution_id)
                case "cancel":
                    await self.cancel(execution_id)
                case "discard":
                    await self.discard(execution_id)
                case "replay":
                    return await self.replay(execution_id, step=step, version=version, edit=edit, discard=discard)
            return None

        return await one_page(self.store, chosen, one, cursor=cursor, limit=limit)

    async def cancel(self, execution_id: str) -> None:
        """Let an execution end as cancelled: what runs of it is cut off, and each `finally` on the way out runs.

        Raises ExecutionNotFound, IllegalStateChange where it has ended, and StoreError.
        """
        execution = await self.store.execution(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        envelope = await readable_envelope(self.store, execution_id)
        end = End(execution_id, State.CANCELLED, Outcome.CANCELLED, self.clock.now())
        tells = None if envelope is None else told_of_end(envelope, end, None, self.ids.new())
        await self.store.commit((Cancel(execution_id, end.at, tells),))
        ended = await self.store.execution(execution_id)
        if ended is not None and ended.state is State.CANCELLED and ended.started_at is None:
            # It left the queue without ever running.
            self.intake.left_queue(execution.flow_id)
            self.events.ended(execution.flow_id, execution_id, State.CANCELLED, Outcome.CANCELLED)
        self._runner.cancel(execution_id)
        await self.queue.wake(execution.flow_id, execution_id)
        if tells is not None and tells.execution_id is not None:
            await self.queue.wake(tells.flow_id, tells.execution_id)

    async def resume(self, execution_id: str, step: str, body: bytes) -> None:
        """Call a step that waits in place of whoever doesn't; `step` is its path, or its id, `body` JSON.

        Raises ExecutionNotFound, IllegalStateChange where no such step waits, and StoreError.
        """
        call_id, now = self.ids.new(), self.clock.now()
        call = await operator_callback(self.store, self.sealing, execution_id, step, body, call_id=call_id, at=now)
        check_delivered(await self.callbacks.deliver(call), call)

    async def release(self, execution_id: str) -> None:
        """Let the next execution with its order key run, although this one has failed and holds the key.

        Raises ExecutionNotFound, IllegalStateChange where it hasn't failed, and StoreError.
        """
        await self.store.commit((ReleaseOrderKey(execution_id, self.clock.now()),))

    async def refresh(self) -> None:
        """Take the flows' files as they are now. Raises StoreError and OSError; doing it again makes up for both."""
        await self._served.refresh()

    async def set_state(self, flow_id: str, state: FlowState | None) -> None:
        """Let a flow be active, paused or stopped until somebody decides otherwise, or its file says something else.

        None: what its file says holds. Raises FlowNotFound where no version of it serves, and StoreError.
        """
        await self._served.decide(flow_id, state)

    def current(self, flow_id: str) -> CompiledFlow:
        """The version of a flow that serves. Raises FlowNotFound, and FlowInvalid where none can."""
        return self._versions.current(flow_id)

    async def roll_back(self, flow_id: str, version: str | None, *, force: bool = False) -> tuple[str, Path]:
        """Let an earlier version of a flow serve: see `KeptVersions.roll_back`, which also says what it raises."""
        done = await self.versions.roll_back(flow_id, version, force=force)
        await self.refresh()
        return done

    async def rotate_keys(self) -> int:
        """Encrypt all secrets with the first master key; `maintenance.key_rotation.rotate_keys` has the errors."""
        return await rotate_keys(self.credentials, self.store, self._vault)

    async def update_gauges(self) -> None:
        """Bring the metrics that are read from the store up to date. Raises StoreError."""
        now = self.clock.now()
        backlog = {
            flow_id: (count, max(0.0, (now - oldest).total_seconds()))
            for flow_id, (count, oldest) in (await self.store.backlog()).items()
        }
        self.metrics.show_backlog(backlog, dict(await self.store.counts()))

    async def _run_background(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                if self.options.role != "webhook":
                    group.create_task(self._timers.run())
                    group.create_task(self._sweeper.run())
                    if self.disk_budget is not None:
                        group.create_task(self.disk_budget.run())
                    group.create_task(self.sources.run())
                group.create_task(self._served.follow_credentials())
                group.create_task(self.rejections.run())
                if self.options.watch:
                    group.create_task(self._served.follow_files())
        except asyncio.CancelledError:
            raise
        except BaseException:
            self.log.critical("a part of the engine died", exc_info=True)
            self.failed.set()
            raise

    async def _close(self) -> None:
        self._watch.stop()
        # Whatever one of them raises, the others are closed; the backend last, which the others may still write to.
        async with AsyncExitStack() as stack:
            for part in (self._backend, self.blobs, self._http, self._resources, self.tokens):
                stack.push_async_callback(part.close)

    def retention_of(self, flow_id: str) -> Retention:
        """How long a flow's executions are kept once they have ended."""
        return retention_in(self.catalog, self.options.retention, flow_id)

    def _full(self) -> str | None:
        return None if self.disk_budget is None else self.disk_budget.full

    def resume_url(self, execution_id: str, path: str) -> str:
        """The URL of a step that waits, of an execution and the step's path."""
        return self.resume_tokens.url(self.options.public_url, execution_id, path)

    def _describe_trigger(self, name: str) -> str:
        return str(self.registry.origin("trigger", name))

    def _describe(self, action: Action) -> str:
        return str(self.registry.origin("action", action.name))


def _made(factories: Mapping[str, Any], url: str, what: str, clock: Clock) -> Any:
    scheme = urlsplit(url).scheme
    factory = factories.get(scheme)
    if factory is None:
        known = ", ".join(sorted(factories)) or "none"
        raise ConfigError(f"no plugin gives a {what} for {scheme or url!r}: URLs; installed are {known}")
    return factory(url, clock=clock)
