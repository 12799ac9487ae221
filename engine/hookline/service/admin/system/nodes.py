"""The admin API's routes about the nodes that serve the database."""

from typing import Annotated

import msgspec
from quart import Blueprint, Response

from hookline.access.audit import audited
from hookline.engine import Engine
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import NodeNotFound
from hookline.model.access import TokenScope
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Time, one_of, time_view
from hookline.service.views.list_page import PageView
from hookline.storage.change_declarations import DrainNode
from hookline.storage.cluster import Node


class NodeView(msgspec.Struct, frozen=True):
    """A node: a process that serves the database."""

    id: str
    """Its lease. A node that has lost its lease, or that starts again, gets another one."""
    name: str
    state: Annotated[str, one_of("live", "draining", "silent", "gone")]
    """`silent` if its lease has run out, and no other node has taken over yet; `gone` after that, or once it has
    stopped."""
    role: str
    version: str
    started_at: Time
    until: Time
    """The time until which its lease holds, or held."""
    clock_ahead: float
    """Seconds by which the clock of its host is ahead of the database's."""
    gone_at: Time | None
    pending: bool
    """It may not have adopted the last deployment, or the last change of a flow's state or of a credential."""
    host: str
    """Identifies its host, as long as that runs; processes in separate containers count as separate hosts."""
    queue: str | None
    """The name of its intake queue: empty if it has none, and null if its release doesn't report it."""


def node_view(node: Node, now: str) -> NodeView:
    """A node, as the API shows it. `now`: the database's time."""
    until = rfc3339(node.until)
    if node.gone_at is not None:
        state = "gone"
    elif until < now:
        state = "silent"
    else:
        state = "live" if node.drain_asked_at is None else "draining"
    return NodeView(
        node.lease,
        node.name,
        state,
        node.role,
        node.version,
        rfc3339(node.started_at),
        until,
        round(node.clock_ahead, 3),
        time_view(node.gone_at),
        node.pending,
        node.host,
        node.queue,
    )


def add_nodes(api: Blueprint, engine: Engine) -> None:

    @api.get("/nodes")
    @operation(PageView[NodeView], all_flows=True)
    async def list_nodes() -> Response:
        """List the nodes that serve the database, and those that did in the last hour; the oldest first."""
        now = rfc3339(engine.clock.now())
        return json_response(PageView([node_view(node, now) for node in await engine.membership.nodes()], None))

    @api.post("/nodes/<node_id>/drain")
    @operation(status=202, scope=TokenScope.ADMIN, all_flows=True)
    async def drain_node(node_id: str) -> Response:
        """Ask a node to stop, as SIGTERM does: it accepts no new connections, and lets its executions end."""
        living = {node.lease for node in await engine.membership.nodes() if node.gone_at is None}
        if node_id not in living:
            raise NodeNotFound(f"there is no node {node_id!r}, or it is gone")
        now = engine.clock.now()
        entry = audited(engine.ids.new(), now, caller().actor, "node.drain", subject=node_id)
        await engine.store.commit([DrainNode(node_id, now), entry])
        engine.membership.drain(node_id)
        return Response(status=202)
