"""Work on values, in a thread if they are large."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

_INLINE: Final = 1000
"""The number of values, or of thousands of characters, that are processed without a thread."""


async def offloaded(work: Callable[[], str], given: Any) -> str:
    """Return the result of work on a JSON value, which is done in a thread if the value is large."""
    return await asyncio.to_thread(work) if _is_large(given) else work()


def _is_large(value: Any) -> bool:
    """Return true if there are more than a few values, or long texts."""
    left, seen = [value], 0
    while left:
        part = left.pop()
        seen += 1 + (len(part) // _INLINE if isinstance(part, str) else 0)
        if seen > _INLINE:
            return True
        if isinstance(part, dict | list):
            if len(part) > _INLINE:
                return True
            left += part.values() if isinstance(part, dict) else part
    return False
