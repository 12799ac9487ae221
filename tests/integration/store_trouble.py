"""A store whose commits fail when a test says so."""

import asyncio
from collections.abc import Callable, Sequence

from hookline.engine import Engine
from hookline.kernel.errors import StoreError
from hookline.storage.change_declarations import Change, CommitResult


class Trouble:
    """Stands between an engine and its store: `rejects` says which commits fail."""

    def __init__(self, engine: Engine, rejects: Callable[[Sequence[Change]], bool]) -> None:
        self.rejects = rejects
        self.doubts: Callable[[Sequence[Change]], bool] = lambda _: False
        """The commits that take place, although the caller is told that they may not have."""
        self.rejected = 0
        self._commit = engine.store.commit
        engine.store.commit = self.commit  # type: ignore[method-assign]  # in its place, for everybody who has the store

    async def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self.rejects(changes):
            self.rejected += 1
            raise StoreError("the disk is full")
        if self.doubts(changes):
            self.rejected += 1
            await self._commit(changes)
            raise StoreError("the disk hasn't answered", in_doubt=True)
        return await self._commit(changes)

    async def until_rejected(self, count: int = 1) -> None:
        async with asyncio.timeout(30):
            while self.rejected < count:  # noqa: ASYNC110 - what is waited for is several tasks away
                await asyncio.sleep(0.002)
        for _ in range(5):
            # The callers hear of it, and begin to wait for their next try.
            await asyncio.sleep(0)


def holds(*kinds: type) -> Callable[[Sequence[Change]], bool]:
    """Commits that hold changes of some kinds."""
    return lambda changes: any(isinstance(change, kinds) for change in changes)
