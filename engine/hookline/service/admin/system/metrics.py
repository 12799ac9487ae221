"""The route `/metrics`: the metrics of all workers for Prometheus."""

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import HooklineError, StoreError
from hookline.service.admin.gate import Gate
from hookline.service.admin.openapi import operation
from hookline.telemetry.metrics import CONTENT_TYPE, merged
from hookline.telemetry.worker_metrics import WorkerMetrics

_GAUGES_TIMEOUT: Final = 5.0
"""Seconds for the gauges that are read from the store."""
_GAUGES_OF_WORKERS: Final = 0.5
"""Seconds for those of another worker, which has a second in all."""


def metrics_blueprint(engine: Engine, gate: Gate, *, public: bool, workers: WorkerMetrics | None = None) -> Blueprint:
    """Create the route of an engine's metrics, which contain the names of all flows.

    `workers`: those of the other workers of the server.
    """
    watch = Blueprint("watch", __name__)
    watch.register_error_handler(HooklineError, gate.respond)
    if not public:
        # Prometheus may use any name of this server, and a page of another site has no token.
        watch.before_request(gate.check_token)

    @watch.get("/metrics")
    @operation(str, open=public, all_flows=True, media_type="application/openmetrics-text")
    async def metrics() -> Response:
        """Return the metrics for Prometheus, those of all workers."""
        if workers is None:
            text = await _exposition(engine, _GAUGES_TIMEOUT)
        else:
            others, _ = await asyncio.gather(workers.of_others(), _update_gauges(engine, _GAUGES_TIMEOUT))
            engine.metrics.left_out(sum(other is None for other in others))
            text = merged([engine.metrics.exposition(), *filter(None, others)])
        return Response(text, content_type=CONTENT_TYPE)

    return watch


def offered_to_workers(engine: Engine, workers: WorkerMetrics) -> AbstractAsyncContextManager[None]:
    """Give the metrics of an engine to the other workers of the server."""
    return workers.offered(partial(_exposition, engine, _GAUGES_OF_WORKERS))


async def _exposition(engine: Engine, timeout: float) -> bytes:
    await _update_gauges(engine, timeout)
    return engine.metrics.exposition()


async def _update_gauges(engine: Engine, timeout: float) -> None:
    """Update the metrics that are read from the store, if it answers: the counters are useful even if it doesn't."""
    try:
        async with asyncio.timeout(timeout):
            await _read_gauges(engine)
    except StoreError as error:
        engine.store_problem.report(error)
    except TimeoutError:
        engine.store_problem.report(StoreError(f"queue depths can't be read within {timeout:g} s"))


async def _read_gauges(engine: Engine) -> None:
    if not engine.reports_database:
        engine.metrics.show_backlog({}, {})
        return
    now = engine.clock.now()
    backlog = {
        flow_id: (count, max(0.0, (now - oldest).total_seconds()))
        for flow_id, (count, oldest) in (await engine.store.backlog()).items()
    }
    engine.metrics.show_backlog(backlog, dict(await engine.store.counts()))
