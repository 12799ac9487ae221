"""`slack.call` for any method of the Web API, and who a credential is."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from hookline.api import Context, JsonObject, JsonValue, StepError, VerifyContext
from hookline_slack.connector import SlackApi, slack
from hookline_slack.failures import check_status, rejected_hook
from hookline_slack.web_api import call, pages

#: Methods that read, by the last part of their names.
_READS: Final = re.compile(
    r"(.*\.)?(list|info|history|replies|members|test|lookupByEmail|permalink|getPermalink|getPresence|conversations|get)"
)
#: What an incoming webhook answers to nothing where it is there.
_NOTHING_TO_POST: Final = frozenset({"no_text", "missing_text_or_fallback_or_attachments", "invalid_payload"})


def _repeats(settings: Mapping[str, Any]) -> bool | None:
    method = settings.get("method")
    return _READS.fullmatch(method) is not None if isinstance(method, str) else None


@slack.action(name="call", idempotent=_repeats)
async def call_method(
    ctx: Context[SlackApi],
    method: Annotated[
        str,
        Field(pattern=r"^[a-z][A-Za-z]*(\.[A-Za-z]+)+$", description="The method, such as `conversations.invite`."),
    ],
    arguments: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Its arguments but the token; those that are null are left out."),
    ] = None,
    stream: Annotated[
        str | None,
        Field(
            description="The name of the list that its pages have, such as `members`: the result is a stream of what "
            "is in it, over all pages."
        ),
    ] = None,
) -> JsonObject | AsyncIterator[JsonValue]:
    """Call any method of Slack's Web API.

    The result is Slack's answer without `ok` and `response_metadata`; `warnings` has what Slack warnings.
    """
    if stream is not None:
        return pages(ctx, method, stream, arguments or {})
    return await call(ctx, method, arguments or {})


@slack.verify
async def verify(ctx: VerifyContext[SlackApi]) -> str | None:
    """Ask Slack whose token it is (`auth.test`), and an incoming webhook to post nothing."""
    who: list[str] = []
    if ctx.credential.token is not None:
        answer = await call(ctx, "auth.test", {}, {"user": str, "team": str})
        who.append(f"{answer['user']} in {answer['team']}")
    if ctx.credential.webhook_url is not None:
        await _verify_webhook(ctx, ctx.credential.webhook_url.get_secret_value())
        who.append("an incoming webhook")
    return " and ".join(who)


async def _verify_webhook(ctx: VerifyContext[SlackApi], url: str) -> None:
    response = await ctx.http.request("POST", url, json={}, raise_for_status=False)
    check_status("the incoming webhook", response)
    word = response.text.strip()
    if word in _NOTHING_TO_POST:
        return
    if response.status >= 400:
        raise rejected_hook("the incoming webhook", word)
    raise StepError("the URL of the incoming webhook answers, but not as Slack does", code="slack.answer")
