"""Wake-ups go on after a database that couldn't be read when they began."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from hookline.kernel.errors import StoreError
from hookline_sqlstore.cluster import wake_ups
from hookline_sqlstore.cluster.wake_ups import WakeUps


class _Database:
    """Fails at first; keeps what is asked then."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.asked = asyncio.Queue[Any]()

    async def read(self, question: Any, *, long: bool = False) -> Any:
        if self.failures:
            self.failures -= 1
            raise StoreError("away")
        self.asked.put_nowait(question)
        return "the channel"

    def write(self, commit: Any) -> Any:
        raise AssertionError(commit)


@pytest.mark.cluster_rule("C9")
async def test_what_is_told_while_the_database_is_away_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_ups, "_AGAIN", 0.0)
    database = _Database(failures=2)

    def heard(_flows: Iterable[str], _more: bool) -> None:
        raise AssertionError

    async def connect() -> Any:
        await asyncio.Event().wait()

    waking = WakeUps(database, heard)
    waking.tell(["orders"])
    task = asyncio.ensure_future(waking.run(connect, "me"))
    async with asyncio.timeout(10):
        assert await database.asked.get() is wake_ups._channel
        await database.asked.get()  # the wake-up itself
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
