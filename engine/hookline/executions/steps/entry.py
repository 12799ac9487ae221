"""What the journal is told of an attempt at an action."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretBytes, SecretStr

from hookline.executions.context import ExecutionRun
from hookline.flows.blocks.action import ActionNode
from hookline.kernel.errors import StepError
from hookline.kernel.json import encode
from hookline.model.execution import ErrorInfo, StepRecord, StepState
from hookline.model.items import STREAM
from hookline.model.message import Attachment, Message
from hookline.sdk.action import Action, Increment
from hookline.sdk.context import check_key
from hookline.storage.changes import SetState

_MASK: Final = "**********"


class Given:
    """An action's settings for one attempt: as it takes them, and as they are recorded."""

    __slots__ = ("message", "model", "opened", "raw")

    def __init__(
        self, raw: Any, model: BaseModel, message: Message | None = None, opened: tuple[AsyncIterator[Any], ...] = ()
    ) -> None:
        """`message`: the action's own copy of the current one, where it isn't trusted to leave that as it is.

        `opened`: what among the settings comes one by one, and is closed after the attempt.
        """
        self.raw = raw
        self.model = model
        self.message = message
        self.opened = opened


def note(
    run: ExecutionRun,
    node: ActionNode,
    path: str,
    attempt: int,
    started_at: datetime,
    given: Given | None,
    *,
    output: Any = None,
    signal: str | None = None,
    error: ErrorInfo | None = None,
    due_at: datetime | None = None,
) -> datetime:
    """Note how an attempt ended; gives the time of it. `due_at`: when it is tried again, or has waited long enough."""
    finished_at = run.services.clock.now()
    failed = StepState.FAILED if due_at is None else StepState.WAITING
    run.journal.add(
        effect=not node.action.pure or signal == STREAM,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.SUCCEEDED if error is None and due_at is None else failed,
        attempt=attempt,
        started_at=started_at,
        finished_at=finished_at,
        input=_masked(node.action, given.raw) if given is not None else None,
        output=encode(output) if output is not None else None,
        error=error,
        due_at=due_at,
        signal=signal,
    )
    return finished_at


async def note_counted(
    run: ExecutionRun,
    node: ActionNode,
    path: str,
    attempt: int,
    started_at: datetime,
    given: Given,
    count: Increment,
    changes: Sequence[SetState],
    attachments: tuple[Attachment, ...],
) -> StepRecord:
    """Count, and note it; gives the entry once it is durable. Raises StepError where that can't be counted on."""
    now = run.services.clock.now()
    beside = encode({"attachments": attachments}) if attachments else None
    record = await run.journal.count(
        run.flow.id,
        check_key(count.key),
        encode(count.by),
        now,
        *changes,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.SUCCEEDED,
        attempt=attempt,
        started_at=started_at,
        finished_at=now,
        input=_masked(node.action, given.raw),
        output=beside,
    )
    if record is None:
        raise StepError(
            f"what the flow keeps under {count.key!r} is no number that it can count on; set it, or remove it",
            code="state.not_a_number",
        )
    return record


def note_started(
    run: ExecutionRun, node: ActionNode, path: str, attempt: int, started_at: datetime, given: Given
) -> None:
    """Note that an action which must not run twice is about to run."""
    run.journal.add(
        effect=True,
        id=node.id,
        path=path,
        use=node.action.name,
        state=StepState.STARTED,
        attempt=attempt,
        started_at=started_at,
        finished_at=started_at,
        input=_masked(node.action, given.raw),
    )


def _masked(action: Action, raw: Any) -> bytes:
    secret = _secret_settings(action.settings)
    if secret and isinstance(raw, dict):
        raw = {name: _MASK if name in secret else value for name, value in raw.items()}
    return encode(raw)


@lru_cache(maxsize=4096)
def _secret_settings(settings: type[BaseModel]) -> frozenset[str]:
    """Names of the settings whose type says that they are secret."""

    def holds_secret(annotation: Any) -> bool:
        if annotation in (SecretStr, SecretBytes):
            return True
        return any(holds_secret(part) for part in get_args(annotation))

    return frozenset(
        field.alias or name for name, field in settings.model_fields.items() if holds_secret(field.annotation)
    )
