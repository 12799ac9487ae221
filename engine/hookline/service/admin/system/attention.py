"""The admin API's route about what needs attention."""

from typing import Annotated

import msgspec
from quart import Blueprint, Response

from hookline.access.caller import Caller
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.json import encode
from hookline.model.access import TokenScope
from hookline.operations.attention import AttentionItem, AttentionReport
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.views.json_field_types import Count, Time, one_of, time_view


class AttentionItemView(msgspec.Struct, frozen=True):
    """One thing about which somebody has to decide or do something."""

    kind: Annotated[
        str,
        one_of(
            "dead_letters",
            "rejected",
            "waiting_too_long",
            "source_stopped",
            "plugin_failed",
            "disk_budget",
            "credential_expiring",
            "credential_hosts",
            "token_expiring",
            "node_gone",
        ),
    ]
    severity: Annotated[str, one_of("error", "warning")]
    title: str
    detail: str
    flow_id: str | None
    """The flow that it concerns; null if it concerns the server. `-` stands for flows that don't exist."""
    count: Count | None
    """The number of executions or requests; for those that wait or were rejected, at most 100."""
    since: Time | None
    link: str
    """A path of the console."""


class AttentionView(msgspec.Struct, frozen=True):
    """Everything that needs somebody's attention."""

    items: list[AttentionItemView]
    """Errors first, and those of one kind together."""
    checked_at: Time


def _item_view(item: AttentionItem) -> AttentionItemView:
    return AttentionItemView(
        item.kind,
        item.severity,
        item.title,
        item.detail,
        item.flow_id,
        item.count,
        time_view(item.since),
        item.link,
    )


def _visible(item: AttentionItem, by: Caller) -> bool:
    if not by.scope.includes(item.scope):
        return False
    return by.flows is None if item.flow_id is None else by.sees(item.flow_id)


class _Bodies:
    """The bodies of responses with the last report, for those who see the same of it."""

    def __init__(self) -> None:
        self._report: AttentionReport | None = None
        self._bodies: dict[tuple[TokenScope, frozenset[str] | None], bytes] = {}

    def body(self, report: AttentionReport, by: Caller) -> bytes:
        if report is not self._report:
            self._report, self._bodies = report, {}
        seen = by.scope, by.flows
        body = self._bodies.get(seen)
        if body is None:
            items = [_item_view(item) for item in report.items if _visible(item, by)]
            body = self._bodies[seen] = encode(AttentionView(items, rfc3339(report.checked_at)))
        return body


def add_attention(api: Blueprint, engine: Engine) -> None:
    bodies = _Bodies()

    @api.get("/attention")
    @operation(AttentionView)
    async def get_attention() -> Response:
        """Get everything that needs somebody's attention, as far as the token sees it."""
        report = await engine.attention.report()
        return Response(bodies.body(report, caller()), content_type="application/json")
