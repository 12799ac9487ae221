"""The options for settings: channels and people."""

from collections.abc import AsyncIterator
from typing import Any

from hookline.api import JsonObject, Option, OptionsContext
from hookline_slack.connector import SlackApi, slack
from hookline_slack.web_api import pages

_PAGE = 999


@slack.options
async def channels(ctx: OptionsContext[SlackApi], search: str = "") -> AsyncIterator[Option]:
    """The channels that the app can see and that aren't archived."""
    arguments: JsonObject = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": _PAGE}
    async for channel in pages(ctx, "conversations.list", "channels", arguments):
        if (option := _option(channel, "#", "name", search)) is not None:
            yield option


@slack.options
async def people(ctx: OptionsContext[SlackApi], search: str = "") -> AsyncIterator[Option]:
    """The people and apps of the workspace that haven't left it."""
    async for user in pages(ctx, "users.list", "members", {"limit": _PAGE}):
        if isinstance(user, dict) and user.get("deleted"):
            continue
        if (option := _option(user, "@", "name", search)) is not None:
            yield option


def _option(found: Any, sign: str, name: str, search: str) -> Option | None:
    if not isinstance(found, dict) or not isinstance(found.get("id"), str) or not isinstance(found.get(name), str):
        return None
    label = f"{sign}{found[name]}"
    return Option(found["id"], label) if search.lower() in label.lower() else None
