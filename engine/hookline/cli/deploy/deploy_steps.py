"""The steps of a deployment: check here, compare, let the server check, and deploy all flows at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from hookline.cli.client import ApiError, Client
from hookline.cli.deploy.comparison import Comparison, compare
from hookline.cli.deploy.folder import FolderFlow, placed
from hookline.kernel.errors import DeploymentConflict, FlowInvalid, HooklineError, Problem
from hookline.kernel.suggestions_and_counts import counted
from hookline.server_settings import Settings

_SHOWN: Final = 10


class CasesFailed(HooklineError):
    """A case of the flows failed, so nothing was deployed."""

    code = "deploy.cases_failed"


class ChangedMeanwhile(HooklineError):
    """Somebody has deployed one of the flows since they were compared."""

    code = DeploymentConflict.code


class Prepared(msgspec.Struct, frozen=True):
    """A deployment that the server would accept."""

    server: str | None
    """Its URL; None for the database of this machine."""
    comparison: Comparison
    warnings: Sequence[Problem]
    plans: Sequence[Mapping[str, Any]]
    """For each flow with waiting executions: the steps at which they would continue."""
    cases: int
    """The number of cases that passed here."""
    request: Mapping[str, Any]


def check_here(settings: Settings, directory: Path, flows: Sequence[FolderFlow]) -> tuple[Sequence[Problem], int]:
    """Check the flows of a folder with the plugins of this machine, and run their cases.

    Return the warnings, and the number of cases that passed. Raises FlowInvalid with the errors of all flows, and
    CasesFailed.
    """
    from hookline.cli.author.check import check_files, files_of
    from hookline.cli.author.test import run_cases
    from hookline.discovery.plugin_loader import load_plugins

    problems = check_files(settings, list(files_of((directory,))), load_plugins(), None)
    if any(problem.severity == "error" for problem in problems):
        raise FlowInvalid([problem for problem in problems if problem.severity != "note"])
    results, _ = run_cases([flow.cases_file for flow in flows if flow.cases is not None], None)
    failed = [f"{one.flow_id}: {one.name}" for one in results if not one.passed]
    if failed:
        more = f" and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        raise CasesFailed(
            f"{len(failed)} of {counted(len(results), 'case')} failed, so nothing is deployed: "
            f"{', '.join(failed[:_SHOWN])}{more}; `hookline test {directory}` shows why"
        )
    return [problem for problem in problems if problem.severity == "warning"], len(results)


async def prepare(
    client: Client,
    flows: Sequence[FolderFlow],
    *,
    delete: bool,
    force: bool,
    message: str | None,
    checked: tuple[Sequence[Problem], int],
) -> Prepared:
    """Compare a folder with a server, and let the server check the changes; nothing is changed.

    `checked`: the result of `check_here`. Raises FlowInvalid with the problems that the server found.
    """
    comparison = await compare(client, flows, delete=delete)
    request = _request(comparison, flows, message, force=force)
    warnings, passed = checked
    if not comparison.changed:
        return Prepared(client.server, comparison, warnings, (), passed, request)
    found = await _post(client, request, flows, dry_run=True)
    theirs = [
        Problem(one["detail"], one["pointer"], one["code"], one["remedy"], "warning") for one in found["problems"]
    ]
    known = {(one.file, one.pointer, one.code) for one in warnings}
    new = [one for one in placed(theirs, flows) if (one.file, one.pointer, one.code) not in known]
    return Prepared(client.server, comparison, [*warnings, *new], found["plans"], passed, request)


def _request(
    comparison: Comparison, flows: Sequence[FolderFlow], message: str | None, *, force: bool
) -> Mapping[str, Any]:
    by_id = {flow.id: flow for flow in flows}
    documents: dict[str, Any] = {}
    cases: dict[str, Any] = {}
    for one in comparison.changed:
        flow = by_id.get(one.flow_id)
        # Exact numbers stay as they are written.
        documents[one.flow_id] = None if flow is None else msgspec.Raw(flow.text)
        if flow is not None and one.cases:
            cases[one.flow_id] = None if flow.cases_text is None else msgspec.Raw(flow.cases_text)
    expected = {one.flow_id: one.before for one in comparison.changed}
    return {"flows": documents, "cases": cases, "expected": expected, "message": message, "force": force}


async def deploy_changes(client: Client, prepared: Prepared, flows: Sequence[FolderFlow]) -> Mapping[str, Any]:
    """Deploy the changes, all or none. Raises ChangedMeanwhile, FlowInvalid, ApiError and StoreError."""
    done: Mapping[str, Any] = await _post(client, prepared.request, flows, dry_run=False)
    return done


async def _post(client: Client, request: Mapping[str, Any], flows: Sequence[FolderFlow], *, dry_run: bool) -> Any:
    try:
        return await client.post("deployments", body={**request, "dry_run": dry_run})
    except ApiError as error:
        if error.error_code == DeploymentConflict.code:
            raise ChangedMeanwhile(
                f"somebody has deployed meanwhile, so nothing was changed: {error.message}; `hookline deploy` again "
                "compares with the flows as they are now"
            ) from None
        if error.problems:
            raise FlowInvalid(placed(error.problems, flows)) from None
        raise
