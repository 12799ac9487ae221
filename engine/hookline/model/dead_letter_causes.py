"""The causes by which dead letters are grouped."""

import hashlib
import re
from typing import Final

from hookline.model.execution import ErrorInfo

_SHOWN: Final = 500
"""The number of characters of a message that are compared."""

#: Parts of messages that differ between failures of one cause, and their replacements, in order.
_VARYING: Final = (
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"""(?<!\w)(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')(?!\w)"""), "<text>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"(?<![A-Za-z_])[-+]?\d+(?:[.,:]\d+)*"), "<n>"),
)
_PLACE: Final = re.compile(r"\[\d+\]")


def normalised(message: str) -> str:
    """Replace the parts of a message that differ between failures of one cause: numbers, ids, hex and quoted texts."""
    text = message[:_SHOWN]
    for pattern, mark in _VARYING:
        text = pattern.sub(mark, text)
    return text


def step_of(error: ErrorInfo) -> str | None:
    """Return the path of the failed step without the indexes of items: `lines[*]/post`."""
    return None if error.step is None else _PLACE.sub("[*]", error.step)


def full_cause(flow_id: str, cause: str) -> str:
    """The name of a group of dead letters."""
    return f"{flow_id}:{cause}"


def cause_of(error: ErrorInfo) -> str:
    """Return the cause of a failure: equal for failures of one flow with equal code, step and normalised message."""
    told = "\n".join((error.code, step_of(error) or "", normalised(error.message)))
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]
