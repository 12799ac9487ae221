"""The action `github.request`, for everything else in GitHub's API."""

from typing import Annotated, Any

from pydantic import Field

from hookline.api import Context, JsonValue, Reach, Reply, StepError
from hookline_github.client import GitHub
from hookline_github.connector import GitHubApi, github

_REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})


def _idempotent(settings: Any) -> bool | None:
    method = settings.get("method", "GET")
    return method.upper() in _REPEATABLE if isinstance(method, str) else None


@github.action(idempotent=_idempotent)
async def request(
    ctx: Context[GitHubApi],
    path: Annotated[
        str,
        Reach("service_path"),
        Field(pattern=r"^/[^?#\s]*$", description="The path below the API's URL, such as `/repos/o/r/branches`."),
    ],
    method: Annotated[str, Field(pattern=r"^[A-Za-z]+$", description="The HTTP method.")] = "GET",
    query: Annotated[dict[str, JsonValue] | None, Field(description="The query parameters.")] = None,
    json: Annotated[Any, Field(description="The body, a JSON value; none by default.")] = None,
    accept: Annotated[
        str, Reach("request_header"), Field(description="The media type of the response.")
    ] = "application/vnd.github+json",
) -> Reply:
    """Send any request, with the credential and the API's version; the result has the response's body and `status`."""
    if any(part in (".", "..") for part in path.split("/")):
        raise StepError(f"{path!r} has a part `.` or `..`: write the path without it", code="github.name")
    response = await GitHub(ctx).send(method.upper(), path, json=json, params=query, accept=accept)
    is_json = "json" in response.headers.get("content-type", "application/json").partition(";")[0]
    body = (response.json() if is_json else response.text) if response.content else None
    return Reply(body, response.headers, {"status": response.status})
