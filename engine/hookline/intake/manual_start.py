"""Starting a flow by hand: whatever its trigger, by those who may operate the server."""

from datetime import timedelta
from typing import Final

from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.elements.message_keys import key_text
from hookline.intake.intake import Intake
from hookline.kernel.ids import Ids
from hookline.kernel.time import Clock
from hookline.model.message import Arrival, Envelope, Message
from hookline.storage.changes import Accepted, Duplicate

MANUAL: Final = "manual"
_WINDOW: Final = timedelta(days=7)


class Starting:
    """Starts flows."""

    def __init__(self, intake: Intake, ids: Ids, clock: Clock) -> None:
        self._intake = intake
        self._ids = ids
        self._clock = clock

    async def start(
        self, flow: CompiledFlow, message: Message, *, by: str, dedupe_key: str | None = None
    ) -> Accepted | Duplicate:
        """Make a message durable that starts a flow; `by` says who is trusted with that.

        A message with the same `dedupe_key` starts nothing within 7 days. Raises SchemaViolation, and what
        `Intake.accept` raises.
        """
        flow.check_body(message.body)
        now = self._clock.now()
        envelope = Envelope(
            execution_id=self._ids.new(),
            flow_id=flow.id,
            message=message,
            arrival=Arrival(MANUAL, received_at=now, verified_by=by),
            accepted_at=now,
            dedupe_key=None if dedupe_key is None else key_text(dedupe_key),
            dedupe_until=None if dedupe_key is None else now + _WINDOW,
            exact=flow.exact,
        )
        return await self._intake.accept(flow, envelope)
