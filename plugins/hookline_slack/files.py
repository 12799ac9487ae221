"""The action `slack.upload_file`."""

from typing import Annotated, Any, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from hookline.api import Attachment, Context, JsonObject, JsonValue, Options, Reach, StepError
from hookline_slack.connector import SlackApi, slack
from hookline_slack.failures import check_status, unreadable
from hookline_slack.messages import Thread
from hookline_slack.web_api import call

#: Seconds for an upload: a minute, and what its size takes where the way is slow.
_LEAST_TIME: Final = 60.0
_BYTES_A_SECOND: Final = 200_000


class Uploaded(TypedDict):
    """A file in Slack."""

    id: str
    title: str
    warnings: NotRequired[list[str]]
    """The warnings of Slack."""


@slack.action(idempotent=False)
async def upload_file(
    ctx: Context[SlackApi],
    channel: Annotated[
        str | None,
        Options("channels"),
        Field(
            pattern=r"^[CDG][A-Z0-9]+$",
            description="The id of the channel in which to share it; without one, nobody sees it.",
        ),
    ] = None,
    file: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="One of the message's attachments, or its name; by default the only one."),
    ] = None,
    filename: Annotated[
        str | None, Field(min_length=1, description="The file's name in Slack; by default the attachment's.")
    ] = None,
    title: Annotated[str | None, Field(description="The file's title; by default its name.")] = None,
    comment: Annotated[str | None, Field(description="The text of the message that shares the file.")] = None,
    thread_ts: Thread = None,
    alt_text: Annotated[
        str | None, Field(description="A description of a picture, for those who can't see it.")
    ] = None,
    snippet_type: Annotated[str | None, Field(description="The language of a text, such as `python`.")] = None,
) -> Uploaded:
    """Upload one of the message's files, and share it in a channel.

    Scope `files:write`. The file is streamed, whatever its size. A step that is tried again may share it a second time.
    """
    attachment = _attachment(ctx, file)
    name = filename or attachment.filename or attachment.name
    place = await call(
        ctx,
        "files.getUploadURLExternal",
        {"filename": name, "length": attachment.size, "alt_txt": alt_text, "snippet_type": snippet_type},
        {"upload_url": str, "file_id": str},
    )
    await _send(ctx, str(place["upload_url"]), attachment)
    shared: JsonObject = {
        "files": [{"id": place["file_id"], "title": title or name}],
        "channel_id": channel,
        "initial_comment": comment,
        "thread_ts": thread_ts,
    }
    answer = await call(ctx, "files.completeUploadExternal", shared, {"files": list})
    files: Any = answer["files"]
    if not files or not isinstance(files[0], dict) or not isinstance(files[0].get("id"), str):
        raise unreadable("files.completeUploadExternal", "names no file")
    uploaded: Uploaded = {"id": files[0]["id"], "title": str(files[0].get("title") or title or name)}
    if warned := [*_texts(place.get("warnings")), *_texts(answer.get("warnings"))]:
        uploaded["warnings"] = warned
    return uploaded


async def _send(ctx: Context[SlackApi], url: str, attachment: Attachment) -> None:
    response = await ctx.http.request(
        "POST",
        url,
        file=attachment,
        timeout=_LEAST_TIME + attachment.size / _BYTES_A_SECOND,
        raise_for_status=False,
    )
    check_status("an upload", response)
    if response.status != 200:
        raise StepError(f"Slack rejected the file at the upload URL: {response.status}", code="slack.upload")


def _attachment(ctx: Context[SlackApi], wanted: str | dict[str, JsonValue] | None) -> Attachment:
    """Return one of the message's own attachments: an id in a message opens no file of another execution."""
    there = ctx.message.attachments
    found = list(there) if wanted is None else ctx.message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(one.name) for one in there) or "none"
    raise StepError(
        f"`file` has to name one of the message's attachments ({named}); choose one, as `$.attachments[0]` does",
        code="slack.attachment",
    )


def _texts(warnings: JsonValue) -> list[str]:
    return [str(one) for one in warnings] if isinstance(warnings, list) else []
