"""Opening, closing and removing captures, on all nodes."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from hookline.access.audit import AuditedOperation, audited
from hookline.kernel.cancellation import shields
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import CaptureNotFound
from hookline.model.access import Actor
from hookline.storage.captures import CAPTURE_TIME, CAPTURED_KEPT, Capture, CapturedRequest
from hookline.storage.change_declarations import Change, CloseCapture, DropCapture, OpenCapture
from hookline.storage.cluster import Membership
from hookline.storage.store import CapturedPage, Store
from hookline.telemetry.captures import CaptureRecord


@dataclass(frozen=True, slots=True)
class Opened:
    """A capture that was opened, or is kept open for longer."""

    capture: Capture
    anew: bool
    """False if it was open already."""
    pending: Collection[str]
    """The names of the nodes that may not capture yet."""


class Captures:
    """The captures of all nodes. Each node reads them when one is changed (`CaptureRecord.load`)."""

    def __init__(
        self, store: Store, clock: Clock, new_id: Callable[[], str], membership: Membership, record: CaptureRecord
    ) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._membership = membership
        self._record = record

    async def open(self, flow_id: str, *, by: Actor) -> Opened:
        """Open the capture of a flow for 10 minutes from now. Raises TooManyCaptures and StoreError."""
        now = self._clock.now()
        wanted = Capture(flow_id, now, now + CAPTURE_TIME, by)
        pending = await self._commit(OpenCapture(wanted), "capture.open", flow_id, by)
        capture = await self.get(flow_id)
        return Opened(capture, capture.opened_at == now, pending)

    async def all(self) -> list[Capture]:
        """Return the captures that are open, or have requests. Raises StoreError."""
        ended = self._clock.now() - CAPTURED_KEPT
        return [one for one in await self._store.captures(ended) if one.expires_at > ended]

    async def get(self, flow_id: str) -> Capture:
        """Return the capture of a flow. Raises CaptureNotFound and StoreError."""
        for one in await self.all():
            if one.flow_id == flow_id:
                return one
        raise CaptureNotFound(f"the requests to flow {flow_id!r} aren't captured")

    async def close(self, flow_id: str, *, by: Actor) -> Capture:
        """Close a capture, whose requests are kept; return it. Raises CaptureNotFound and StoreError."""
        now = self._clock.now()
        if (await self.get(flow_id)).expires_at > now:
            await self._commit(CloseCapture(flow_id, now), "capture.close", flow_id, by)
        return await self.get(flow_id)

    async def drop(self, flow_id: str, *, by: Actor) -> None:
        """Delete a capture and its requests. Raises CaptureNotFound and StoreError."""
        await self.get(flow_id)
        await self._commit(DropCapture(flow_id), "capture.delete", flow_id, by)

    async def requests(self, flow_id: str, *, cursor: str | None, limit: int) -> CapturedPage:
        """Return a page of the requests of the last hour, newest first.

        Raises CaptureNotFound, StoreError, and ValueError for an invalid cursor.
        """
        await self.get(flow_id)
        since = self._clock.now() - CAPTURED_KEPT
        return await self._store.captured(flow_id, since, cursor=cursor, limit=limit)

    async def request(self, flow_id: str, request_id: str) -> CapturedRequest:
        """Return a request of the last hour. Raises CaptureNotFound and StoreError."""
        found = await self._store.captured_request(flow_id, request_id)
        if found is None or found.info.at < self._clock.now() - CAPTURED_KEPT:
            raise CaptureNotFound(f"no request {request_id!r} to flow {flow_id!r} is captured")
        return found

    @shields
    async def _commit(self, change: Change, operation: AuditedOperation, flow_id: str, by: Actor) -> Collection[str]:
        """Commit a change, and return the nodes that may not have adopted it."""
        entry = audited(self._new_id(), self._clock.now(), by, operation, flow_id=flow_id)
        await self._store.commit([change, entry])
        await self._record.load()
        return await self._membership.adopted()
