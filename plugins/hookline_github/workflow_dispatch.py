"""The action that starts a workflow of GitHub Actions."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue, Reach
from hookline_github.client import GitHub, as_object, segment
from hookline_github.connector import GitHubApi, github
from hookline_github.shared_settings import Repository, given, repository_path


@github.action(idempotent=False)
async def dispatch_workflow(
    ctx: Context[GitHubApi],
    repository: Repository,
    workflow: Annotated[
        str,
        Reach("service_path"),
        Field(min_length=1, description="The name of the workflow's file, such as `deploy.yml`, or its id."),
    ],
    ref: Annotated[str, Field(min_length=1, description="The branch or tag on which it runs.")],
    inputs: Annotated[
        dict[str, JsonValue] | None, Field(description="The workflow's inputs; values become text, as GitHub requires.")
    ] = None,
) -> dict[str, Any]:
    """Start a workflow that has `workflow_dispatch`; the result is GitHub's response, which may be empty."""
    path = f"{repository_path(repository)}/actions/workflows/{segment(workflow)}/dispatches"
    texts = {name: _text(value) for name, value in (inputs or {}).items() if value is not None}
    response = await GitHub(ctx).send("POST", path, json=given(ref=ref, inputs=texts or None))
    return as_object(response) if response.content else {}


def _text(value: JsonValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
