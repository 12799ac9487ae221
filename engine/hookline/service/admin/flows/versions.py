"""The admin API's routes about the versions of flows: their documents, rollbacks, and moving executions to another."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from quart import Blueprint, Response

from hookline.deployments.migration import PlannedMigration
from hookline.deployments.version_history import CURRENT, VersionInfo
from hookline.engine import Engine
from hookline.flows.authoring.flow_difference import Difference, flow_differences
from hookline.flows.compiler.compile import compile_flow, variables_of
from hookline.flows.compiler.server_requirements import require_actions
from hookline.flows.compiler.step_ids import assign_step_ids
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import (
    FlowInvalid,
    FlowNotFound,
    IllegalStateChange,
    PollStartsAnew,
    Problem,
    UnpublishedChanges,
    WorkLimit,
)
from hookline.kernel.json import decode
from hookline.model.access import TokenScope
from hookline.service.admin.flows.authoring import check_work
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    Parameter,
    body_of,
    bounded_document,
    page_or_malformed,
    read_query,
    require_flow,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.executions import ExecutionView, execution_view
from hookline.service.views.json_field_types import Count, Pending, Time, Uuid
from hookline.service.views.list_page import PageView
from hookline.sources.poll_start import PollRestart

_TO: Final = (
    Parameter(
        "to",
        "The other version, by its first digits, or `current`.",
        {"type": "string", "minLength": 1, "default": CURRENT},
    ),
)


class VersionView(msgspec.Struct, frozen=True):
    """A version of a flow."""

    version: str
    created_at: Time
    """The time at which it was first published."""
    served_at: Time
    """The time at which it last began to serve."""
    serves: bool
    """True if new executions get it."""
    executions: dict[str, Count]
    """The number of executions that are bound to it and have not ended, by state."""


class DocumentView(msgspec.Struct, frozen=True):
    """The document of a version of a flow."""

    flow_id: str
    version: str
    document: msgspec.Raw
    steps: dict[str, str]
    """The id of each step, also of those that don't name one, by its JSON pointer in the document."""


class VersionDifferences(msgspec.Struct, frozen=True):
    """The differences in meaning between two versions of a flow."""

    flow_id: str
    old_version: str
    new_version: str
    differences: list[Difference]


class LandingView(msgspec.Struct, frozen=True):
    """The place at which a waiting execution would continue in another version."""

    execution_id: Uuid
    flow_version: str
    """The version to which it is bound."""
    reason: str | None
    """The reason why it waits."""
    fits: bool
    step: str | None
    """The path of the first step that doesn't fit."""
    problem: str | None
    """The reason why it doesn't fit."""
    lands: list[str]
    """The paths of the steps at which it would continue or go on waiting; none if it would end."""


class RestartView(msgspec.Struct, frozen=True):
    """A poll that starts anew once the version serves, because the flow polls something else."""

    trigger: str
    changed: tuple[str, ...]
    """The settings because of which it starts anew; none if the trigger is another one."""
    existing: bool
    """True if the items that exist then start executions; otherwise they count as seen."""
    answered: bool
    """True if an operator has said so; otherwise the trigger's settings do."""


class PlanView(msgspec.Struct, frozen=True):
    """The places at which the waiting executions of a flow would continue."""

    version: str
    """The version to which they would be moved."""
    poll: RestartView | None
    """The new start of the flow's poll; null if it wouldn't start anew, or if there is no poll."""
    items: list[LandingView]
    next: str | None


class RolledBack(msgspec.Struct, frozen=True):
    """A flow that an earlier version serves again."""

    flow_id: str
    version: str
    file: str | None
    """null if it is served from the database."""
    pending: Pending


def versions_view(kept: Sequence[VersionInfo]) -> PageView[VersionView]:
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


def plan_view(
    version: str, restart: PollRestart | None, landings: Sequence[PlannedMigration], following: str | None
) -> PlanView:
    """One page of a plan; `following` is the cursor of the next."""
    poll = None
    if restart is not None:
        poll = RestartView(restart.trigger, restart.changed, restart.existing, restart.answered)
    return PlanView(version, poll, [_landing(one) for one in landings], following)


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


class RollBackRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version that is to serve again."""

    version: str | None = None
    """Its first digits; by default the version that served before."""
    force: bool = False
    """Overwrite changes in the file that were never published."""
    existing: bool | None = None
    """If the flow's poll starts anew: true if the items that exist start executions, false if they count as seen."""


class PlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to which executions would be moved."""

    document: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))
    """The document of a flow; null for the version that serves."""
    existing: bool | None = None
    """If the flow's poll would start anew: true if the items that exist are then to start executions, false if they are
    to count as seen. The answer is kept until then; null leaves it to an earlier one, or to the trigger's settings."""


class MoveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to which an execution is moved."""

    to: str = CURRENT
    """The first digits of a version, or `current`."""


def add_versions(api: Blueprint, engine: Engine) -> None:
    _versions(api, engine)

    @api.post("/executions/<execution_id>/move")
    @operation(
        ExecutionView,
        request=MoveRequest,
        body_required=False,
        scope=TokenScope.OPERATE,
        errors=(IllegalStateChange, FlowNotFound, FlowInvalid),
        connectors=True,
    )
    async def move_execution(execution_id: str) -> Response:
        """Move a waiting execution to another version of its flow, if its journal fits that version."""
        given = await body_of(MoveRequest)
        await engine.migration.migrate(execution_id, given.to, by=caller().actor)
        return json_response(await execution_view(engine.store, execution_id, engine.resume_url))


def _versions(api: Blueprint, engine: Engine) -> None:
    @api.get("/flows/<flow_id>/versions")
    @operation(PageView[VersionView])
    async def list_versions(flow_id: str) -> Response:
        """List the stored versions of a flow; the one that began to serve last comes first."""
        await require_flow(engine, flow_id)
        return json_response(versions_view(await engine.version_history.list(flow_id)))

    @api.get("/flows/<flow_id>/versions/<version>")
    @operation(DocumentView)
    async def get_version(flow_id: str, version: str) -> Response:
        """Get the document of a version, by its first digits, or `current`."""
        await require_flow(engine, flow_id)
        named = await engine.version_history.resolve(flow_id, version)
        document = await engine.version_history.document(flow_id, named)
        steps = assign_step_ids(decode(document))[0].of
        return json_response(DocumentView(flow_id, named, msgspec.Raw(document), steps))

    @api.get("/flows/<flow_id>/versions/<version>/diff")
    @operation(VersionDifferences, query=_TO)
    async def compare_versions(flow_id: str, version: str) -> Response:
        """Compare a version with another one by meaning: steps, settings, mappings, the trigger and vars.

        Steps are identified by their ids, wherever they are. The title and the layout of the text are no differences.
        """
        to = read_query(_TO)["to"]
        await require_flow(engine, flow_id)
        history = engine.version_history
        old, new = await history.resolve(flow_id, version), await history.resolve(flow_id, to)
        documents = [decode(await history.document(flow_id, one), exact=True) for one in (old, new)]
        return json_response(VersionDifferences(flow_id, old, new, flow_differences(*documents)))

    @api.post("/flows/<flow_id>/rollback")
    @operation(
        RolledBack,
        request=RollBackRequest,
        body_required=False,
        scope=TokenScope.AUTHOR,
        errors=(UnpublishedChanges, PollStartsAnew, FlowInvalid, IllegalStateChange),
        connectors=True,
    )
    async def roll_back_flow(flow_id: str) -> Response:
        """Serve an earlier version of a flow again. If the flow has a file, the version is written to it."""
        given = await body_of(RollBackRequest)
        await require_flow(engine, flow_id)
        version, pending = await engine.operations.roll_back(
            flow_id, given.version, by=caller().actor, existing=given.existing, force=given.force
        )
        entry = engine.catalog.entries.get(flow_id)
        file = None if entry is None or entry.file is None else str(entry.file)
        return json_response(RolledBack(flow_id, version, file, list(pending)))

    @api.post("/flows/<flow_id>/plan")
    @operation(
        PlanView,
        request=PlanRequest,
        body_required=False,
        query=PAGE,
        scope=TokenScope.AUTHOR,
        errors=(FlowInvalid, WorkLimit, PollStartsAnew),
        connectors=True,
    )
    async def plan_deploy(flow_id: str) -> Response:
        """Show where the waiting executions of a flow would continue in another version, and if its poll starts anew.

        Nothing is changed; an answer about the existing items of the poll is kept.
        """
        given, page = await body_of(PlanRequest), read_query(PAGE)
        await require_flow(engine, flow_id)
        if bytes(given.document) == b"null":
            flow = require_actions(engine.version_resolver.current(flow_id))
        else:
            # Not the variables of the flow that the document names: the caller may not know of that one.
            variables = variables_of(flow_id, engine.options.environment)
            source = bounded_document(bytes(given.document))
            await check_work(engine, [source])
            flow = await asyncio.to_thread(compile_flow, source, engine.registry, environment=variables)
            if flow.id != flow_id:
                problem = Problem(f"this is flow {flow.id!r}, and not {flow_id!r}", "/id", "other_flow", "name its id")
                raise FlowInvalid([problem])
        landings, following = await page_or_malformed(engine.migration.plan(flow, page["cursor"], page["limit"]))
        restart = await engine.operations.restart_poll(flow, given.existing, by=caller().actor)
        return json_response(plan_view(flow.version, restart, landings, following))
