"""The action for releases."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context
from hookline_github.client import GitHub
from hookline_github.connector import GitHubApi, github
from hookline_github.settings import Repository, given, repository_path


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
