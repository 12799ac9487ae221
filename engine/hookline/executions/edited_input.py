"""A message that takes the place of the one which reaches a step, in an execution that does another again."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.executions.context import ExecutionRun
from hookline.executions.frame import Frame
from hookline.kernel.json import decode, encode
from hookline.model.execution import REPLAY, StepRecord, StepState
from hookline.model.message import Message

_MARK: Final = "#input"


def edited_entry(
    seq: int, path: str, step_id: str, body: bytes | None, headers: dict[str, str] | None, at: datetime
) -> StepRecord:
    """The entry of the journal that says so. `body` is JSON; what is None stays as it comes."""
    given: dict[str, Any] = {}
    if body is not None:
        given["body"] = msgspec.Raw(body)
    if headers is not None:
        given["headers"] = headers
    return StepRecord(
        seq=seq,
        id=step_id,
        path=path + _MARK,
        use=REPLAY,
        state=StepState.SUCCEEDED,
        attempt=1,
        started_at=at,
        finished_at=at,
        output=encode(given),
    )


def edited_path(record: StepRecord) -> str | None:
    """The path of the step whose message such an entry replaces; None for other entries."""
    return record.path.removesuffix(_MARK) if record.use == REPLAY and record.path.endswith(_MARK) else None


def edited_steps(past: Iterable[StepRecord]) -> dict[str, StepRecord]:
    """Such entries of a journal, by the paths of the steps."""
    return {path: record for record in past if (path := edited_path(record)) is not None}


def take_edited(run: ExecutionRun, record: StepRecord, frame: Frame) -> None:
    """Let the message be what the entry says."""
    given = decode(record.output or b"{}", exact=run.flow.exact)
    message = frame.message
    frame.message = Message(given.get("body", message.body), given.get("headers", message.headers), message.attachments)
