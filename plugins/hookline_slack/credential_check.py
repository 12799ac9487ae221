"""The check of a credential for Slack: does Slack accept it, and whose is it?"""

from typing import Final

from hookline.api import StepError, VerifyContext
from hookline_slack.connector import SlackApi, slack
from hookline_slack.failures import check_status, rejected_hook
from hookline_slack.web_api import call

#: The responses of an incoming webhook that exists to an empty message.
_NOTHING_TO_POST: Final = frozenset({"no_text", "missing_text_or_fallback_or_attachments", "invalid_payload"})


@slack.verify
async def verify(ctx: VerifyContext[SlackApi]) -> str | None:
    """Ask Slack for the owner of the token (`auth.test`), and send an empty message to an incoming webhook."""
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
