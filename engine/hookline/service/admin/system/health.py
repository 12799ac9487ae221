"""The probes `/healthz` and `/readyz`, which need no token."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec
from quart import Blueprint, Response, request

from hookline.access.tokens import ServerToken, digest
from hookline.engine import Engine
from hookline.intake.queue_publisher import Publisher
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import StoreError
from hookline.service.admin.openapi import operation
from hookline.service.admin.responses import json_response
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store
from hookline.telemetry.store_problem import StoreProblem


def has_admin_token(token: ServerToken) -> bool:
    """True if the request has the admin token."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    # Compared even if the kind is wrong, so that every rejection takes the same time.
    return token.accepts(digest(given.strip())) and kind.lower() == "bearer"


FILES_EVERY: Final = 30.0
"""Seconds for which the state of the blob store is cached: each request to a bucket costs money."""
_FILES_TIMEOUT: Final = 5.0
"""Seconds. Probes give up early, and a blob store tries again for longer."""
_REASONS: Final = 10
"""The most flows that one response names."""


class Trouble(msgspec.Struct, frozen=True):
    """The reason why nothing can be stored."""

    status: str
    """For everybody."""
    reason: str
    """Only for operators."""


class Readiness:
    """Determines whether messages can be stored. One for each server."""

    @classmethod
    def of(cls, engine: Engine) -> "Readiness":
        """The readiness of an engine."""
        return cls(
            engine.store,
            engine.blobs,
            engine.clock,
            engine.store_problem,
            lambda: engine.intake.full,
            engine.publisher,
            partial(_not_acceptable, engine),
        )

    def __init__(
        self,
        store: Store,
        blobs: Blobs,
        clock: Clock,
        store_problem: StoreProblem,
        full: Callable[[], str | None] = lambda: None,
        publisher: Publisher | None = None,
        not_acceptable: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`full` returns the reason why nothing more may be stored, or None.

        `publisher` accepts messages also while the store can't be used. `not_acceptable` returns the reason why the
        messages of a flow that serves can't be accepted here, or None.
        """
        self._not_acceptable = not_acceptable
        self._publisher = publisher
        self._full = full
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._store_problem = store_problem
        self._files: Trouble | None = None
        self._files_until = float("-inf")

    async def trouble(self) -> Trouble | None:
        """The current trouble, or None."""
        return (
            await self._of_queue()
            or await self._of_store()
            or await self._of_files()
            or self._of_budget()
            or self._of_flows()
        )

    async def _of_queue(self) -> Trouble | None:
        if self._publisher is not None:
            try:
                await self._publisher.check()
            except StoreError as error:
                return Trouble("messages can't be accepted", error.message)
        return None

    async def _of_store(self) -> Trouble | None:
        # While there is a store problem, its watcher already asks the store.
        if self._publisher is not None and self._store_problem.present and not self._publisher.stale:
            return None
        try:
            await self._store.ping()
        except StoreError as error:
            self._store_problem.report(error)
            if self._publisher is not None and not self._publisher.stale:
                return None
            return Trouble("the store can't be used", error.message)
        self._store_problem.note_answer()
        return None

    def _of_flows(self) -> Trouble | None:
        reason = self._not_acceptable()
        return None if reason is None else Trouble("messages of some flows can't be accepted", reason)

    def _of_budget(self) -> Trouble | None:
        full = self._full()
        return None if full is None else Trouble("the disk budget is used up", full)

    async def _of_files(self) -> Trouble | None:
        now = self._clock.monotonic()
        if now >= self._files_until:
            # Requests that come meanwhile get the previous result.
            self._files_until = now + FILES_EVERY
            try:
                async with asyncio.timeout(_FILES_TIMEOUT):
                    await self._blobs.ping()
            except (StoreError, TimeoutError) as failure:
                missing = f"the blob store gives no answer in {_FILES_TIMEOUT:g} s"
                error = failure if isinstance(failure, StoreError) else StoreError(missing)
                self._store_problem.report(error)
                self._files = Trouble("files can't be kept", error.message)
            else:
                self._files = None
        return self._files


def _not_acceptable(engine: Engine) -> str | None:
    """The reasons why this node can't accept the messages of flows that are served, although others may; None if it
    can accept all."""
    if engine.publisher is not None and engine.publisher.stale:
        return "flows and credentials are older than intake_stale allows"
    if engine.publisher is None and not engine.membership.current:
        return "this node was cut off from the database, and is reading the changes that it missed"
    reasons: list[str] = []
    unreadable = engine.credentials.unreadable()
    for flow_id, entry in engine.catalog.entries.items():
        if entry.flow is None:
            # The folder of one host may have a broken file. What a database serves was valid on another node.
            if entry.file is None:
                reasons += [f"flow {flow_id!r}: {problem}" for problem in entry.errors[:1]]
        # Hardly ever is one unreadable, and there may be many flows.
        elif unreadable and engine.states.of(entry.flow) != "stopped":
            named = {entry.flow.trigger.credential, *(step.credential for step in entry.flow.waits.values())}
            reasons += [f"flow {flow_id!r}: {problem}" for name, problem in unreadable.items() if name in named]
    return None if not reasons else "; ".join(reasons[:_REASONS])


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state of the server."""

    status: str
    reason: str | None = None
    """The reason, for requests with the admin token: it may name files and servers."""
    not_run: Mapping[str, Sequence[str]] | None = None
    """The flows that this node leaves to others, with the actions that it lacks; for requests with the admin token."""


def probes_blueprint(engine: Engine, readiness: Readiness, token: ServerToken | None = None) -> Blueprint:
    """Create the probes of an engine. Requests with `token` get the reason; if it is None, no request does."""
    probes = Blueprint("probes", __name__)

    @probes.get("/healthz")
    @operation(Status, open=True, also=(503,))
    async def healthz() -> Response:
        """Report whether the process works; if it doesn't, it has to be restarted."""
        return json_response(Status("failed"), 503) if engine.failed.is_set() else json_response(Status("ok"))

    @probes.get("/readyz")
    @operation(Status, open=True, also=(503,))
    async def readyz() -> Response:
        """Report whether the server can accept the messages of each flow that is served.

        It can't while it starts or stops, or while messages or their files can't be stored. With the admin token, the
        response has the reason. A node that can't run a flow because it lacks an action is ready.
        """
        tells = token is not None and has_admin_token(token)
        if not engine.ready:
            return json_response(Status("not ready", engine.waits_for if tells else None), 503)
        trouble = await readiness.trouble()
        if trouble is not None:
            return json_response(Status(trouble.status, trouble.reason if tells else None), 503)
        return json_response(Status("ready", not_run=engine.version_switch.lacking() or None if tells else None))

    return probes
