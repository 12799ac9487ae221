"""What watches the server, and needs no token: `/healthz`, `/readyz`, `/metrics`, and the API's description."""

import asyncio
import hmac
from collections.abc import Callable
from typing import Final

import msgspec
from quart import Blueprint, Response, current_app, request

from hookline.engine import Engine
from hookline.kernel.errors import StoreError
from hookline.kernel.logs import Log
from hookline.kernel.time import Clock
from hookline.service.admin import openapi
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import json_response
from hookline.storage.blobs import Blobs
from hookline.storage.store import Store
from hookline.telemetry.metrics import CONTENT_TYPE


def has_admin_token(token: str) -> bool:
    """Whether the request has the admin token."""
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    # Compared also where the kind is wrong, so that every rejection takes as long.
    right = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return right and kind.lower() == "bearer"


FILES_EVERY: Final = 30.0
"""Seconds for which what was found out about the blob store holds: a bucket takes money for each answer."""
_FILES_TIMEOUT: Final = 5.0
"""Seconds. Probes are given up after few, and a blob store tries again for longer."""


class Trouble(msgspec.Struct, frozen=True):
    """Why nothing can be stored."""

    status: str
    """For everybody."""
    reason: str
    """For operators alone."""


class Readiness:
    """Finds out, and logs each trouble once. One for each server."""

    def __init__(
        self, store: Store, blobs: Blobs, clock: Clock, log: Log, full: Callable[[], str | None] = lambda: None
    ) -> None:
        """`full` says why nothing more may be stored, where that is so."""
        self._full = full
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._log = log
        self._known: Trouble | None = None
        self._files: Trouble | None = None
        self._files_until = float("-inf")

    async def trouble(self) -> Trouble | None:
        """What is in the way; None where nothing is."""
        found = await self._of_store() or await self._of_files() or self._of_budget()
        if found is not None and found != self._known:
            self._log.error(found.status, error=found.reason)
        self._known = found
        return found

    async def _of_store(self) -> Trouble | None:
        try:
            await self._store.ping()
        except StoreError as error:
            return Trouble("the store can't be used", error.message)
        return None

    def _of_budget(self) -> Trouble | None:
        full = self._full()
        return None if full is None else Trouble("the disk budget is used up", full)

    async def _of_files(self) -> Trouble | None:
        now = self._clock.monotonic()
        if now >= self._files_until:
            # Those who ask meanwhile are told what was known before.
            self._files_until = now + FILES_EVERY
            try:
                async with asyncio.timeout(_FILES_TIMEOUT):
                    await self._blobs.ping()
            except (StoreError, TimeoutError) as error:
                reason = error.message if isinstance(error, StoreError) else f"no answer in {_FILES_TIMEOUT:g} s"
                self._files = Trouble("files can't be kept", reason)
            else:
                self._files = None
        return self._files


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the server is."""

    status: str
    reason: str | None = None
    """What is wrong, for those who send the admin token: it may name files and servers."""


def health_blueprint(engine: Engine, token: str) -> Blueprint:
    """The routes of an engine; with the admin token they say more."""
    watch = Blueprint("watch", __name__)
    readiness = Readiness(engine.store, engine.blobs, engine.clock, engine.log, lambda: engine.intake.full)

    @watch.get("/healthz")
    @operation(Status, open=True)
    async def healthz() -> Response:
        """Whether the process works; where it doesn't, it is to be started anew."""
        return json_response(Status("failed"), 503) if engine.failed.is_set() else json_response(Status("ok"))

    @watch.get("/readyz")
    @operation(Status, open=True)
    async def readyz() -> Response:
        """Whether requests should come here: not before the start is done, nor once the server stops.

        Nor while messages or their files can't be stored; with the admin token it says why.
        """
        if not engine.ready:
            return json_response(Status("not ready"), 503)
        trouble = await readiness.trouble()
        if trouble is not None:
            return json_response(Status(trouble.status, trouble.reason if has_admin_token(token) else None), 503)
        return json_response(Status("ready"))

    @watch.get("/api/v1/openapi.json")
    async def description() -> Response:
        return json_response(openapi.document(current_app))

    @watch.get("/metrics")
    @operation(str, open=True, media_type="text/plain")
    async def metrics() -> Response:
        """What Prometheus scrapes."""
        try:
            await engine.update_gauges()
        except StoreError as error:
            # The counters are worth having all the more.
            engine.log.warning("queue depths can't be read", error=error.message)
        return Response(engine.metrics.exposition(), content_type=CONTENT_TYPE)

    return watch
