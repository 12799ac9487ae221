"""Shortened ids of executions: the last characters, as lists show them, or the first ones."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hookline.cli.client import Client
from hookline.cli.table import table
from hookline.kernel.errors import ExecutionNotFound, HooklineError

LENGTH: Final = 36
"""Characters of a full id."""
_SHORTEST: Final = 4
_PART: Final = re.compile(r"[0-9a-f-]+\Z")


class AmbiguousId(HooklineError):
    """A shortened id is one of several executions."""

    code = "execution.ambiguous"


async def full_id(client: Client, text: str) -> str:
    """Return the id that begins or ends with a text. Raises ExecutionNotFound, and AmbiguousId if there are several."""
    part = text.strip("…").lower()
    if len(part) >= LENGTH:
        return text
    if len(part) < _SHORTEST or not _PART.match(part):
        raise ExecutionNotFound(
            f"there is no execution {text!r}; an id, or {_SHORTEST} or more of its last or first characters, is in "
            "`hookline executions list`"
        )
    page = await client.get("executions", "matching", part)
    found: Sequence[Mapping[str, Any]] = page["items"]
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        raise AmbiguousId(f"{text!r} is the beginning or the end of several ids:\n{_candidates(found, page['more'])}")
    raise ExecutionNotFound(f"there is no execution whose id begins or ends with {text!r}")


def _candidates(found: Sequence[Mapping[str, Any]], more: object) -> str:
    rows = [(one["id"], one["flow_id"], one["state"], one["created_at"]) for one in found]
    lines = table(("id", "flow", "state", "accepted"), rows)
    return f"{lines}\nand more" if more else lines
