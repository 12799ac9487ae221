"""What watches the server, and needs no token: `/healthz`, `/readyz`, `/metrics`, and the API's description."""

import msgspec
from quart import Blueprint, Response, current_app

from hookline.engine import Engine
from hookline.kernel.errors import StoreError
from hookline.service.admin import openapi
from hookline.service.admin.merge_service_admin_token import bears
from hookline.service.admin.merge_service_readiness import Readiness
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import answer
from hookline.telemetry.metrics import CONTENT_TYPE


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the server is."""

    status: str
    reason: str | None = None
    """What is wrong, for those who send the admin token: it may name files and servers."""


def watch_routes(engine: Engine, token: str) -> Blueprint:
    """The routes of an engine; with the admin token they say more."""
    watch = Blueprint("watch", __name__)
    readiness = Readiness(engine.store, engine.blobs, engine.clock, engine.log, engine.intake.full)

    @watch.get("/healthz")
    @operation(Status, open=True)
    async def healthz() -> Response:
        """Whether the process works; where it doesn't, it is to be started anew."""
        return answer(Status("failed"), 503) if engine.failed.is_set() else answer(Status("ok"))

    @watch.get("/readyz")
    @operation(Status, open=True)
    async def readyz() -> Response:
        """Whether requests should come here: not before the start is done, nor once the server stops.

        Nor while messages or their files can't be stored; with the admin token it says why.
        """
        if not engine.ready:
            return answer(Status("not ready"), 503)
        trouble = await readiness.trouble()
        if trouble is not None:
            return answer(Status(trouble.status, trouble.reason if bears(token) else None), 503)
        return answer(Status("ready"))

    @watch.get("/api/v1/openapi.json")
    async def description() -> Response:
        return answer(openapi.document(current_app))

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
