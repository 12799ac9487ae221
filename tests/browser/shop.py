"""The server of a shop: flows of several kinds, with executions in each state and something that needs attention."""

import asyncio
from datetime import UTC, datetime, timedelta
from math import pi, sin
from random import Random
from typing import Any, Final

from hookline.kernel.clocks import SystemClock
from hookline.storage.change_declarations import PutStatistics
from hookline.storage.statistics import ALL_FLOWS, BUCKETS, MINUTE, Counts, FlowMinute, begin_of, total
from hookline_sqlstore.backend_makers import sqlite
from tests.acceptance.server_process import ServerProcess

_OPEN: Final = {"use": "webhook", "with": {"verify": "none"}}
_SIGNED: Final = {"use": "webhook", "with": {"verify": {"scheme": "api-key", "credential": "shop"}}}

FLOWS: Final[tuple[dict[str, Any], ...]] = (
    {
        "id": "orders",
        "title": "Book orders in the warehouse",
        "trigger": _OPEN,
        "steps": [
            {
                "id": "order",
                "use": "map",
                "with": {
                    "body": {
                        "number": "$.body.number",
                        "customer": "$.body.customer",
                        "lines": "$.body.lines",
                        "total": "{{ body.lines | sum(attribute='price') }}",
                    }
                },
            },
            {
                "id": "size",
                "switch": [
                    {
                        "when": "{{ body.total > 1000 }}",
                        "steps": [
                            {"id": "large", "use": "log", "with": {"message": "a large order: {{ body.number }}"}},
                        ],
                    },
                    {
                        "otherwise": True,
                        "steps": [
                            {"id": "small", "use": "log", "with": {"message": "order {{ body.number }}"}},
                        ],
                    },
                ],
            },
            {
                "id": "reserved",
                "foreach": "$.steps.order.body.lines",
                "as": "line",
                "steps": [
                    {"id": "line", "use": "map", "with": {"body": {"sku": "$.line.sku", "reserved": True}}},
                ],
            },
            {"id": "booked", "use": "map", "with": {"body": {"order": "$.steps.order.body.number", "booked": True}}},
        ],
    },
    {
        "id": "payments",
        "title": "Match payments with orders",
        "trigger": _OPEN,
        "steps": [
            {"id": "payment", "use": "map", "with": {"body": {"order": "$.body.order", "amount": "$.body.amount"}}},
            {
                "id": "known",
                "when": "{{ body.amount <= 0 }}",
                "use": "fail",
                "with": {
                    "code": "payment.amount",
                    "message": "the payment of order {{ body.order }} has no amount",
                },
            },
            {"id": "matched", "use": "map", "with": {"body": {"order": "$.body.order", "matched": True}}},
        ],
    },
    {
        "id": "returns",
        "title": "Approve returns",
        "trigger": _OPEN,
        "steps": [
            {"id": "request", "use": "map", "with": {"body": {"order": "$.body.order", "reason": "$.body.reason"}}},
            {"id": "approve", "use": "webhook", "with": {"timeout": "2d"}},
            {"id": "refund", "use": "map", "with": {"body": {"refunded": "$.steps.request.body.order"}}},
        ],
    },
    {
        "id": "partners",
        "title": "Take orders of partners",
        "trigger": _SIGNED,
        "steps": [{"id": "partner", "use": "map", "with": {"body": {"partner": "$.body.partner"}}}],
    },
    {
        "id": "nightly",
        "title": "Count the stock at night",
        "trigger": {"use": "schedule", "with": {"cron": "30 3 * * *", "time_zone": "Europe/Berlin"}},
        "steps": [{"id": "counted", "use": "log", "with": {"message": "counted"}}],
    },
)

_RATES: Final = {"orders": 11, "payments": 8, "returns": 1, "partners": 2}
"""Messages in a minute, before the server was started."""
_HISTORY: Final = 24 * 60
"""Minutes."""
_PATIENCE: Final = 300.0
"""Seconds."""
_CUSTOMERS: Final = ("Ada Lovelace", "Grace Hopper", "Katherine Johnson", "Edsger Dijkstra", "Barbara Liskov")


def start_shop(server: ServerProcess) -> None:
    """Start a server with the flows and executions. All executions have come to their ends or waits."""
    for flow in FLOWS:
        server.flow(flow)
    asyncio.run(_write_history(server))
    server.start(_PATIENCE)
    server.api("PUT", "/api/v1/credentials/shop", {"type": "api-key", "values": {"key": "s3cret-of-the-shop"}})
    _send(server)
    server.api("POST", "/api/v1/tokens", {"name": "ci", "scopes": ["author"], "expires": "20d"})
    server.api("POST", "/api/v1/tokens", {"name": "dashboard", "scopes": ["read"], "flows": ["orders"]})
    server.api("POST", "/api/v1/flows/nightly/pause")
    server.eventually("the executions have ended or wait", lambda: _settled(server), _PATIENCE)


async def _write_history(server: ServerProcess) -> None:
    """Write the statistics of the day before, as a server would have counted them."""
    (server.folder / ".hookline").mkdir(exist_ok=True)
    backend = sqlite(f"sqlite:///{server.folder}/.hookline/hookline.db", clock=SystemClock())
    await backend.open()
    now, chance = begin_of(datetime.now(UTC), MINUTE), Random(7)
    minutes = []
    for place in range(_HISTORY):
        at = now - timedelta(minutes=_HISTORY - place)
        busy = 1 + 0.6 * sin(2 * pi * (place / _HISTORY - 0.45))
        counted = {
            flow_id: _counts(round(rate * busy * chance.uniform(0.7, 1.3)), chance) for flow_id, rate in _RATES.items()
        }
        minutes += [FlowMinute(flow_id, at, counts) for flow_id, counts in counted.items()]
        minutes.append(FlowMinute(ALL_FLOWS, at, total(counted.values())))
    await backend.store.commit([PutStatistics("yesterday", tuple(minutes))])
    await backend.close()


def _counts(accepted: int, chance: Random) -> Counts:
    failed = round(accepted * chance.choice((0,) * 30 + (0.1, 0.3)))
    quick = round(accepted * chance.uniform(0.5, 0.6))
    late = round((accepted - quick) * chance.uniform(0, 0.4))
    latency = [0] * BUCKETS
    latency[4:7] = quick, accepted - quick - late, late
    return Counts(
        accepted,
        rejected=chance.choice((0,) * 120 + (1, 3)) if accepted else 0,
        succeeded=accepted - failed,
        failed=failed,
        queue_age=timedelta(milliseconds=chance.randrange(2, 40) if accepted else 0),
        latency=tuple(latency),
    )


def _send(server: ServerProcess) -> None:
    for number in range(40):
        lines = [{"sku": f"A-{number:03d}-{line}", "price": 19.5 * (line + 1) * (number % 9)} for line in range(3)]
        _accepted(server, "orders", {"number": 4000 + number, "customer": _CUSTOMERS[number % 5], "lines": lines})
    for number in range(12):
        _accepted(server, "payments", {"order": 4000 + number, "amount": 0 if number % 4 == 0 else 99.5})
    for number in range(3):
        _accepted(server, "returns", {"order": 4010 + number, "reason": "too small"})
    for _ in range(4):
        status, _answer = server.post("partners", {"partner": "north"})
        assert status == 401
    _accepted(server, "partners", {"partner": "south"}, {"X-API-Key": "s3cret-of-the-shop"})


def _accepted(server: ServerProcess, flow_id: str, body: Any, headers: dict[str, str] | None = None) -> None:
    status, answer = server.post(flow_id, body, headers)
    assert status == 202, answer


def _settled(server: ServerProcess) -> bool:
    states = [execution["state"] for execution in server.executions()]
    return len(states) == 56 and not {"queued", "running"} & set(states)
