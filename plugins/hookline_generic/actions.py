"""The generic actions: they shape the message, direct the flow, or say something about it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool

from hookline.api import FILTERED, PASS, STOPPED, Connector, Context, JsonValue, Signal, StepError

generic = Connector("generic", title="Generic", prefix=False)

#: What a logger takes as its own, or the engine already says about the step; a field of that name would replace it.
_RESERVED = frozenset({"event", "level", "timestamp", "logger", "message", "execution_id", "step_id", "attempt"})
_CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*")


@generic.action(name="map", pure=True)
async def map_body(
    body: Annotated[JsonValue, Field(description="The new body: any JSON value, its strings expressions.")],
) -> JsonValue:
    """Make a new body."""
    return body


@generic.action(name="filter", pure=True)
async def filter_message(
    keep: Annotated[
        StrictBool,
        Field(
            description="True lets the message pass; false ends the branch. Anything else, 'false' too, is an error."
        ),
    ],
) -> Signal:
    """Let a message pass, or end its branch."""
    return PASS if keep else FILTERED


def _free(fields: dict[str, JsonValue]) -> dict[str, JsonValue]:
    taken = sorted(_RESERVED & fields.keys())
    if taken:
        raise ValueError(f"{', '.join(taken)}: the log has fields of these names itself; choose others")
    return fields


@generic.action
async def log(
    ctx: Context[None],
    message: Annotated[str, Field(description="What the log says.")],
    level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="How grave it is.")] = "info",
    fields: Annotated[
        dict[str, JsonValue] | None,
        AfterValidator(lambda fields: None if fields is None else _free(fields)),
        Field(description="Named values beside the message."),
    ] = None,
) -> Signal:
    """Write to the server's log; the message passes on."""
    write = {"debug": ctx.log.debug, "info": ctx.log.info, "warning": ctx.log.warning, "error": ctx.log.error}[level]
    write(message, **(fields or {}))
    return PASS


@generic.action(pure=True)
async def stop() -> Signal:
    """End the execution here, as succeeded."""
    return STOPPED


def _readable(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("a code is lower-case words joined by dots, such as order.rejected")
    return code


@generic.action(pure=True)
async def fail(
    message: Annotated[str, Field(min_length=1, description="Why.")],
    code: Annotated[
        str, AfterValidator(_readable), Field(description="Stands in the error, so that others can tell it apart.")
    ] = "failed",
) -> None:
    """End the execution here, as failed; it is not tried again."""
    raise StepError(message, code=code, retryable=False)
