"""The action `slack.call`, for any method of the Web API."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import Context, JsonObject, JsonValue, Reach
from hookline_slack.connector import SlackApi, slack
from hookline_slack.web_api import call, pages

#: Methods that read, by the last part of their names.
_READS: Final = re.compile(
    r"(.*\.)?(list|info|history|replies|members|test|lookupByEmail|permalink|getPermalink|getPresence|conversations|get)"
)


def _repeats(settings: Mapping[str, Any]) -> bool | None:
    method = settings.get("method")
    return _READS.fullmatch(method) is not None if isinstance(method, str) else None


@slack.action(name="call", idempotent=_repeats)
async def call_method(
    ctx: Context[SlackApi],
    method: Annotated[
        str,
        Reach("service_path"),
        Field(pattern=r"^[a-z][A-Za-z]*(\.[A-Za-z]+)+$", description="The method, such as `conversations.invite`."),
    ],
    arguments: Annotated[
        dict[str, JsonValue] | None,
        Field(description="The method's arguments without the token; those that are null are left out."),
    ] = None,
    stream: Annotated[
        str | None,
        Field(
            description="The name of the list in the method's pages, such as `members`: the result is a stream of its "
            "items, over all pages."
        ),
    ] = None,
) -> JsonObject | AsyncIterator[JsonValue]:
    """Call any method of Slack's Web API.

    The result is Slack's response without `ok` and `response_metadata`; `warnings` has Slack's warnings.
    """
    if stream is not None:
        return pages(ctx, method, stream, arguments or {})
    return await call(ctx, method, arguments or {})
