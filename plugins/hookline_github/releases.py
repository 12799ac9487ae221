"""The action for releases."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context
from hookline_github.client import GitHub
from hookline_github.connector import GitHubApi, github
from hookline_github.shared_settings import Repository, given, repository_path


@github.action(idempotent=False)
async def create_release(
    ctx: Context[GitHubApi],
    repository: Repository,
    tag: Annotated[str, Field(min_length=1, description="The tag; it is created if it doesn't exist.")],
    target: Annotated[str | None, Field(description="The branch or commit for a new tag.")] = None,
    name: Annotated[str | None, Field(description="The release's name.")] = None,
    body: Annotated[str | None, Field(description="The text of the release, in Markdown.")] = None,
    draft: Annotated[bool, Field(description="Create a draft, which is not yet published.")] = False,
    prerelease: Annotated[bool, Field(description="Mark the release as not ready for production.")] = False,
    generate_notes: Annotated[bool, Field(description="Let GitHub write the list of changes.")] = False,
    latest: Annotated[
        Literal["true", "false", "legacy"] | None,
        Field(description="Make it the latest release; `legacy`: GitHub decides by date and version."),
    ] = None,
) -> dict[str, Any]:
    """Create a release; the result is GitHub's release, with `id`, `html_url` and `upload_url`."""
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
