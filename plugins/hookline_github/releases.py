"""The actions for commits: statuses, releases and GitHub Actions."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context, JsonValue
from hookline_github.client import GitHub, as_object, segment
from hookline_github.connector import GitHubApi, github
from hookline_github.settings import Repository, given, repository_path


@github.action(idempotent=True)
async def create_commit_status(
    ctx: Context[GitHubApi],
    repository: Repository,
    sha: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40,64}$", description="The commit's full hash.")],
    state: Annotated[Literal["error", "failure", "pending", "success"], Field(description="How it stands.")],
    context: Annotated[str, Field(description="Whose status it is: a later one of the same name replaces it.")],
    description: Annotated[str | None, Field(max_length=140, description="A short text beside it.")] = None,
    target_url: Annotated[str | None, Field(description="Where more is said.")] = None,
) -> dict[str, Any]:
    """Say how a commit stands, as its checks show it."""
    status = given(state=state, context=context, description=description, target_url=target_url)
    return await GitHub(ctx).json("POST", f"{repository_path(repository)}/statuses/{sha}", json=status)


@github.action(idempotent=False)
async def create_release(
    ctx: Context[GitHubApi],
    repository: Repository,
    tag: Annotated[str, Field(min_length=1, description="The tag; it is made where it isn't there.")],
    target: Annotated[str | None, Field(description="The branch or commit that a new tag is for.")] = None,
    name: Annotated[str | None, Field(description="The release's name.")] = None,
    body: Annotated[str | None, Field(description="What it says, in Markdown.")] = None,
    draft: Annotated[bool, Field(description="Nobody else sees it yet.")] = False,
    prerelease: Annotated[bool, Field(description="It isn't ready for all.")] = False,
    generate_notes: Annotated[bool, Field(description="GitHub writes what has changed.")] = False,
    latest: Annotated[
        Literal["true", "false", "legacy"] | None, Field(description="Whether it counts as the latest one.")
    ] = None,
) -> dict[str, Any]:
    """Make a release; gives it, with `id`, `html_url` and `upload_url`."""
    release = given(
        tag_name=tag,
        target_commitish=target,
        name=name,
        body=body,
        draft=draft,
        prerelease=prerelease,
        generate_release_notes=generate_notes,
        make_latest=latest,
    )
    return await GitHub(ctx).json("POST", f"{repository_path(repository)}/releases", json=release)


@github.action(idempotent=False)
async def dispatch_workflow(
    ctx: Context[GitHubApi],
    repository: Repository,
    workflow: Annotated[str, Field(min_length=1, description="Its file's name, such as `deploy.yml`, or its id.")],
    ref: Annotated[str, Field(min_length=1, description="The branch or tag that it runs on.")],
    inputs: Annotated[
        dict[str, JsonValue] | None, Field(description="What it takes; values become text, as GitHub wants them.")
    ] = None,
) -> dict[str, Any]:
    """Start a workflow that has `workflow_dispatch`; gives what GitHub says of the run, which may be nothing."""
    path = f"{repository_path(repository)}/actions/workflows/{segment(workflow)}/dispatches"
    texts = {name: _text(value) for name, value in (inputs or {}).items() if value is not None}
    response = await GitHub(ctx).send("POST", path, json=given(ref=ref, inputs=texts or None))
    return as_object(response) if response.content else {}


def _text(value: JsonValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
