"""The trigger `github.events`: a webhook of a repository or an organization, created and removed by itself."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import StepError, Subscription, SubscriptionContext
from hookline_github.client import GitHub, segment
from hookline_github.connector import GitHubApi, github
from hookline_github.shared_settings import Repository, repository_path

_ACCESS = "the token needs to administer its webhooks"


@github.webhook(scheme="github", scheme_settings={"pings": "answered"})
async def events(
    ctx: SubscriptionContext[GitHubApi],
    events: Annotated[
        list[str],
        Field(min_length=1, description="The events, such as `push` or `issues`; `*` means all events."),
    ],
    repository: Annotated[Repository | None, Field(description="The repository, as `owner/name`.")] = None,
    organization: Annotated[
        str | None, Field(min_length=1, description="In its place: the organization, with all its repositories.")
    ] = None,
) -> Subscription:
    """Starts an execution for each event of a repository or an organization.

    The webhook is created when the flow starts, and removed when the flow is stopped or deleted. The body is the
    event's payload; its name is `$.headers['x-github-event']`, its id the dedupe key. GitHub's ping, which
    tests a new webhook, is answered and starts nothing.
    """
    if (repository is None) == (organization is None):
        raise StepError("give either `repository` or `organization`", code="github.events")
    of = repository_path(repository) if repository is not None else f"/orgs/{segment(organization or '')}"
    api = GitHub(ctx)
    wanted: dict[str, Any] = {
        "active": True,
        "events": sorted(set(events)),
        "config": {"url": ctx.url, "content_type": "json", "insecure_ssl": "0", "secret": ctx.secret},
    }
    found = await _known(api, ctx, of) or await _at(api, of, ctx.url)
    if found is None:
        try:
            made = await api.json("POST", f"{of}/hooks", json={"name": "web", **wanted})
        except StepError as error:
            # Somebody was quicker: an earlier request of ours, perhaps, whose answer never came.
            found = await _at(api, of, ctx.url) if "already exists" in error.message else None
            if found is None:
                raise _explained(error, of) from None
        else:
            return _subscription(api, of, made)
    return _subscription(api, of, await api.json("PATCH", f"{of}/hooks/{found}", json=wanted))


@events.unsubscribe
async def remove(ctx: SubscriptionContext[GitHubApi]) -> None:
    """Remove the webhook."""
    await GitHub(ctx).send("DELETE", f"{ctx.known['of']}/hooks/{ctx.known['hook']}", missing=True)


@events.renew(every="1d")
async def look(ctx: SubscriptionContext[GitHubApi]) -> Subscription | None:
    """Check that the webhook still exists and still sends to this flow."""
    api, of, hook = GitHub(ctx), ctx.known["of"], ctx.known["hook"]
    there = await api.send("GET", f"{of}/hooks/{hook}", missing=True)
    if there.status == 404 or _url(there.json()) != ctx.url:
        return None
    return Subscription(ctx.known)


async def _known(api: GitHub, ctx: SubscriptionContext[GitHubApi], of: str) -> int | None:
    """The id of the known webhook, if it is of the same repository or organization and still exists."""
    known = ctx.known
    if known is None or (known["api"], known["of"]) != (api.base_url, of):
        return None
    there = await api.send("GET", f"{of}/hooks/{known['hook']}", missing=True)
    return None if there.status == 404 else known["hook"]


async def _at(api: GitHub, of: str, url: str) -> int | None:
    """The id of the webhook that sends to a URL; the lowest one if there are several."""
    try:
        ids = [hook["id"] async for hook in api.items(f"{of}/hooks") if _url(hook) == url and _has_id(hook)]
    except StepError as error:
        raise _explained(error, of) from None
    return min(ids, default=None)


def _url(hook: Any) -> Any:
    config = hook.get("config") if isinstance(hook, dict) else None
    return config.get("url") if isinstance(config, dict) else None


def _has_id(hook: dict[str, Any]) -> bool:
    return isinstance(hook.get("id"), int)


def _subscription(api: GitHub, of: str, hook: dict[str, Any]) -> Subscription:
    if not _has_id(hook):
        raise StepError("GitHub's response has a webhook without an id", code="github.answer")
    return Subscription({"api": api.base_url, "of": of, "hook": hook["id"]})


def _explained(error: StepError, of: str) -> StepError:
    """The error, with the permission that is most likely missing."""
    if error.error_code in ("http.403", "http.404") and not error.retryable:
        return StepError(f"{error.message} ({of.strip('/')}: {_ACCESS})", code=error.error_code)
    return error
