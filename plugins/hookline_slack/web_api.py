"""Calls of Slack's Web API: one method, or the pages of one that lists."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeAlias

from hookline.api import (
    Context,
    JsonObject,
    JsonValue,
    OptionsContext,
    RateLimited,
    StepError,
    VerifyContext,
    encode_json,
)
from hookline_slack.connector import SlackApi
from hookline_slack.failures import check_status, rejected, unreadable

Asking: TypeAlias = Context[SlackApi] | OptionsContext[SlackApi] | VerifyContext[SlackApi]

#: Seconds that are waited for a page, and how often in one list: a minute is what Slack counts requests by.
_LONGEST_WAIT: Final = 60.0
_MOST_WAITS: Final = 30

#: What an answer always has besides its content.
_FRAME: Final = frozenset({"ok", "warning", "response_metadata"})


async def call(
    ctx: Asking, method: str, arguments: Mapping[str, Any], gives: Mapping[str, type] | None = None
) -> JsonObject:
    """Call a method, and return its response without `ok`; `warnings` has Slack's warnings, if there are any.

    Arguments that are null are left out. `gives`: the members that the response has to have, and their types. Raises
    StepError: `slack.<error>` with Slack's word, or AuthExpired, RateLimited or Unavailable if the word means that.
    """
    answer, _ = await _asked(ctx, method, arguments)
    for name, kind in (gives or {}).items():
        if not isinstance(answer.get(name), kind):
            raise unreadable(method, f"has no {name}")
    return answer


async def pages(ctx: Asking, method: str, items: str, arguments: Mapping[str, JsonValue]) -> AsyncIterator[JsonValue]:
    """Yield the items that a method lists under `items`, over all pages. Raises StepError as `call` does.

    If Slack asks for fewer requests after the first page, it waits: a long list that starts again would never end.
    """
    cursor: str | None = None
    waits = 0
    while True:
        try:
            answer, following = await _asked(ctx, method, {**arguments, "cursor": cursor})
        except RateLimited as limited:
            seconds = 1.0 if limited.retry_after is None else limited.retry_after
            if cursor is None or waits == _MOST_WAITS or seconds > _LONGEST_WAIT:
                raise
            waits += 1
            await asyncio.sleep(seconds)
            continue
        listed = answer.get(items)
        if not isinstance(listed, list):
            raise unreadable(method, f"has no list {items}")
        for item in listed:
            yield item
        if not following:
            return
        if following == cursor:
            raise unreadable(method, "repeats the same page")
        cursor = following


async def _asked(ctx: Asking, method: str, arguments: Mapping[str, Any]) -> tuple[JsonObject, str]:
    """The response, and the cursor of the next page; empty if there is none."""
    token = ctx.credential.token
    if token is None:
        raise StepError(
            f"{method} needs a credential with a bot token, and this one has only a webhook's URL", code="slack.token"
        )
    response = await ctx.http.request(
        "POST",
        f"{ctx.credential.base_url}/{method}",
        # Every method takes a form; some take no JSON.
        form={name: _plain(value) for name, value in arguments.items() if value is not None},
        headers={"Authorization": f"Bearer {token.get_secret_value()}", "Accept": "application/json"},
        raise_for_status=False,
    )
    check_status(method, response)
    try:
        answer: Any = response.json()
    except StepError:
        raise unreadable(method, f"is not JSON; its status is {response.status}") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise unreadable(method, f"isn't one of the Web API; its status is {response.status}")
    if not answer["ok"]:
        raise rejected(method, answer.get("error"), answer)
    metadata = answer.get("response_metadata")
    made = {name: value for name, value in answer.items() if name not in _FRAME}
    if warnings := _warnings(answer, metadata):
        ctx.log.warning("slack warns", method=method, warnings=warnings)
        made["warnings"] = warnings
    following = metadata.get("next_cursor") if isinstance(metadata, dict) else None
    return made, following if isinstance(following, str) else ""


def _plain(value: JsonValue) -> JsonValue:
    """The value as a form needs it: a list or an object as JSON text."""
    return encode_json(value).decode() if isinstance(value, list | dict) else value


def _warnings(answer: JsonObject, metadata: Any) -> list[JsonValue]:
    listed = metadata.get("warnings") if isinstance(metadata, dict) else None
    found = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    single = answer.get("warning")
    # The older key has them in one text, joined by commas.
    found += [one for one in single.split(",") if one and one not in found] if isinstance(single, str) else []
    return list[JsonValue](found)
