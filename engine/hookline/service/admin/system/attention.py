"""The admin API's route about what needs attention."""

from typing import Annotated

import msgspec
from quart import Blueprint, Response

from hookline.access.caller import Caller
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.operations.attention import AttentionItem
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.responses import json_response
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


def add_attention(api: Blueprint, engine: Engine) -> None:

    @api.get("/attention")
    @operation(AttentionView)
    async def get_attention() -> Response:
        """Get everything that needs somebody's attention, as far as the token sees it."""
        by, report = caller(), await engine.attention.report()
        items = [_item_view(item) for item in report.items if _visible(item, by)]
        return json_response(AttentionView(items, rfc3339(report.checked_at)))
