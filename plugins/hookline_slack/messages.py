"""Messages in channels: post, change and delete them, and react to them."""

from typing import Annotated, Any, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from hookline.api import Context, JsonObject, Options, StepError
from hookline_slack.connector import SlackApi, slack
from hookline_slack.web_api import call

Channel: TypeAlias = Annotated[
    str,
    Options("channels"),
    Field(
        min_length=1, description="The id of a channel, such as `C0123456789`; or of a person, for a direct message."
    ),
]
Timestamp: TypeAlias = Annotated[
    str,
    Field(
        pattern=r"^\d+\.\d+$",
        description="The message's `ts`, as `slack.post_message` returned it. It is a text: a number loses digits.",
    ),
]
Text: TypeAlias = Annotated[
    str | None,
    Field(description="The text, in Slack's `mrkdwn`; beside `blocks`, the text of notifications."),
]
Blocks: TypeAlias = Annotated[list[JsonObject] | None, Field(description="The blocks of the message, in Block Kit.")]
Attachments: TypeAlias = Annotated[
    list[JsonObject] | None, Field(description="Secondary content, in Slack's older format.")
]
Thread: TypeAlias = Annotated[
    str | None,
    Field(pattern=r"^\d+\.\d+$", description="The `ts` of a message, to post this one as an answer in its thread."),
]


class Posted(TypedDict):
    """A message that was posted or changed."""

    channel: str
    ts: str
    """The message's id within the channel."""
    message: JsonObject
    """The message in Slack's format."""
    warnings: NotRequired[list[str]]
    """The warnings of Slack."""


class PostedEphemeral(TypedDict):
    """A message that only one person sees."""

    message_ts: str
    warnings: NotRequired[list[str]]


class Deleted(TypedDict):
    """A message that was deleted."""

    channel: str
    ts: str
    deleted: bool
    """False if the message was already gone."""


class Reaction(TypedDict):
    """A reaction to a message."""

    added: bool
    """False if it was already there."""


@slack.action(idempotent=False)
async def post_message(
    ctx: Context[SlackApi],
    channel: Channel,
    text: Text = None,
    blocks: Blocks = None,
    attachments: Attachments = None,
    thread_ts: Thread = None,
    reply_broadcast: Annotated[
        bool | None, Field(description="Also show an answer in a thread in the channel.")
    ] = None,
    unfurl_links: Annotated[bool | None, Field(description="Show a preview of linked pages.")] = None,
    unfurl_media: Annotated[bool | None, Field(description="Show linked pictures and films.")] = None,
    username: Annotated[
        str | None, Field(description="The sender's name in place of the app's; scope `chat:write.customize`.")
    ] = None,
    icon_emoji: Annotated[
        str | None, Field(description="The sender's picture, such as `:truck:`; scope `chat:write.customize`.")
    ] = None,
    metadata: Annotated[
        JsonObject | None, Field(description="Data for programs: `event_type` and `event_payload`.")
    ] = None,
) -> Posted:
    """Post a message in a channel.

    Scope `chat:write`. `slack.update_message` needs the result's `channel` and `ts`. Slack has no idempotency key: a
    step that is tried again after its response was lost posts a second time. `"delivery": "at_most_once"` prevents
    that.
    """
    _check_content(text, blocks, attachments)
    answer = await call(
        ctx,
        "chat.postMessage",
        {
            "channel": channel,
            "text": text,
            "blocks": blocks,
            "attachments": attachments,
            "thread_ts": thread_ts,
            "reply_broadcast": reply_broadcast,
            "unfurl_links": unfurl_links,
            "unfurl_media": unfurl_media,
            "username": username,
            "icon_emoji": icon_emoji,
            "metadata": metadata,
        },
        {"channel": str, "ts": str},
    )
    return _posted(answer)


@slack.action(idempotent=True)
async def update_message(
    ctx: Context[SlackApi],
    channel: Channel,
    ts: Timestamp,
    text: Text = None,
    blocks: Blocks = None,
    attachments: Attachments = None,
) -> Posted:
    """Change a message that the app has posted.

    Scope `chat:write`. Content that isn't given again is removed: a text without `blocks` removes the blocks.
    """
    _check_content(text, blocks, attachments)
    answer = await call(
        ctx,
        "chat.update",
        {
            "channel": channel,
            "ts": ts,
            "text": text,
            "blocks": blocks or [],
            "attachments": attachments or [],
        },
        {"channel": str, "ts": str},
    )
    return _posted(answer)


@slack.action(idempotent=True)
async def delete_message(ctx: Context[SlackApi], channel: Channel, ts: Timestamp) -> Deleted:
    """Delete a message that the app has posted.

    Scope `chat:write`. A message that no longer exists is no error; then the result's `deleted` is false.
    """
    try:
        await call(ctx, "chat.delete", {"channel": channel, "ts": ts})
    except StepError as error:
        if error.error_code != "slack.message_not_found":
            raise
        return {"channel": channel, "ts": ts, "deleted": False}
    return {"channel": channel, "ts": ts, "deleted": True}


@slack.action(idempotent=False)
async def post_ephemeral(
    ctx: Context[SlackApi],
    channel: Channel,
    user: Annotated[
        str,
        Options("people"),
        Field(min_length=1, description="The id of the person who sees it; the person has to be in the channel."),
    ],
    text: Text = None,
    blocks: Blocks = None,
    attachments: Attachments = None,
    thread_ts: Thread = None,
) -> PostedEphemeral:
    """Show a message to one person in a channel, until that person reloads Slack.

    Scope `chat:write`.
    """
    _check_content(text, blocks, attachments)
    arguments: dict[str, Any] = {
        "channel": channel,
        "user": user,
        "text": text,
        "blocks": blocks,
        "attachments": attachments,
        "thread_ts": thread_ts,
    }
    answer = await call(ctx, "chat.postEphemeral", arguments, {"message_ts": str})
    made: Any = {name: answer[name] for name in ("message_ts", "warnings") if name in answer}
    shown: PostedEphemeral = made
    return shown


@slack.action(idempotent=True)
async def add_reaction(
    ctx: Context[SlackApi],
    channel: Channel,
    ts: Timestamp,
    name: Annotated[str, Field(min_length=1, description="The emoji's name, such as `white_check_mark`.")],
) -> Reaction:
    """React to a message with an emoji.

    Scope `reactions:write`. If the app has already reacted so, nothing changes.
    """
    try:
        await call(ctx, "reactions.add", {"channel": channel, "timestamp": ts, "name": name.strip(":")})
    except StepError as error:
        if error.error_code != "slack.already_reacted":
            raise
        return {"added": False}
    return {"added": True}


def _check_content(text: str | None, *lists: list[JsonObject] | None) -> None:
    if not text and not any(lists):
        raise StepError("a message needs `text` or `blocks`", code="slack.no_text")


def _posted(answer: JsonObject) -> Posted:
    made: Any = {"message": {}, **{name: answer[name] for name in Posted.__annotations__ if name in answer}}
    posted: Posted = made
    return posted
