"""The admin API's route about the audit."""

from typing import Annotated, Final

import msgspec
from quart import Blueprint, Response

from hookline.access.audit import OPERATIONS
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.model.access import AuditFilter
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    FLOW_SCHEMA,
    PAGE,
    Parameter,
    page_or_malformed,
    read_query,
    require_flow,
    time,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Time, Uuid, one_of
from hookline.service.views.list_page import PageView
from hookline.storage.store import AuditPage


class AuditView(msgspec.Struct, frozen=True):
    """An operation, and who did it."""

    id: Uuid
    at: Time
    actor: str
    """`token:<name>`, `person:<name>`, `local:<user>`, `folder`, `resume-url` or `system`."""
    address: str | None
    operation: Annotated[str, one_of(*OPERATIONS)]
    flow_id: str | None
    flow_version: str | None
    subject: str | None
    """The id of the execution, token or deployment, or the name of the credential or key."""
    detail: str | None


_AUDIT: Final = (
    Parameter("flow_id", "Only entries about this flow.", FLOW_SCHEMA),
    Parameter("actor", "Only what this actor did, such as `token:ci`."),
    Parameter("operation", "Only this operation.", {"type": "string", "enum": list(OPERATIONS)}),
    Parameter("subject", "Only entries about this execution, token, deployment, credential or key."),
    time("since", "Only entries from this time or later."),
    time("until", "Only entries from before this time."),
    *PAGE,
)


def audit_view(page: AuditPage) -> PageView[AuditView]:
    shown = [
        AuditView(
            entry.id,
            rfc3339(entry.at),
            str(entry.actor),
            entry.actor.address,
            entry.operation,
            entry.flow_id,
            entry.flow_version,
            entry.subject,
            entry.detail,
        )
        for entry in page.items
    ]
    return PageView(shown, page.next)


def add_audit(api: Blueprint, engine: Engine) -> None:

    async def has_entries(flow_id: str) -> bool:
        """Return true if there are entries about a flow; they outlive it."""
        return bool((await engine.store.audit(AuditFilter((flow_id,)), limit=1)).items)

    @api.get("/audit")
    @operation(PageView[AuditView], query=_AUDIT)
    async def list_audit() -> Response:
        """List what was changed, and by whom, newest first."""
        given, by = read_query(_AUDIT), caller()
        flow_id = given["flow_id"]
        flows = (flow_id,) if flow_id is not None else None if by.flows is None else tuple(sorted(by.flows))
        chosen = AuditFilter(
            flows, given["actor"], given["operation"], given["subject"], given["since"], given["until"]
        )
        found = engine.store.audit(chosen, cursor=given["cursor"], limit=given["limit"])
        page = await page_or_malformed(found)
        if flow_id is not None and not page.items and not await has_entries(flow_id):
            await require_flow(engine, flow_id)
        return json_response(audit_view(page))
