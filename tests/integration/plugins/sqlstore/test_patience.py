"""Commits that nobody waits for: they share somebody else's, and wait for it only a moment."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import Engine, event

import hookline_sqlstore.databases.postgres
import hookline_sqlstore.databases.sqlite
from hookline.model.execution import Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import Accepted, End, Start
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import postgresql, sqlite
from hookline_sqlstore.databases.database import PATIENT

FOREVER = 3600.0


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("file_url" if request.param == "sqlite" else "tables"))


@pytest.fixture
def envelopes() -> Envelopes:
    return Envelopes(ManualClock())


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Backend]:
    made = (sqlite if url.startswith("sqlite") else postgresql)(url, clock=ManualClock())
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hookline_sqlstore.databases.sqlite, hookline_sqlstore.databases.postgres):
        monkeypatch.setattr(module, "PATIENCE", FOREVER)


@pytest.fixture
def transactions() -> Iterator[list[str]]:
    """Grows by one at each transaction, but for those of SQLite that accept plain messages in one statement."""
    seen: list[str] = []

    def note(*_: object) -> None:
        seen.append("commit")

    event.listen(Engine, "commit", note)
    yield seen
    event.remove(Engine, "commit", note)


@pytest.mark.usefixtures("endless_patience")
async def test_a_patient_commit_shares_that_of_somebody_who_waits(
    backend: Backend, envelopes: Envelopes, transactions: list[str]
) -> None:
    patient = asyncio.ensure_future(backend.queue.put(envelopes.make(key="a"), patient=True))
    await asyncio.sleep(0)
    assert not patient.done()
    transactions.clear()
    assert isinstance(await backend.queue.put(envelopes.make(key="b")), Accepted)
    assert isinstance(await patient, Accepted)
    assert transactions == ["commit"]


@pytest.mark.usefixtures("endless_patience")
async def test_an_end_that_is_patient_shares_one_too(
    backend: Backend, envelopes: Envelopes, transactions: list[str]
) -> None:
    first = envelopes.make()
    await backend.queue.put(first)
    now = ManualClock().now()
    end = End(first.execution_id, State.SUCCEEDED, Outcome.COMPLETED, now, patient=True)
    ending = asyncio.ensure_future(backend.store.commit([Start(first.execution_id, "v1", now), end]))
    await asyncio.sleep(0)
    transactions.clear()
    await backend.store.ping()
    await ending
    assert transactions == ["commit"]


@pytest.mark.postgres
async def test_those_that_a_transaction_lets_go_on_share_the_next_one(
    tables: str, envelopes: Envelopes, transactions: list[str]
) -> None:
    backend = postgresql(tables, clock=ManualClock())
    await backend.open()
    transactions.clear()

    async def put_in_turn() -> None:
        for _ in range(10):
            # An execution runs in a task of its own, too.
            await asyncio.ensure_future(backend.queue.put(envelopes.make()))

    first = asyncio.ensure_future(put_in_turn())
    for _ in range(5):
        await asyncio.sleep(0)
    # The first transaction is under way. Those after it are for both.
    await asyncio.gather(first, put_in_turn())
    assert len(transactions) == 11
    await backend.close()


@pytest.mark.usefixtures("endless_patience")
async def test_so_many_that_are_patient_wait_no_longer(backend: Backend, envelopes: Envelopes) -> None:
    put = [backend.queue.put(envelopes.make(), patient=True) for _ in range(PATIENT)]
    assert all(isinstance(result, Accepted) for result in await asyncio.gather(*put))


@pytest.mark.usefixtures("endless_patience")
async def test_closing_waits_for_nobody_else_and_loses_nothing(url: str, envelopes: Envelopes) -> None:
    make = sqlite if url.startswith("sqlite") else postgresql
    backend, envelope = make(url, clock=ManualClock()), envelopes.make()
    await backend.open()
    patient = asyncio.ensure_future(backend.queue.put(envelope, patient=True))
    await asyncio.sleep(0)
    await backend.close()
    assert isinstance(await patient, Accepted)
    again = make(url, clock=ManualClock())
    await again.open()
    assert await again.store.execution(envelope.execution_id) is not None
    await again.close()


async def test_patience_ends_by_itself(backend: Backend, envelopes: Envelopes) -> None:
    assert isinstance(await backend.queue.put(envelopes.make(), patient=True), Accepted)
