"""Drafts: texts of flows that are kept while their authors edit them, and that serve nobody."""

import hashlib
from collections.abc import Callable
from typing import Final

from hookline.access.audit import audited
from hookline.deployments.deployment_request import Expected
from hookline.kernel.clocks import Clock, rfc3339
from hookline.kernel.errors import DraftConflict, DraftNotFound
from hookline.model.access import Actor
from hookline.model.deployments_and_drafts import Draft, DraftInfo
from hookline.storage.change_declarations import Change, DropDraft, PutDraft
from hookline.storage.store import Store

_ABSENT: Final = Expected(absent=True)
_DIGITS: Final = 32


class Drafts:
    """Reads, saves and removes the drafts of flows: one for each flow, which all authors share."""

    def __init__(self, store: Store, clock: Clock, new_id: Callable[[], str]) -> None:
        self._store = store
        self._clock = clock
        self._new_id = new_id

    async def get(self, flow_id: str) -> Draft:
        """Return the draft of a flow. Raises DraftNotFound and StoreError."""
        found = await self._store.draft(flow_id)
        if found is None:
            raise DraftNotFound(f"flow {flow_id!r} has no draft")
        return found

    async def put(
        self, flow_id: str, text: bytes, base: str | None, *, by: Actor, expected: Expected | None = None
    ) -> tuple[DraftInfo, bool]:
        """Save a draft; return it, and true if there was none before.

        Without `expected`, there must be none yet, so that no draft is overwritten unseen. It is audited when a draft
        is begun, and when somebody saves over the text of somebody else. Raises DraftConflict, TooManyDrafts and
        StoreError.
        """
        found = await self._store.draft(flow_id)
        before = None if found is None else found.info
        _check(flow_id, expected or _ABSENT, before)
        now = self._clock.now()
        info = DraftInfo(flow_id, _version(text, base), base, len(text), now, by)
        changes: list[Change] = [PutDraft(Draft(info, text), None if before is None else before.version)]
        if before is None or str(before.author) != str(by):
            over = None if before is None else f"over what {before.author} had saved"
            changes.append(audited(self._new_id(), now, by, "draft.save", flow_id=flow_id, detail=over))
        await self._store.commit(changes)
        return info, before is None

    async def drop(self, flow_id: str, *, by: Actor, expected: Expected | None = None) -> None:
        """Remove the draft of a flow. Raises DraftNotFound, DraftConflict and StoreError."""
        before = (await self.get(flow_id)).info
        if expected is not None:
            _check(flow_id, expected, before)
        entry = audited(self._new_id(), self._clock.now(), by, "draft.delete", flow_id=flow_id)
        await self._store.commit([DropDraft(flow_id, before.version), entry])


def _check(flow_id: str, expected: Expected, found: DraftInfo | None) -> None:
    if not expected.fits(None if found is None else found.version):
        state = (
            "has no draft" if found is None else f"has a draft that {found.author} saved at {rfc3339(found.updated_at)}"
        )
        raise DraftConflict(f"flow {flow_id!r} {state}: read it again, and decide what to keep")


def _version(text: bytes, base: str | None) -> str:
    return hashlib.sha256(f"{base or ''}\n".encode() + text).hexdigest()[:_DIGITS]
