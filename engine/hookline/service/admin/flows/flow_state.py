"""The admin API's routes about the values that flows keep from one execution to the next."""

from datetime import datetime
from typing import Final

import msgspec
from quart import Blueprint, Response

from hookline.access.audit import AuditedOperation, audited
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import Malformed, StateKeyNotFound, StepError
from hookline.kernel.json import decode
from hookline.model.access import TokenScope
from hookline.sdk.context_parts import MAX_KEY, check_key, packed
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    Parameter,
    page_or_malformed,
    read_body,
    read_query,
    require_flow,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Time
from hookline.service.views.list_page import PageView
from hookline.storage.change_declarations import SetState
from hookline.storage.store import Store

#: Not in the path: a key may contain slashes, several in a row and at its ends.
_KEY: Final = (Parameter("key", "The key.", {"type": "string", "minLength": 1, "maxLength": MAX_KEY}, required=True),)


class KeptView(msgspec.Struct, frozen=True):
    """A value that a flow keeps under a key."""

    key: str
    value: msgspec.Raw
    """Any JSON value except null."""
    updated_at: Time | None
    """The time at which it was set; null if one key was requested."""


async def kept_view(store: Store, flow_id: str, cursor: str | None, limit: int) -> PageView[KeptView]:
    """A page of a flow's values. Raises ValueError for a cursor that isn't one."""
    page = await store.state_entries(flow_id, cursor=cursor, limit=limit)
    shown = [KeptView(one.key, msgspec.Raw(one.value), rfc3339(one.updated_at)) for one in page.items]
    return PageView(shown, page.next)


async def kept_value(store: Store, flow_id: str, key: str) -> KeptView:
    """The value of a key. Raises StateKeyNotFound."""
    value = await store.state(flow_id, key) if key.isprintable() else None
    if value is None:
        raise StateKeyNotFound(f"flow {flow_id!r} keeps nothing under {key!r}")
    return KeptView(key, msgspec.Raw(value), None)


def state_change(flow_id: str, key: str, value: bytes, at: datetime) -> SetState:
    """The change that sets a value, which is JSON. Raises Malformed if it can't be kept."""
    try:
        made = packed(check_key(key), decode(value, exact=True))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The value is not JSON: {error}.") from None
    except StepError as error:
        raise Malformed(f"{error.message[:1].upper()}{error.message[1:]}.") from None
    return SetState(flow_id, key, made, at)


def add_flow_values(api: Blueprint, engine: Engine) -> None:

    async def commit(change: SetState) -> None:
        operation: AuditedOperation = "state.delete" if change.value is None else "state.set"
        entry = engine.catalog.entries.get(change.flow_id)
        version = None if entry is None or entry.flow is None else entry.flow.version
        about = {"flow_id": change.flow_id, "flow_version": version, "subject": change.key}
        await engine.store.commit([change, audited(engine.ids.new(), change.at, caller().actor, operation, **about)])

    @api.get("/flows/<flow_id>/state")
    @operation(PageView[KeptView], query=PAGE)
    async def list_kept(flow_id: str) -> Response:
        """List the values that a flow keeps, in the order of their keys."""
        given = read_query(PAGE)
        await require_flow(engine, flow_id)
        shown = kept_view(engine.store, flow_id, given["cursor"], given["limit"])
        return json_response(await page_or_malformed(shown))

    @api.get("/flows/<flow_id>/state/value")
    @operation(KeptView, query=_KEY, errors=(StateKeyNotFound,))
    async def get_kept(flow_id: str) -> Response:
        """Get the value of a key."""
        key = read_query(_KEY)["key"]
        await require_flow(engine, flow_id)
        return json_response(await kept_value(engine.store, flow_id, key))

    @api.put("/flows/<flow_id>/state/value")
    @operation(status=204, query=_KEY, request=msgspec.Raw, scope=TokenScope.OPERATE)
    async def set_kept(flow_id: str) -> Response:
        """Set the value of a key: the body, which is any JSON value; null deletes it."""
        if flow_id not in engine.catalog.entries:
            raise engine.catalog.missing(flow_id)
        key, given = read_query(_KEY)["key"], await read_body()
        await commit(state_change(flow_id, key, given, engine.clock.now()))
        return Response(status=204)

    @api.delete("/flows/<flow_id>/state/value")
    @operation(status=204, query=_KEY, scope=TokenScope.OPERATE, errors=(StateKeyNotFound,))
    async def delete_kept(flow_id: str) -> Response:
        """Delete the value of a key."""
        key = read_query(_KEY)["key"]
        await require_flow(engine, flow_id)
        await kept_value(engine.store, flow_id, key)
        await commit(SetState(flow_id, key, None, engine.clock.now()))
        return Response(status=204)
