"""Rejected requests are stored, the newest of each flow."""

from datetime import timedelta
from typing import Any

import pytest

from hookline.model.rejection import RejectedRequest
from hookline.storage.change_declarations import MAX_REJECTED_KEPT, Reject
from hookline.storage.store import RejectionReason, Rejections, Store
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.fixtures import StoreFixtures
from hookline.testing.envelopes import Envelopes


class RejectedContract(StoreFixtures):
    """The newest rejected requests of each flow are stored."""

    def _rejected(self, envelopes: Envelopes, flow_id: str = "orders", **fields: Any) -> RejectedRequest:
        told: dict[str, Any] = {
            "id": envelopes.ids.new(),
            "flow_id": flow_id,
            "at": envelopes.clock.now(),
            "code": "request.not_verified",
            "status": 401,
            "detail": "The sender could not be verified.",
            "method": "POST",
            "path": flow_id,
            "size": 12,
        }
        return RejectedRequest(**(told | fields))

    async def test_rejected_requests_are_listed_newest_first_in_pages(self, store: Store, envelopes: Envelopes) -> None:
        made = [self._rejected(envelopes, flow_id) for flow_id in ("orders", "-", "orders", "orders")]
        await store.commit([Reject(tuple(made[:3])), Reject(())])
        await store.commit([Reject(tuple(made[3:]))])
        first = await store.rejected(flow_id="orders", limit=2)
        assert (first.items, first.next) == ((made[3], made[2]), made[2].id)
        second = await store.rejected(flow_id="orders", limit=2, cursor=first.next)
        assert (second.items, second.next) == ((made[0],), None)
        assert (await store.rejected()).items == tuple(reversed(made))
        assert (await store.rejected(flow_id="nobody")).items == ()
        with pytest.raises(ValueError, match="cursor"):
            await store.rejected(cursor="x")

    async def test_rejected_requests_are_found_by_flow_and_code(self, store: Store, envelopes: Envelopes) -> None:
        verified, full = "request.not_verified", "flow.full"
        made = [
            self._rejected(envelopes, flow_id, code=code, at=envelopes.clock.now() + timedelta(seconds=place))
            for place, (flow_id, code) in enumerate(
                [("orders", verified), ("orders", full), ("-", verified), ("orders", full)]
            )
        ]
        await store.commit([Reject(tuple(made))])
        assert (await store.rejected(code=verified)).items == (made[2], made[0])
        first = await store.rejected(flow_id="orders", code=full, limit=1)
        assert first.items == (made[3],)
        assert (await store.rejected(flow_id="orders", code=full, cursor=first.next)).items == (made[1],)
        assert (await store.rejected(code="flow")).items == ()
        assert list(await store.rejection_reasons()) == [
            RejectionReason("-", verified, 1, made[2].at),
            RejectionReason("orders", full, 2, made[3].at),
            RejectionReason("orders", verified, 1, made[0].at),
        ]

    async def test_a_rejected_request_is_kept_whatever_the_sender_wrote(
        self, store: Store, envelopes: Envelopes
    ) -> None:
        plain = self._rejected(envelopes, size=2**62, client="2001:db8::1", body=b"\0\xff")
        strange = self._rejected(envelopes, path="a\0b\ud800", detail="\0", method="\0", client=None)
        await store.commit([Reject((plain, strange))])
        kept = (await store.rejected()).items
        assert kept[1] == plain
        assert (kept[0].path, kept[0].detail) == ("a\ufffdb?", "\ufffd")

    async def test_of_each_flow_the_newest_rejected_requests_are_kept(self, store: Store, envelopes: Envelopes) -> None:
        quiet = self._rejected(envelopes, "quiet")
        await store.commit([Reject((quiet,))])
        made = [self._rejected(envelopes) for _ in range(MAX_REJECTED_KEPT * 3 + 1)]
        for start in range(0, len(made), 70):
            await store.commit([Reject(tuple(made[start : start + 70]))])
        kept = (await store.rejected(flow_id="orders", limit=len(made))).items
        assert kept == tuple(reversed(made[-MAX_REJECTED_KEPT:]))
        assert (await store.rejected(flow_id="quiet")).items == (quiet,)

    async def test_the_rejected_requests_since_a_time_are_counted_by_flow(
        self, store: Store, envelopes: Envelopes, clock: ManualClock
    ) -> None:
        await store.commit([Reject((self._rejected(envelopes), self._rejected(envelopes, "quiet")))])
        clock.advance(10)
        since = clock.now()
        made = []
        for flow_id in ("orders", "-", "orders"):
            made.append(self._rejected(envelopes, flow_id))
            clock.advance(1)
        await store.commit([Reject(tuple(made))])
        assert await store.rejected_since(since) == {
            "orders": Rejections(2, since, made[2]),
            "-": Rejections(1, since + timedelta(seconds=1), made[1]),
        }
        assert await store.rejected_since(clock.now()) == {}
