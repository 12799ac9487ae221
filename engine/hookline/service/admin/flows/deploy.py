"""The admin API's routes that deploy flows and their cases, one or several at once, and list deployments."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import msgspec
from quart import Blueprint, Response

from hookline.deployments.deployment_request import (
    CheckedDeployment,
    Deployed,
    DeploymentRequest,
    Expected,
    tag_of,
    version_of_cases,
)
from hookline.engine import Engine
from hookline.flows.authoring.formatter import format_value
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.clocks import rfc3339
from hookline.kernel.errors import (
    DeploymentConflict,
    DeploymentNotFound,
    FlowInvalid,
    FlowNotFound,
    FolderBusy,
    FolderReadOnly,
    Malformed,
    NotForLimitedTokens,
    Problem,
    UnpublishedChanges,
    WorkLimit,
)
from hookline.kernel.json import decode
from hookline.kernel.pointers_and_patches import escape
from hookline.model.access import TokenScope
from hookline.model.deployments_and_drafts import Deployment
from hookline.service.admin.flows.authoring import check_work
from hookline.service.admin.flows.versions import PlanView, plan_view
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import (
    PAGE,
    FlowId,
    Parameter,
    bounded_document,
    decode_body,
    flag,
    page_or_malformed,
    read_body,
    read_conditions,
    read_query,
)
from hookline.service.admin.responses import json_response
from hookline.service.views.json_field_types import Pending, Time
from hookline.service.views.list_page import PageView
from hookline.simulation.cases import check_names, parse_cases

MAX_FLOWS: Final = 1000
"""The flows of one deployment."""
_PLANNED: Final = 20
"""The waiting executions of each flow that the response to a deployment lists."""

_Message = Annotated[str, msgspec.Meta(max_length=1000)]
_Document = Annotated[dict[str, Any], msgspec.Meta(extra_json_schema={"description": "The document of a flow."})]

_DRY_RUN: Final = flag("dry_run", "Only check it; nothing is changed.")
_FORCE: Final = flag("force", "Overwrite changes in the flow's file that were never published.")
_MESSAGE: Final = Parameter("message", "The reason for the change.", {"type": "string", "maxLength": 1000})
_CHANGES: Final = (FlowInvalid, WorkLimit, DeploymentConflict, UnpublishedChanges, FolderReadOnly, FolderBusy)
"""The errors of a change of flows."""


class ProblemView(msgspec.Struct, frozen=True):
    """A problem in a document."""

    detail: str
    pointer: str
    code: str
    remedy: str
    line: int | None


class DeployedFlowView(msgspec.Struct, frozen=True):
    """A flow's part of a deployment."""

    flow_id: str
    version: str | None
    """The version that serves from then on; null if the flow was deleted."""
    before: str | None
    """The version that served before; null if there was none."""


class DeploymentView(msgspec.Struct, frozen=True):
    """A change of the set of flows."""

    id: str
    at: Time
    author: str
    """`token:<name>`, `person:<name>`, `local:<user>` or `folder`."""
    address: str | None
    message: str | None
    rollback_of: str | None
    """The deployment whose set of flows is served again."""
    flows: list[DeployedFlowView]


class FlowDeployedView(msgspec.Struct, frozen=True):
    """A flow after its document was deployed, or checked."""

    id: str
    version: str | None
    """The version of the document; null if the flow is deleted."""
    deployment_id: str | None
    """null if nothing was changed: for a dry run, and if the flow was like this before."""
    problems: list[ProblemView]
    """Warnings."""
    pending: Pending


class FlowPlanView(PlanView, frozen=True):
    """The places at which the waiting executions of a flow would continue, if they were moved to its new version."""

    flow_id: str


class DeploymentResultView(msgspec.Struct, frozen=True):
    """A deployment of several flows, and what it means for the executions that wait."""

    deployment: DeploymentView | None
    """null if nothing was changed: for a dry run, and if all flows were like this before."""
    problems: list[ProblemView]
    """Warnings. Their pointers begin with `/flows/<id>`."""
    plans: list[FlowPlanView]
    """One for each flow with waiting executions, or with a poll that starts anew. The executions stay on their versions
    until they are moved."""
    pending: Pending


class DeployRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the set of flows, which is applied as a whole or not at all."""

    flows: dict[FlowId, msgspec.Raw]
    """Documents by flow id; null deletes a flow. Flows that aren't named stay as they are."""
    cases: dict[FlowId, msgspec.Raw] = {}
    """Test cases by flow id, as in `<id>.test.json`; null removes them."""
    message: _Message | None = None
    """The reason for the change."""
    expected: dict[FlowId, str | None] = {}
    """By flow id, the version that serves now or the flow's ETag; null for a flow that doesn't exist. The status is 412
    if another version serves."""
    expected_cases: dict[FlowId, str | None] = {}
    """By flow id, the ETag of the test cases; null for a flow that has none. The status is 412 if they have changed."""
    dry_run: bool = False
    """Only check it."""
    force: bool = False
    """Overwrite changes in files that were never published."""


def add_deployments(api: Blueprint, engine: Engine) -> None:
    _flows(api, engine)
    _cases(api, engine)
    _deployments(api, engine)


def _flows(api: Blueprint, engine: Engine) -> None:
    @api.put("/flows/<flow_id>")
    @operation(
        FlowDeployedView,
        request=_Document,
        query=(_DRY_RUN, _MESSAGE, _FORCE),
        conditions=True,
        etag=True,
        also=(201,),
        scope=TokenScope.AUTHOR,
        errors=_CHANGES,
        connectors=True,
    )
    async def put_flow(flow_id: str) -> Response:
        """Create or replace a flow; its new version serves once the response comes.

        `If-Match` has the ETag of the flow that is replaced, and `If-None-Match: *` says that there is none; if that is
        no longer so, the status is 412. It is 201 if no version served before, and 422, with every problem, if the
        document has errors.
        """
        given = read_query((_DRY_RUN, _MESSAGE, _FORCE))
        text = bounded_document(await read_body())
        await check_work(engine, [text])
        return await change_flow(flow_id, text, given)

    @api.delete("/flows/<flow_id>")
    @operation(
        FlowDeployedView, query=(_DRY_RUN, _MESSAGE, _FORCE), conditions=True, scope=TokenScope.AUTHOR, errors=_CHANGES
    )
    async def delete_flow(flow_id: str) -> Response:
        """Delete a flow and its cases. Its executions that have started continue.

        `If-Match` has the ETag of the flow that is deleted; if the flow has changed, the status is 412.
        """
        given = read_query((_DRY_RUN, _MESSAGE, _FORCE))
        if flow_id not in engine.catalog.entries:
            raise engine.catalog.missing(flow_id)
        return await change_flow(flow_id, None, given)

    async def change_flow(flow_id: str, text: bytes | None, given: Mapping[str, Any]) -> Response:
        wanted = DeploymentRequest(
            caller().actor,
            {flow_id: text},
            message=given["message"],
            expected=_expected(flow_id),
            force=given["force"],
            visible=caller().flows,
        )
        checked = await engine.version_switch.check(wanted)
        done = Deployed(None) if given["dry_run"] else await engine.version_switch.deploy(checked)
        flow = checked.flows[flow_id]
        shown = FlowDeployedView(
            flow_id,
            None if flow is None else flow.version,
            None if done.deployment is None else done.deployment.id,
            _problem_views(checked),
            list(done.pending),
        )
        response = json_response(shown, 201 if flow_id in done.created else 200)
        if flow is not None:
            response.set_etag(tag_of(flow))
        return response


def _cases(api: Blueprint, engine: Engine) -> None:
    @api.get("/flows/<flow_id>/cases")
    @operation(dict[str, Any], etag=True)
    async def get_cases(flow_id: str) -> Response:
        """Get the test cases of a flow, as in its file `<id>.test.json`. Their ETag changes with their text."""
        if flow_id not in engine.catalog.entries:
            raise engine.catalog.missing(flow_id)
        text = await engine.flow_storage.cases(flow_id)
        response = Response(b'{"cases": []}' if text is None else text, content_type="application/json")
        if text is not None:
            response.set_etag(version_of_cases(text))
        return response

    @api.put("/flows/<flow_id>/cases")
    @operation(status=204, request=dict[str, Any], conditions=True, etag=True, scope=TokenScope.AUTHOR, errors=_CHANGES)
    async def put_cases(flow_id: str) -> Response:
        """Create or replace the test cases of a flow. An empty list (`{"cases": []}`) removes them.

        `If-Match` and `If-None-Match: *` work as for flows, with the ETag of the cases.
        """
        data = bounded_document(await read_body())
        text = await asyncio.to_thread(checked_cases, _flow_of(engine, flow_id), data)
        wanted = DeploymentRequest(caller().actor, {}, {flow_id: text}, expected_cases=_expected(flow_id))
        await engine.version_switch.deploy(CheckedDeployment(wanted, {}, {}))
        response = Response(status=204)
        if text is not None:
            response.set_etag(version_of_cases(text))
        return response


def checked_cases(flow: CompiledFlow, data: bytes) -> bytes | None:
    """The text of the cases of a flow in canonical form; None if there are none. Raises FlowInvalid."""
    document = read(data)
    if document.value == {"cases": []}:
        return None
    cases = parse_cases(data, exact=flow.exact)
    if wrong := check_names(cases, flow, document):
        raise FlowInvalid(wrong)
    return f"{format_value(decode(data, exact=True), 0)}\n".encode()


def _expected_versions(given: Mapping[str, str | None]) -> Mapping[str, Expected]:
    return {
        flow_id: Expected(absent=True) if version is None else Expected(frozenset({version}))
        for flow_id, version in given.items()
    }


def _flow_of(engine: Engine, flow_id: str, checked: CheckedDeployment | None = None) -> CompiledFlow:
    """The version that serves, or that a deployment has. Raises FlowNotFound, and FlowInvalid if none can serve."""
    if checked is None or flow_id not in checked.flows:
        return engine.version_resolver.current(flow_id)
    flow = checked.flows[flow_id]
    if flow is None:
        raise FlowInvalid([Problem("the flow of these cases is deleted", "", "unknown_flow", "leave the cases out")])
    return flow


def _deployments(api: Blueprint, engine: Engine) -> None:
    @api.post("/deployments")
    @operation(
        DeploymentResultView,
        request=DeployRequest,
        scope=TokenScope.AUTHOR,
        errors=(FlowNotFound, *_CHANGES),
        connectors=True,
    )
    async def deploy_flows() -> Response:
        """Deploy a set of flows: all of them, or none. Their versions serve once the response comes.

        The status is 422, with every problem, if a document has errors, and 412 if a flow is served by another version
        than expected, or has other test cases; then nothing has changed.
        """
        given, by = decode_body(await read_body(), DeployRequest), caller()
        named = {*given.flows, *given.cases, *given.expected, *given.expected_cases}
        if len(named) > MAX_FLOWS:
            raise Malformed(f"A deployment names at most {MAX_FLOWS} flows.")
        for flow_id in named:
            by.require_flow(flow_id)
        documents = {flow_id: _given(raw) for flow_id, raw in given.flows.items()}
        await check_work(engine, (text for text in documents.values() if text is not None))
        wanted = DeploymentRequest(
            by.actor,
            documents,
            message=given.message,
            expected=_expected_versions(given.expected),
            expected_cases=_expected_versions(given.expected_cases),
            force=given.force,
            visible=by.flows,
        )
        checked = await engine.version_switch.check(wanted, prefixed=True)
        if given.cases:
            cases = await asyncio.to_thread(_cases_of, engine, given, checked)
            checked = replace(checked, request=replace(wanted, cases=cases))
        return await deploy(checked, dry_run=given.dry_run)

    async def deploy(checked: CheckedDeployment, *, dry_run: bool) -> Response:
        plans = await _plans(engine, checked)
        done = Deployed(None) if dry_run else await engine.version_switch.deploy(checked)
        shown = None if done.deployment is None else deployment_view(done.deployment)
        return json_response(DeploymentResultView(shown, _problem_views(checked), plans, list(done.pending)))

    @api.get("/deployments")
    @operation(PageView[DeploymentView], query=PAGE)
    async def list_deployments() -> Response:
        """List the deployments, the newest first. A limited token sees those of its flows."""
        given, by = read_query(PAGE), caller()
        found = engine.store.deployments(flows=by.flows, cursor=given["cursor"], limit=given["limit"])
        page = await page_or_malformed(found)
        return json_response(PageView([deployment_view(one) for one in page.items], page.next))

    @api.get("/deployments/<deployment_id>")
    @operation(DeploymentView, errors=(DeploymentNotFound,))
    async def get_deployment(deployment_id: str) -> Response:
        """Get a deployment."""
        return json_response(await visible(deployment_id))

    @api.post("/deployments/<deployment_id>/rollback")
    @operation(
        DeploymentResultView,
        scope=TokenScope.AUTHOR,
        errors=(FlowNotFound, *_CHANGES, DeploymentNotFound, NotForLimitedTokens),
        connectors=True,
    )
    async def roll_back_deployment(deployment_id: str) -> Response:
        """Serve all flows as they were after a deployment; flows that came later are deleted.

        This is a new deployment. A token that is limited to some flows can roll back only if no other flow changes. If
        versions are no longer stored, the status is 422, with all of them as problems, and nothing has changed.
        """
        await visible(deployment_id)
        by = caller()
        checked = await engine.operations.check_rollback(deployment_id, by=by.actor, visible=by.flows)
        return await deploy(checked, dry_run=False)

    async def visible(deployment_id: str) -> DeploymentView:
        found, by = await engine.store.deployment(deployment_id), caller()
        flows = () if found is None else tuple(flow for flow in found.flows if by.sees(flow.flow_id))
        if found is None or (not flows and by.flows is not None):
            raise DeploymentNotFound(f"there is no deployment {deployment_id!r}")
        return deployment_view(msgspec.structs.replace(found, flows=flows))


def deployment_view(it: Deployment) -> DeploymentView:
    flows = [DeployedFlowView(flow.flow_id, flow.version, flow.before) for flow in it.flows]
    return DeploymentView(it.id, rfc3339(it.at), str(it.author), it.author.address, it.message, it.rollback_of, flows)


async def _plans(engine: Engine, checked: CheckedDeployment) -> list[FlowPlanView]:
    """The first page of the plan of each flow that has one."""
    plans: list[FlowPlanView] = []
    for flow_id, flow in checked.flows.items():
        if flow is None:
            continue
        landings, following = await engine.migration.plan(flow, None, _PLANNED)
        restart = await engine.operations.restart_poll(flow, by=caller().actor)
        if landings or restart is not None:
            plan = msgspec.structs.asdict(plan_view(flow.version, restart, landings, following))
            plans.append(FlowPlanView(**plan, flow_id=flow_id))
    return plans


def _cases_of(engine: Engine, given: DeployRequest, checked: CheckedDeployment) -> Mapping[str, bytes | None]:
    """The texts of the cases of a deployment. Raises FlowInvalid with the problems of all."""
    problems: list[Problem] = []
    cases: dict[str, bytes | None] = {}
    for flow_id, raw in given.cases.items():
        text = _given(raw)
        try:
            cases[flow_id] = None if text is None else checked_cases(_flow_of(engine, flow_id, checked), text)
        except FlowInvalid as error:
            start = f"/cases/{escape(flow_id)}"
            problems += [replace(one, pointer=start + one.pointer) for one in error.problems]
    if problems:
        raise FlowInvalid(problems)
    return cases


def _problem_views(checked: CheckedDeployment) -> list[ProblemView]:
    found: list[Problem] = [problem for warnings in checked.warnings.values() for problem in warnings]
    return [ProblemView(one.message, one.pointer, one.code, one.remedy, one.line) for one in found]


def _expected(flow_id: str) -> Mapping[str, Expected]:
    """The expected version of a flow, or of its cases, from the request's headers. Raises Malformed."""
    expected = read_conditions()
    return {} if expected is None else {flow_id: expected}


def _given(raw: msgspec.Raw) -> bytes | None:
    text = bytes(raw)
    return None if text == b"null" else bounded_document(text)
