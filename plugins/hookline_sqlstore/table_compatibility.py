"""Releases of Hookline, and the tables that they may use. The tables name the oldest release that may use them."""

import re
from typing import Final

from hookline.api_storage import NodeDescription

OWN: Final = NodeDescription().version
"""This release."""
_NUMBERS: Final = re.compile(r"\d+(\.\d+)*")
_NEEDED: Final = (
    "the database's tables need Hookline {needed}, and this is {own}: install the newer release,"
    " or use another database"
)


def release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; a version before a release counts as that release."""
    numbers = _NUMBERS.match(version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def release_problem(oldest: str | None, own: str = OWN) -> str | None:
    """Return the reason why a release can't use tables; None if it can.

    `oldest`: the oldest release that may use them; None if the tables don't say so.
    """
    if oldest is None or release(oldest) <= release(own):
        return None
    return _NEEDED.format(needed=f"{oldest} or newer", own=own)


def unknown_problem(version: str) -> str:
    """Return the reason why tables of an unknown version that don't name a release can't be used."""
    return _NEEDED.format(needed=f"that knows version {version} of them", own=OWN)
