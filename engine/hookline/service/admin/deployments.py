"""The admin API's routes about the states and versions of flows, and about moving executions between these."""

from collections.abc import Sequence
from typing import Final

import msgspec
from quart import Blueprint, Response, request

from hookline.deployments.migration import PlannedMigration
from hookline.deployments.version_history import CURRENT, VersionInfo
from hookline.engine import Engine
from hookline.flows.compiler.compile import compile_flow
from hookline.kernel.errors import FlowInvalid, Problem, StoreError
from hookline.kernel.time import rfc3339
from hookline.model.flow import FlowState
from hookline.service.admin.flows import FlowView, flow_view
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, decode_body, json_response, page_limit, page_or_malformed, query
from hookline.service.views.executions import ExecutionView, execution_view
from hookline.service.views.pages import PageView, Time


class VersionView(msgspec.Struct, frozen=True):
    """A version of a flow."""

    version: str
    created_at: Time
    """When it was first published."""
    served_at: Time
    """When it last began to serve."""
    serves: bool
    """New executions get it."""
    executions: dict[str, int]
    """How many that have not ended are bound to it, by state."""


class DocumentView(msgspec.Struct, frozen=True):
    """What a version of a flow says."""

    flow_id: str
    version: str
    document: msgspec.Raw


class LandingView(msgspec.Struct, frozen=True):
    """Where a waiting execution would go on in another version."""

    execution_id: str
    flow_version: str
    """The version that it is bound to."""
    reason: str | None
    """Why it waits."""
    fits: bool
    step: str | None
    """The path of the first step that doesn't compatibility."""
    problem: str | None
    """What is said against it."""
    lands: list[str]
    """The paths of the steps at which it would go on, or go on waiting; none where it would come to its end."""


class PlanView(msgspec.Struct, frozen=True):
    """Where the waiting executions of a flow would go on."""

    version: str
    """The version that they would be moved to."""
    items: list[LandingView]
    next: str | None


class RolledBack(msgspec.Struct, frozen=True):
    """A flow's file says an earlier version again."""

    flow_id: str
    version: str
    file: str


def versions_view(kept: Sequence[VersionInfo]) -> PageView[VersionView]:
    """The versions of a flow."""
    shown = [
        VersionView(
            one.version,
            rfc3339(one.created_at),
            rfc3339(one.served_at),
            one.serves,
            {state.value: count for state, count in one.executions.items()},
        )
        for one in kept
    ]
    return PageView(shown, None)


def plan_view(version: str, landings: Sequence[PlannedMigration], following: str | None) -> PlanView:
    """One page of a plan; `following` is the cursor of the next."""
    return PlanView(version, [_landing(one) for one in landings], following)


def _landing(landing: PlannedMigration) -> LandingView:
    execution, compatibility = landing.execution, landing.compatibility
    return LandingView(
        execution_id=execution.id,
        flow_version=execution.flow_version or "",
        reason=execution.reason,
        fits=compatibility.ok,
        step=compatibility.step,
        problem=compatibility.reason,
        lands=list(compatibility.stops),
    )


DECISIONS: Final[dict[str, FlowState | None]] = {
    "pause": "paused",
    "resume": "active",
    "stop": "stopped",
    "reset": None,
}
"""What an operator may decide about a flow, and the state that it is in then: None is the one that its file says."""


class RollBackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which version is to serve again."""

    version: str | None = None
    """Its first digits; by default the version that served before."""
    force: bool = False
    """Give up what the file says and never served."""


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What executions would be moved to."""

    document: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    """The document of a flow; null is that of the version that serves."""


class MoveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an execution is moved to."""

    to: str = CURRENT
    """The first digits of a version, or `current`."""


def add_deployments(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""
    _states(api, engine)
    _versions(api, engine)

    @api.post("/executions/<execution_id>/move")
    @operation(ExecutionView, request=MoveRequest)
    async def move_execution(execution_id: str) -> Response:
        """Bind a waiting execution to another version of its flow, where its journal fits that."""
        given = decode_body(await request.get_data(as_text=False), MoveRequest)
        await engine.migration.migrate(execution_id, given.to)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url))


def _states(api: Blueprint, engine: Engine) -> None:
    def found(flow_id: str) -> FlowView:
        entry = engine.catalog.entries.get(flow_id)
        if entry is None:
            raise engine.catalog.missing(flow_id)
        return flow_view(entry, engine.options.public_url, engine.sources.status(flow_id), engine.states)

    @api.get("/flows/<flow_id>")
    @operation(FlowView)
    async def get_flow(flow_id: str) -> Response:
        """A flow."""
        return json_response(found(flow_id))

    async def decide(flow_id: str, decision: str) -> Response:
        await engine.serving.set_state(flow_id, DECISIONS[decision])
        return json_response(found(flow_id))

    @api.post("/flows/<flow_id>/pause")
    @operation(FlowView)
    async def pause_flow(flow_id: str) -> Response:
        """Let a flow keep the messages that it takes, and begin none of them; what has begun goes on."""
        return await decide(flow_id, "pause")

    @api.post("/flows/<flow_id>/stop")
    @operation(FlowView)
    async def stop_flow(flow_id: str) -> Response:
        """Let a flow take no messages; what has begun goes on."""
        return await decide(flow_id, "stop")

    @api.post("/flows/<flow_id>/resume")
    @operation(FlowView)
    async def resume_flow(flow_id: str) -> Response:
        """Let a flow take messages and run them, whatever its file says."""
        return await decide(flow_id, "resume")

    @api.post("/flows/<flow_id>/reset")
    @operation(FlowView)
    async def reset_flow(flow_id: str) -> Response:
        """Let what its file says of a flow's state hold."""
        return await decide(flow_id, "reset")


def _versions(api: Blueprint, engine: Engine) -> None:
    @api.get("/flows/<flow_id>/versions")
    @operation(PageView[VersionView])
    async def list_versions(flow_id: str) -> Response:
        """The versions of a flow that are kept; that which began to serve last comes first."""
        return json_response(versions_view(await engine.version_history.list(flow_id)))

    @api.get("/flows/<flow_id>/versions/<version>")
    @operation(DocumentView)
    async def get_version(flow_id: str, version: str) -> Response:
        """What a version says, by its first digits, or `current`."""
        named = await engine.version_history.resolve(flow_id, version)
        document = await engine.version_history.document(flow_id, named)
        return json_response(DocumentView(flow_id, named, msgspec.Raw(document)))

    @api.post("/flows/<flow_id>/rollback")
    @operation(RolledBack, request=RollBackRequest)
    async def roll_back_flow(flow_id: str) -> Response:
        """Write an earlier version of a flow to its file, and let it serve."""
        given = decode_body(await request.get_data(as_text=False), RollBackRequest)
        try:
            version, file = await engine.operations.roll_back(flow_id, given.version, force=given.force)
        except OSError as error:
            raise StoreError(f"the flow's file can't be written: {error}") from error
        return json_response(RolledBack(flow_id, version, str(file)))

    @api.post("/flows/<flow_id>/plan")
    @operation(PlanView, request=PlanRequest, query=PAGE)
    async def plan_deploy(flow_id: str) -> Response:
        """Where the waiting executions of a flow would go on in another version of it; nothing is done."""
        given, page = decode_body(await request.get_data(as_text=False), PlanRequest), query("cursor", "limit")
        if bytes(given.document) == b"null":
            flow = engine.version_resolver.current(flow_id)
        else:
            flow = compile_flow(bytes(given.document), engine.registry, environment=engine.options.environment)
            if flow.id != flow_id:
                problem = Problem(f"this is flow {flow.id!r}, and not {flow_id!r}", "/id", "other_flow", "name its id")
                raise FlowInvalid([problem])
        landings, following = await page_or_malformed(
            engine.migration.plan(flow, page.get("cursor"), page_limit(page.get("limit")))
        )
        return json_response(plan_view(flow.version, landings, following))
