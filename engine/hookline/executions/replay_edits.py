"""Edited messages: the journal entries by which an operator's replay replaces the message before a step."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.kernel.json import Numbers, encode
from hookline.model.execution import REPLAY, StepRecord, StepState
from hookline.model.message import Message

#: The end of the path of such an entry, after the path of the step.
_MARK: Final = "#input"


def edit_entry(
    seq: int, path: str, step_id: str, body: bytes | None, headers: dict[str, str] | None, at: datetime
) -> StepRecord:
    """The journal entry that replaces the message before a step. `body` is JSON; None leaves that part as it is."""
    parts: dict[str, Any] = {}
    if body is not None:
        parts["body"] = msgspec.Raw(body)
    if headers is not None:
        parts["headers"] = headers
    return StepRecord(
        seq=seq,
        id=step_id,
        path=path + _MARK,
        use=REPLAY,
        state=StepState.SUCCEEDED,
        attempt=1,
        started_at=at,
        finished_at=at,
        output=encode(parts),
    )


def edited_path(entry: StepRecord) -> str | None:
    """The path of the step whose message the entry replaces; None for other entries."""
    return entry.path.removesuffix(_MARK) if entry.use == REPLAY and entry.path.endswith(_MARK) else None


def edits_in(entries: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """The entries of a journal that replace messages, by the paths of the steps."""
    return {path: entry for entry in entries if (path := edited_path(entry)) is not None}


def apply_edit(message: Message, entry: StepRecord, numbers: Numbers) -> Message:
    """Return a message with the parts that the entry replaces; `numbers`: the flow's."""
    parts = numbers.decode(entry.output or b"{}")
    return Message(parts.get("body", message.body), parts.get("headers", message.headers), message.attachments)
