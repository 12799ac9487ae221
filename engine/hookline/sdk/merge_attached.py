"""The attachment that a step is pointed at: one of the message's own, by its name or as an expression gave it."""

from collections.abc import Mapping
from typing import Any

from hookline.kernel.errors import StepError
from hookline.model.message import Attachment, Message


def message_attachment(
    message: Message,
    wanted: str | Mapping[str, Any] | None,
    *,
    setting: str = "",
    code: str = "step.attachment",
) -> Attachment:
    """The message's attachment of that name, or the one that an expression gave; with None the only one.

    Looked up among the message's own: an id that a message brings along opens no other execution's file. Raises
    StepError with `code` where that isn't one attachment; `setting` is the one that it names.
    """
    found = list(message.attachments) if wanted is None else message.attachments_like(wanted)
    if len(found) == 1:
        return found[0]
    named = ", ".join(repr(attachment.name) for attachment in message.attachments) or "none"
    if wanted is None:
        said = f"`{setting or 'file'}` is not given, and there must be one attachment: the message has {named}"
    else:
        what = repr(wanted) if isinstance(wanted, str) else f"what `{setting}` gives" if setting else "what is given"
        kind = "the name of several attachments" if found else "not an attachment"
        said = f"{what} is {kind} of the message; it has {named}"
    raise StepError(said + ("; name one as `$.attachments[0]`" if message.attachments else ""), code=code)
