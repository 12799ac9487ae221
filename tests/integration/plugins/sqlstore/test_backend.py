"""The contract of stores and queues, over both databases, and what is special to each."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from hookline.storage.backend import Backend
from hookline.storage.cluster import NodeDescription
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.order import OrderContract
from hookline.testing.contracts.queue import QueueContract
from hookline.testing.contracts.store import StoreContract
from hookline_sqlstore.backend_makers import postgresql, sqlite

pytestmark = pytest.mark.usefixtures("compiled_once")


class _Opened:
    """Backends over one database; the last is closed at the end."""

    def __init__(self, make: Callable[[], Backend]) -> None:
        self._make = make
        self.backend = make()

    async def again(self) -> Backend:
        # Nothing is written when a backend closes, so what is durable is what a kill would leave.
        await self.backend.close()
        self.backend = self._make()
        await self.backend.open()
        return self.backend


class _Fixtures:
    @pytest.fixture
    async def opened(self, url: str, clock: ManualClock) -> AsyncIterator[_Opened]:
        make = sqlite if url.startswith("sqlite") else postgresql
        opened = _Opened(lambda: make(url, clock=clock))
        await opened.backend.open()
        yield opened
        await opened.backend.close()

    @pytest.fixture
    def backend(self, opened: _Opened) -> Backend:
        return opened.backend

    @pytest.fixture
    def reopen(self, opened: _Opened) -> Callable[[], Awaitable[Backend]]:
        return opened.again


class _Sqlite(_Fixtures):
    @pytest.fixture
    def url(self, file_url: str) -> str:
        return file_url


class _Postgres(_Fixtures):
    @pytest.fixture
    def url(self, tables: str) -> str:
        return tables


class TestSqliteStore(_Sqlite, StoreContract):
    pass


class TestSqliteQueue(_Sqlite, QueueContract):
    pass


class TestSqliteOrder(_Sqlite, OrderContract):
    pass


@pytest.mark.postgres
class TestPostgresStore(_Postgres, StoreContract):
    pass


@pytest.mark.postgres
class TestPostgresQueue(_Postgres, QueueContract):
    pass


@pytest.mark.postgres
class TestPostgresOrder(_Postgres, OrderContract):
    pass


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def each_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("file_url" if request.param == "sqlite" else "tables"))


async def test_a_node_is_listed_as_it_describes_itself(each_url: str, clock: ManualClock) -> None:
    backend = (sqlite if each_url.startswith("sqlite") else postgresql)(each_url, clock=clock)
    node = NodeDescription("here", "worker", version="1.2.3", queue="nats:orders")
    await backend.open(node)
    (listed,) = await backend.membership.nodes()
    for name in ("name", "role", "host", "version", "queue"):
        assert getattr(listed, name) == getattr(node, name)
    await backend.close()
