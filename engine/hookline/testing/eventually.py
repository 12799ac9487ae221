"""Waiting for what happens by itself, and soon."""

import asyncio
from collections.abc import Callable
from typing import Final

_EVERY: Final = 0.005


async def assert_eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Let others run until something holds. Raises AssertionError where it doesn't within the time."""
    for _ in range(int(seconds / _EVERY)):
        if holds():
            return
        await asyncio.sleep(_EVERY)
    raise AssertionError(f"it doesn't hold after {seconds:g} s")
