"""Issues: made, changed, read, listed, commented and labelled. A pull request is one, too."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context, Response, StepError
from hookline_github.client import GitHub, segment
from hookline_github.connector import GitHubApi, github
from hookline_github.settings import Labels, Number, Repository, given, repository_path

Title = Annotated[str, Field(min_length=1, description="The title.")]
Body = Annotated[str | None, Field(description="The text, in Markdown.")]
SomeLabels = Annotated[list[str] | None, Field(description="Names of labels; all that it has then.")]
Assignees = Annotated[list[str] | None, Field(description="Logins of those that it is assigned to; all of them.")]
Milestone = Annotated[int | None, Field(ge=1, description="The number of a milestone.")]


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
    """Open an issue; gives it as GitHub does, with `number` and `html_url`."""
    issue = given(title=title, body=body, labels=labels, assignees=assignees, milestone=milestone)
    return await GitHub(ctx).json("POST", f"{repository_path(repository)}/issues", json=issue)


@github.action(idempotent=True)
async def update_issue(
    ctx: Context[GitHubApi],
    repository: Repository,
    number: Number,
    title: Annotated[str | None, Field(min_length=1, description="A new title.")] = None,
    body: Body = None,
    state: Annotated[Literal["open", "closed"] | None, Field(description="Opens or closes it.")] = None,
    state_reason: Annotated[
        Literal["completed", "not_planned", "duplicate", "reopened"] | None,
        Field(description="Why it is closed or opened."),
    ] = None,
    labels: SomeLabels = None,
    assignees: Assignees = None,
    milestone: Milestone = None,
) -> dict[str, Any]:
    """Change an issue; what isn't said stays as it is. Gives the issue."""
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
    state: Annotated[Literal["open", "closed", "all"], Field(description="In which state they are.")] = "open",
    labels: Annotated[list[str] | None, Field(description="Labels, all of which they have.")] = None,
    assignee: Annotated[
        str | None, Field(description="To whom they are assigned; `none`: to nobody, `*`: to anybody.")
    ] = None,
    creator: Annotated[str | None, Field(description="Who has opened them.")] = None,
    since: Annotated[datetime | None, Field(description="Those that were changed at this time or later.")] = None,
    sort: Annotated[Literal["created", "updated", "comments"], Field(description="By what.")] = "created",
    direction: Annotated[Literal["asc", "desc"], Field(description="In which direction.")] = "desc",
    pull_requests: Annotated[bool, Field(description="Whether pull requests come, too.")] = False,
    limit: Annotated[int | None, Field(ge=1, description="How many at most; all by default.")] = None,
) -> AsyncIterator[dict[str, Any]]:
    """List a repository's issues, one by one, however many there are."""
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
        if not pull_requests and isinstance(issue, dict) and "pull_request" in issue:
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
    """Comment an issue or a pull request; gives the comment."""
    path = f"{repository_path(repository)}/issues/{number}/comments"
    return await GitHub(ctx).json("POST", path, json={"body": body})


@github.action(idempotent=True)
async def add_labels(
    ctx: Context[GitHubApi], repository: Repository, number: Number, labels: Labels
) -> list[dict[str, Any]]:
    """Add labels to an issue; gives all that it has then. A label that isn't there yet is made."""
    path = f"{repository_path(repository)}/issues/{number}/labels"
    return _labels(await GitHub(ctx).send("POST", path, json={"labels": list(labels)}))


@github.action(idempotent=True)
async def remove_labels(
    ctx: Context[GitHubApi], repository: Repository, number: Number, labels: Labels
) -> list[dict[str, Any]]:
    """Remove labels from an issue; gives those that it has then. One that it hasn't is no error."""
    api, path = GitHub(ctx), f"{repository_path(repository)}/issues/{number}/labels"
    for label in labels:
        await api.send("DELETE", f"{path}/{segment(label)}", missing=True)
    return _labels(await api.send("GET", path, params={"per_page": 100}))


def _labels(response: Response) -> list[dict[str, Any]]:
    found = response.json()
    if not isinstance(found, list):
        raise StepError("GitHub answered with something else than a list of labels", code="github.answer")
    return found
