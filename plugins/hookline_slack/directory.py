"""The actions for the channels and the people of a workspace."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from pydantic import Field

from hookline.api import Context, JsonObject, JsonValue, Options
from hookline_slack.connector import SlackApi, slack
from hookline_slack.web_api import call, pages

_Page = Annotated[int, Field(ge=1, le=999, description="The number of items in one request; Slack may send fewer.")]
_Team = Annotated[str | None, Field(description="The workspace's id, if the token is an organisation's.")]


@slack.action(idempotent=True)
async def list_channels(
    ctx: Context[SlackApi],
    types: Annotated[
        list[Literal["public_channel", "private_channel", "mpim", "im"]] | None,
        Field(
            min_length=1,
            description="The types: public and private channels, direct messages of several and of two people; by "
            "default public channels.",
        ),
    ] = None,
    exclude_archived: Annotated[bool, Field(description="Leave out archived channels.")] = True,
    team_id: _Team = None,
    page_size: _Page = 200,
) -> AsyncIterator[JsonValue]:
    """List the channels that the app can see.

    Scopes `channels:read`, and `groups:read`, `mpim:read` and `im:read` for the other types. The result is a stream,
    which `foreach` reads.
    """
    arguments: JsonObject = {
        "types": ",".join(types or ["public_channel"]),
        "exclude_archived": exclude_archived,
        "team_id": team_id,
        "limit": page_size,
    }
    async for channel in pages(ctx, "conversations.list", "channels", arguments):
        yield channel


@slack.action(idempotent=True)
async def list_users(
    ctx: Context[SlackApi],
    team_id: _Team = None,
    page_size: _Page = 200,
) -> AsyncIterator[JsonValue]:
    """List the people and apps of the workspace, including those that have left (`deleted`).

    Scope `users:read`; with `users:read.email` also the addresses. The result is a stream, which `foreach` goes
    through.
    """
    async for user in pages(ctx, "users.list", "members", {"team_id": team_id, "limit": page_size}):
        yield user


@slack.action(idempotent=True)
async def get_user(
    ctx: Context[SlackApi],
    user: Annotated[str, Options("people"), Field(min_length=1, description="The person's id, such as `U0123456789`.")],
) -> JsonObject:
    """Look up a person by id.

    Scope `users:read`. The result is Slack's object: `id`, `name`, `real_name`, `tz`, `profile` and more.
    """
    answer: Any = await call(ctx, "users.info", {"user": user}, {"user": dict})
    found: JsonObject = answer["user"]
    return found


@slack.action(idempotent=True)
async def lookup_user_by_email(
    ctx: Context[SlackApi],
    email: Annotated[str, Field(min_length=1, description="The person's e-mail address.")],
) -> JsonObject:
    """Look up a person by e-mail address; if nobody has it, the error is `slack.users_not_found`.

    Scope `users:read.email`. The result is like that of `slack.get_user`.
    """
    answer: Any = await call(ctx, "users.lookupByEmail", {"email": email}, {"user": dict})
    found: JsonObject = answer["user"]
    return found
