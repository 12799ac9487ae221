"""The actions for issues: open, change, read, list, comment and label them. A pull request is an issue, too."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context
from hookline_github.client import GitHub, as_objects, segment
from hookline_github.connector import GitHubApi, github
from hookline_github.shared_settings import Labels, Number, Repository, given, repository_path

Title = Annotated[str, Field(min_length=1, description="The title.")]
Body = Annotated[str | None, Field(description="The text, in Markdown.")]
SomeLabels = Annotated[
    list[str] | None, Field(description="The names of the issue's labels; they replace those that it has.")
]
Assignees = Annotated[
    list[str] | None, Field(description="The logins of the issue's assignees; they replace those that it has.")
]
Milestone = Annotated[int | None, Field(ge=1, description="The number of the issue's milestone.")]


@github.action(idempotent=False)
async def create_issue(
    ctx: Context[GitHubApi],
    repository: Repository,
    title: Title,
    body: Body = None,
    labels: SomeLabels = None,
    assignees: Assignees = None,
    milestone: Milestone = None,
) -> dict[str, Any]:
    """Open an issue; the result is GitHub's issue, with `number` and `html_url`."""
    issue = given(title=title, body=body, labels=labels, assignees=assignees, milestone=milestone)
    return await GitHub(ctx).json("POST", f"{repository_path(repository)}/issues", json=issue)


@github.action(idempotent=True)
async def update_issue(
    ctx: Context[GitHubApi],
    repository: Repository,
    number: Number,
    title: Annotated[str | None, Field(min_length=1, description="A new title.")] = None,
    body: Body = None,
    state: Annotated[Literal["open", "closed"] | None, Field(description="The new state.")] = None,
    state_reason: Annotated[
        Literal["completed", "not_planned", "duplicate", "reopened"] | None,
        Field(description="The reason for closing or reopening it."),
    ] = None,
    labels: SomeLabels = None,
    assignees: Assignees = None,
    milestone: Milestone = None,
) -> dict[str, Any]:
    """Change an issue; settings that aren't given leave it as it is. The result is the issue."""
    changes = given(
        title=title,
        body=body,
        state=state,
        state_reason=state_reason,
        labels=labels,
        assignees=assignees,
        milestone=milestone,
    )
    return await GitHub(ctx).json("PATCH", f"{repository_path(repository)}/issues/{number}", json=changes)


@github.action(idempotent=True)
async def get_issue(ctx: Context[GitHubApi], repository: Repository, number: Number) -> dict[str, Any]:
    """Read an issue."""
    return await GitHub(ctx).json("GET", f"{repository_path(repository)}/issues/{number}")


@github.action(idempotent=True)
async def list_issues(
    ctx: Context[GitHubApi],
    repository: Repository,
    state: Annotated[Literal["open", "closed", "all"], Field(description="The state of the issues.")] = "open",
    labels: Annotated[list[str] | None, Field(description="Only issues that have all of these labels.")] = None,
    assignee: Annotated[
        str | None,
        Field(description="Only issues that are assigned to this login; `none`: to nobody, `*`: to anybody."),
    ] = None,
    creator: Annotated[str | None, Field(description="Only issues that this login has opened.")] = None,
    since: Annotated[datetime | None, Field(description="Only issues that were changed at this time or later.")] = None,
    sort: Annotated[
        Literal["created", "updated", "comments"], Field(description="The key by which issues are sorted.")
    ] = "created",
    direction: Annotated[Literal["asc", "desc"], Field(description="The order: ascending or descending.")] = "desc",
    pull_requests: Annotated[bool, Field(description="Also list pull requests.")] = False,
    limit: Annotated[int | None, Field(ge=1, description="The greatest number of issues; by default all.")] = None,
) -> AsyncIterator[dict[str, Any]]:
    """List a repository's issues, as a stream of any length."""
    asked = given(
        state=state,
        labels=",".join(labels) if labels else None,
        assignee=assignee,
        creator=creator,
        since=None if since is None else since.isoformat(),
        sort=sort,
        direction=direction,
    )
    # Among those that are read some are pull requests, so that the limit can't be the list's.
    left = limit
    async for issue in GitHub(ctx).items(f"{repository_path(repository)}/issues", asked):
        if not pull_requests and "pull_request" in issue:
            continue
        yield issue
        if left is not None:
            left -= 1
            if left == 0:
                return


@github.action(idempotent=False)
async def comment_issue(
    ctx: Context[GitHubApi],
    repository: Repository,
    number: Number,
    body: Annotated[str, Field(min_length=1, description="The comment, in Markdown.")],
) -> dict[str, Any]:
    """Comment on an issue or a pull request; the result is the comment."""
    path = f"{repository_path(repository)}/issues/{number}/comments"
    return await GitHub(ctx).json("POST", path, json={"body": body})


@github.action(idempotent=True)
async def add_labels(
    ctx: Context[GitHubApi], repository: Repository, number: Number, labels: Labels
) -> list[dict[str, Any]]:
    """Add labels to an issue; the result is all its labels. A label that doesn't exist yet is created."""
    path = f"{repository_path(repository)}/issues/{number}/labels"
    return as_objects(await GitHub(ctx).send("POST", path, json={"labels": list(labels)}))


@github.action(idempotent=True)
async def remove_labels(
    ctx: Context[GitHubApi], repository: Repository, number: Number, labels: Labels
) -> list[dict[str, Any]]:
    """Remove labels from an issue; the result is its other labels. A label that it doesn't have is no error."""
    api, path = GitHub(ctx), f"{repository_path(repository)}/issues/{number}/labels"
    for label in labels:
        await api.send("DELETE", f"{path}/{segment(label)}", missing=True)
    return as_objects(await api.send("GET", path, params={"per_page": 100}))
