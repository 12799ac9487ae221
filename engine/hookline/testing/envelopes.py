"""Messages and journal entries for tests of backends."""

from datetime import timedelta
from typing import Any

from hookline.kernel.clocks import Clock
from hookline.kernel.ids import Ids
from hookline.kernel.json import encode
from hookline.model.execution import StepRecord, StepState
from hookline.model.message import Arrival, Attachment, Envelope, Message, Result


class Envelopes:
    """Makes messages that are accepted now, by a clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ids = Ids(clock)

    def make(
        self,
        flow_id: str = "orders",
        body: Any = None,
        *,
        key: str | None = None,
        window: timedelta = timedelta(days=7),
        order_key: str | None = None,
        order_holds: bool = False,
        tags: dict[str, str] | None = None,
        attachments: tuple[Attachment, ...] = (),
    ) -> Envelope:
        """A message; `window` is for how long its dedupe key is taken."""
        now = self.clock.now()
        return Envelope(
            execution_id=self.ids.new(),
            flow_id=flow_id,
            message=Message(body, {"content-type": "application/json"}, attachments),
            arrival=Arrival("webhook", method="POST", received_at=now),
            accepted_at=now,
            dedupe_key=key,
            dedupe_until=None if key is None else now + window,
            order_key=order_key,
            order_holds=order_holds,
            tags=tags or {},
            body_json=encode(body),
        )

    def record(self, seq: int, path: str = "post", **fields: Any) -> StepRecord:
        """An entry of a journal, of a step that succeeded unless `fields` says something else."""
        now = self.clock.now()
        told: dict[str, Any] = {
            "seq": seq,
            "id": path.rpartition("/")[2],
            "path": path,
            "use": "http.request",
            "state": StepState.SUCCEEDED,
            "attempt": 1,
            "started_at": now,
            "finished_at": now,
            "input": b"{}",
            "output": encode(Result({"seq": seq})),
        }
        return StepRecord(**(told | fields))


def attachment(blob_id: str) -> Attachment:
    """A file beside a message."""
    return Attachment(id=blob_id, name="file", filename="a.txt", type="text/plain", size=1, sha256="00" * 32)
