"""The admin API's routes for drafts of flows, which serve nobody."""

from typing import Annotated, Final

import msgspec
from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import DraftConflict, DraftNotFound, TooManyDrafts
from hookline.model.access import TokenScope
from hookline.model.deployments_and_drafts import Draft, DraftInfo
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    bounded_document,
    check_flow_id,
    decode_body,
    page_or_malformed,
    read_body,
    read_conditions,
    read_query,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Count, Time
from hookline.service.views.list_page import PageView

_VERSION: Final = msgspec.Meta(pattern="^[0-9a-f]{1,64}$")


class DraftRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The text of a draft."""

    text: str
    """Any text: it may be no JSON yet."""
    base: Annotated[str, _VERSION] | None = None
    """The version of the flow from which the draft was made; null if there was no flow."""


class DraftInfoView(msgspec.Struct, frozen=True):
    """The facts about a draft, besides its text."""

    flow_id: str
    version: str
    """Its ETag: a hash of its text and its base."""
    base: str | None
    """The version of the flow from which it was made; null if there was no flow."""
    size: Count
    """The bytes of its text."""
    updated_at: Time
    updated_by: str
    """The one who saved it last: `token:<name>`, `person:<name>` or `local:<user>`."""


class DraftView(DraftInfoView, frozen=True):
    """A draft of a flow."""

    text: str


def add_drafts(api: Blueprint, engine: Engine) -> None:

    @api.get("/drafts")
    @operation(PageView[DraftInfoView], query=PAGE, scope=TokenScope.AUTHOR)
    async def list_drafts() -> Response:
        """List the drafts of flows, in the order of the flows. A limited token sees those of its flows."""
        given = read_query(PAGE)
        found = engine.store.drafts(flows=caller().flows, cursor=given["cursor"], limit=given["limit"])
        page = await page_or_malformed(found)
        return json_response(PageView([_info_view(one) for one in page.items], page.next))

    @api.get("/drafts/<flow_id>")
    @operation(DraftView, etag=True, scope=TokenScope.AUTHOR, errors=(DraftNotFound,))
    async def get_draft(flow_id: str) -> Response:
        """Get the draft of a flow, with its text."""
        draft = await engine.drafts.get(flow_id)
        return _tagged(json_response(_draft_view(draft)), draft.info)

    @api.put("/drafts/<flow_id>")
    @operation(
        DraftInfoView,
        request=DraftRequest,
        conditions=True,
        etag=True,
        also=(201,),
        scope=TokenScope.AUTHOR,
        errors=(DraftConflict, TooManyDrafts),
    )
    async def put_draft(flow_id: str) -> Response:
        """Save the draft of a flow, which need not exist. Nothing is served, and no source starts.

        `If-Match` has the ETag of the draft that is replaced. Without it, the draft must not exist yet. If that isn't
        so, somebody else has saved or removed the draft, and the status is 412. It is 201 if there was no draft.
        """
        given, by = decode_body(await read_body(), DraftRequest), caller()
        check_flow_id(flow_id)
        text = bounded_document(given.text.encode())
        info, begun = await engine.drafts.put(flow_id, text, given.base, by=by.actor, expected=read_conditions())
        return _tagged(json_response(_info_view(info), 201 if begun else 200), info)

    @api.delete("/drafts/<flow_id>")
    @operation(status=204, conditions=True, scope=TokenScope.AUTHOR, errors=(DraftNotFound, DraftConflict))
    async def delete_draft(flow_id: str) -> Response:
        """Delete the draft of a flow. With `If-Match`, the status is 412 if it is another one by now."""
        await engine.drafts.drop(flow_id, by=caller().actor, expected=read_conditions())
        return Response(status=204)


def _tagged(response: Response, info: DraftInfo) -> Response:
    response.set_etag(info.version)
    return response


def _info_view(info: DraftInfo) -> DraftInfoView:
    return DraftInfoView(info.flow_id, info.version, info.base, info.size, rfc3339(info.updated_at), str(info.author))


def _draft_view(draft: Draft) -> DraftView:
    return DraftView(**msgspec.structs.asdict(_info_view(draft.info)), text=draft.text.decode())
