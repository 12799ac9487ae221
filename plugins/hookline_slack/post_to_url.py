"""The actions that post to a URL of Slack's: an incoming webhook, and the `response_url` of a command."""

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field
from typing_extensions import TypedDict

from hookline.api import Context, JsonObject, JsonValue, Reach, Response, StepError, decode_json
from hookline_slack.connector import SlackApi, slack
from hookline_slack.failures import check_status, rejected, rejected_hook, unreadable
from hookline_slack.messages import Attachments, Blocks, Text, Thread

_HOSTS: Final = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})


class Sent(TypedDict):
    """A message that Slack has accepted."""

    sent: Literal[True]


@slack.action(idempotent=False)
async def send_webhook(
    ctx: Context[SlackApi],
    text: Text = None,
    blocks: Blocks = None,
    attachments: Attachments = None,
    thread_ts: Thread = None,
) -> Sent:
    """Post a message with an incoming webhook, in the webhook's channel.

    The credential needs the `webhook_url`, and no token.
    """
    url = ctx.credential.webhook_url
    if url is None:
        raise StepError("slack.send_webhook needs a credential with a `webhook_url`", code="slack.webhook_url")
    message = _message(text, blocks, attachments, thread_ts=thread_ts)
    response = await ctx.http.request("POST", url.get_secret_value(), json=message, raise_for_status=False)
    if word := _rejection("the incoming webhook", response):
        raise rejected_hook("the incoming webhook", word)
    return {"sent": True}


@slack.action(idempotent=False)
async def respond(
    ctx: Context[SlackApi | None],
    response_url: Annotated[
        str,
        Reach("callback_url"),
        Field(description="The `response_url` of a command or an interaction, which is valid for 30 minutes."),
    ],
    text: Text = None,
    blocks: Blocks = None,
    attachments: Attachments = None,
    response_type: Annotated[
        Literal["ephemeral", "in_channel"],
        Field(description="The readers: one person (`ephemeral`), or the whole channel."),
    ] = "ephemeral",
    replace_original: Annotated[
        bool | None, Field(description="Replace the message that the interaction came from.")
    ] = None,
    delete_original: Annotated[bool | None, Field(description="Delete that message, without posting another.")] = None,
    thread_ts: Thread = None,
) -> Sent:
    """Answer a command or an interaction at a later time, up to five times.

    It needs no credential: the URL is one. It has to be Slack's, or on the host of the credential's `base_url`.
    """
    _check_url(ctx.credential, response_url)
    if delete_original and not text and not blocks and not attachments:
        message: dict[str, Any] = {"delete_original": True}
    else:
        message = _message(
            text,
            blocks,
            attachments,
            thread_ts=thread_ts,
            response_type=response_type,
            replace_original=replace_original,
            delete_original=delete_original,
        )
    response = await ctx.http.request("POST", response_url, json=message, raise_for_status=False)
    if word := _rejection("an answer to a command", response):
        raise rejected("an answer to a command", word)
    return {"sent": True}


def _message(
    text: str | None, blocks: list[JsonObject] | None, attachments: list[JsonObject] | None, **others: JsonValue
) -> dict[str, Any]:
    if not text and not blocks and not attachments:
        raise StepError("a message needs `text` or `blocks`", code="slack.no_text")
    made: dict[str, Any] = {"text": text, "blocks": blocks, "attachments": attachments, **others}
    return {name: value for name, value in made.items() if value is not None}


def _check_url(credential: SlackApi | None, url: str) -> None:
    """Raise StepError unless the URL, which comes from a message, leads to Slack."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        own = urlsplit(credential.base_url) if credential is not None else None
        if parts.scheme == "https" and host in _HOSTS and parts.port in (None, 443):
            return
        if own is not None and (parts.scheme, host, parts.port) == (own.scheme, own.hostname, own.port):
            return
    except ValueError:
        pass
    raise StepError("`response_url` is not a URL of Slack's: https://hooks.slack.com/…", code="slack.response_url")


def _rejection(what: str, response: Response) -> str:
    """Slack's word for a rejected message, from a text or from JSON; empty if it was accepted. Raises StepError."""
    check_status(what, response)
    text = response.text.strip()
    answer: Any = None
    if text.startswith("{"):
        try:
            answer = decode_json(response.content)
        except ValueError:
            raise unreadable(what, "is not JSON") from None
    if isinstance(answer, dict):
        if answer.get("ok") is True and response.status < 400:
            return ""
        return str(answer.get("error") or "error")
    if response.status == 200 and text == "ok":
        return ""
    if response.status >= 400:
        return text or "error"
    raise unreadable(what, f"isn't one that Slack documents; its status is {response.status}")
