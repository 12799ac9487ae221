"""The attachments that a step is pointed at."""

from typing import Any

from hookline.api import Attachment, Context, JsonValue, StepError


def attached(ctx: Context[Any], wanted: str | dict[str, JsonValue] | None) -> Attachment:
    """The message's attachment of that name, or the one that an expression gave; by default the only one.

    Looked up among the message's own: an id that a message brings along opens no other execution's file.
    """
    there = ctx.message.attachments
    if wanted is None:
        found, what = list(there), "`file` is not given, and there must be one attachment:"
    else:
        found = ctx.message.attachments_like(wanted)
        what = f"`file` names {wanted!r}:" if isinstance(wanted, str) else "`file` gives what isn't there:"
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(one.name) for one in there) or "none"
    raise StepError(f"{what} the message has {named}; choose as `$.attachments[0]` does", code="file.attachment")
