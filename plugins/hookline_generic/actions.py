"""The generic actions: they change the message, direct the flow, or write about it to the log."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StrictBool

from hookline.api import (
    FILTERED,
    PASS,
    STOPPED,
    CallerReply,
    Context,
    Duration,
    Either,
    EndsExecution,
    Exposed,
    JsonValue,
    PassesIf,
    Reach,
    ReturnsSetting,
    Signal,
    Sleep,
    StepError,
    is_server_header,
    message_attachment,
)
from hookline_generic.connector import generic

#: Names that the logger or the engine uses itself; a field of that name would replace the engine's value.
_RESERVED = frozenset({"event", "level", "timestamp", "logger", "message", "execution_id", "step_id", "attempt"})
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TEXT = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


@generic.action(name="map", pure=True)
async def map_body(
    body: Annotated[
        JsonValue,
        Reach("expression"),
        Field(description="The new body: any JSON value, in which strings may be expressions."),
    ],
) -> Annotated[JsonValue, ReturnsSetting("body")]:
    """Make a new body."""
    return body


@generic.action(name="filter", pure=True)
async def filter_message(
    keep: Annotated[
        StrictBool,
        Field(
            description="True lets the message pass; false ends the branch. Anything else, even the text 'false', is "
            "an error."
        ),
    ],
) -> Annotated[Signal, PassesIf("keep")]:
    """Let a message pass, or end its branch."""
    return PASS if keep else FILTERED


def _free(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    taken = sorted(_RESERVED & fields.keys())
    if taken:
        raise ValueError(f"{', '.join(taken)}: the log already uses these field names; choose others")
    return fields


@generic.action(idempotent=True)
async def log(
    ctx: Context[None],
    message: Annotated[str, Exposed(), Field(description="The text of the log entry.")],
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="The level of the log entry.")
    ] = "info",
    fields: Annotated[
        dict[str, JsonValue] | None,
        Exposed(),
        AfterValidator(lambda fields: None if fields is None else _free(fields)),
        Field(description="Named values that are logged with the text."),
    ] = None,
) -> Signal:
    """Write to the server's log; the message passes on."""
    write = {"debug": ctx.log.debug, "info": ctx.log.info, "warning": ctx.log.warning, "error": ctx.log.error}[level]
    write(message, **(fields or {}))
    return PASS


@generic.action(idempotent=True)
async def sleep(
    for_: Annotated[Duration | None, Either("until"), Field(description="The time to wait, such as `10m`.")] = None,
    until: Annotated[
        AwareDatetime | None, Field(description="The time at which the wait ends: RFC 3339, with a time zone.")
    ] = None,
) -> Sleep:
    """Wait, then continue with the same message. Meanwhile, the execution is only a row in the database."""
    if (for_ is None) == (until is None):
        raise StepError("sleep needs either `for` or `until`", code="sleep.settings")
    return Sleep(until=until) if for_ is None else Sleep(for_.total_seconds())


@generic.action(pure=True)
async def stop() -> Annotated[Signal, EndsExecution()]:
    """End the execution here, as succeeded."""
    return STOPPED


@generic.action(idempotent=True)
async def reply(
    ctx: Context[None],
    status: Annotated[int, Field(ge=200, le=599, description="The HTTP status.")] = 200,
    headers: Annotated[
        dict[str, str] | None, Reach("response_header"), Field(description="The headers of the reply.")
    ] = None,
    body: Annotated[
        JsonValue, Field(description="The body: a text is sent as it is, null as an empty body, anything else as JSON.")
    ] = None,
    attachment: Annotated[
        str | dict[str, JsonValue] | None,
        Reach("attachment"),
        Field(description="Instead of `body`: an attachment of the message, or its name."),
    ] = None,
) -> CallerReply:
    """Reply to the waiting caller; the flow then continues with the same message.

    For flows whose trigger says `"respond": "reply"`. If nobody waits for the reply, it is kept, and is sent to a
    caller who sends the same message again.
    """
    given = dict(headers or {})
    if wrong := [name for name, value in given.items() if not _header(name, value)]:
        raise StepError(f"{wrong[0]!r} is not a valid header, or only the server may set it", code="reply.header")
    if attachment is None:
        return CallerReply(status, given, body)
    if body is not None:
        raise StepError("a reply has either a body or one attachment", code="reply.attachment")
    file = message_attachment(ctx.message, attachment, setting="attachment", code="reply.attachment")
    return CallerReply(status, given, None, file)


def _header(name: str, value: str) -> bool:
    """Return true if a reply may have this header."""
    return bool(_TOKEN.fullmatch(name) and _TEXT.fullmatch(value)) and not is_server_header(name)


def _readable(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("a code consists of lower-case words joined by dots, such as order.rejected")
    return code


@generic.action(pure=True)
async def fail(
    message: Annotated[str, Field(min_length=1, description="The reason, for people.")],
    code: Annotated[
        str, AfterValidator(_readable), Field(description="The code of the error, by which it can be recognized.")
    ] = "failed",
) -> Annotated[None, EndsExecution()]:
    """End the execution here, as failed; it is not tried again."""
    raise StepError(message, code=code, retryable=False)
