"""The action for the status of a commit."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context, Reach
from hookline_github.client import GitHub
from hookline_github.connector import GitHubApi, github
from hookline_github.shared_settings import Repository, given, repository_path


@github.action(idempotent=True)
async def create_commit_status(
    ctx: Context[GitHubApi],
    repository: Repository,
    sha: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40,64}$", description="The commit's full hash.")],
    state: Annotated[Literal["error", "failure", "pending", "success"], Field(description="The state of the commit.")],
    context: Annotated[
        str, Field(description="The name of the status; a later status with the same name replaces it.")
    ],
    description: Annotated[
        str | None, Field(max_length=140, description="A short text that is shown with the status.")
    ] = None,
    target_url: Annotated[str | None, Reach("passed_url"), Field(description="The URL of a page with details.")] = None,
) -> dict[str, Any]:
    """Create a status of a commit, which GitHub shows among the commit's checks."""
    status = given(state=state, context=context, description=description, target_url=target_url)
    return await GitHub(ctx).json("POST", f"{repository_path(repository)}/statuses/{sha}", json=status)
