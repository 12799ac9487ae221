"""Topics, which messages have, and filters, which subscriptions have."""

from typing import Final

_BYTES: Final = 65535


def wrong_topic(topic: str) -> str | None:
    """Why something is no topic to publish to; None where it is one."""
    if "+" in topic or "#" in topic:
        return "a topic has no wildcards: '+' and '#' are for those who subscribe"
    return _wrong(topic)


def wrong_filter(topic: str) -> str | None:
    """Why something is no topic filter; None where it is one."""
    levels = topic.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place < len(levels) - 1):
            return "'#' stands for all levels that follow, and is the last one, alone"
        if "+" in level and level != "+":
            return "'+' stands for a whole level"
    if levels[0] == "$share":
        return "a shared subscription is said by `group`"
    return _wrong(topic)


def _wrong(topic: str) -> str | None:
    if not topic:
        return "it is empty"
    if "\0" in topic:
        return "it has a NUL"
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return "it is no text"
    return f"it has more than {_BYTES} bytes" if size > _BYTES else None
