"""Dead letters, grouped by cause."""

import msgspec

from hookline.kernel.errors import Malformed
from hookline.kernel.time import rfc3339
from hookline.model.causes import normalised, step_of
from hookline.service.views.executions import ErrorView
from hookline.service.views.pages import Time
from hookline.storage.store import DeadLetters


class DeadLettersView(msgspec.Struct, frozen=True):
    """Executions that failed for one cause, and were neither retried nor discarded."""

    cause: str
    """Names the group: the flow's id, a colon, and a hash of code, step and message."""
    flow_id: str
    error: ErrorView
    """Its message without what differs from one to the next: numbers, ids, texts in quotes. Its step without the
    places of items."""
    count: int
    first_at: Time
    last_at: Time
    newest: str
    """The execution that was accepted last."""
    example: str
    """The message of that one's error."""


def dead_letters_view(group: DeadLetters) -> DeadLettersView:
    """One group of dead letters."""
    error = group.error
    return DeadLettersView(
        cause=cause_view(group.flow_id, group.cause),
        flow_id=group.flow_id,
        error=ErrorView(error.code, normalised(error.message), step_of(error), error.retryable),
        count=group.count,
        first_at=rfc3339(group.first_at),
        last_at=rfc3339(group.last_at),
        newest=group.newest,
        example=error.message,
    )


def cause_view(flow_id: str, cause: str) -> str:
    """The name of a group of dead letters."""
    return f"{flow_id}:{cause}"


def cause_parts(cause: str) -> tuple[str, str]:
    """The flow and the hash of a cause as it is shown. Raises Malformed."""
    flow_id, colon, own = cause.rpartition(":")
    if not colon or not flow_id:
        raise Malformed(f"{cause!r} is no cause: those of `dead-letters` read <flow>:<hash>.")
    return flow_id, own
