"""The topics of messages, and the topic filters of subscriptions."""

from typing import Final

_BYTES: Final = 65535


def wrong_topic(topic: str) -> str | None:
    """Return the reason why a text is not a topic to publish to; None if it is one."""
    if "+" in topic or "#" in topic:
        return "a topic has no wildcards: '+' and '#' are only for subscriptions"
    return _wrong(topic)


def wrong_filter(topic: str) -> str | None:
    """Return the reason why a text is not a topic filter; None if it is one."""
    levels = topic.split("/")
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place < len(levels) - 1):
            return "'#' stands for all following levels, and must be the whole last level"
        if "+" in level and level != "+":
            return "'+' must be a whole level"
    if levels[0] == "$share":
        return "use `group` for a shared subscription"
    return _wrong(topic)


def _wrong(topic: str) -> str | None:
    if not topic:
        return "it is empty"
    if "\0" in topic:
        return "it has a NUL"
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return "it is not valid text"
    return f"it has more than {_BYTES} bytes" if size > _BYTES else None
