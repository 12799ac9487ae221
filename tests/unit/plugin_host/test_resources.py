"""What an engine keeps open for its plugins, and which databases are its own."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from hookline.kernel.errors import StepError
from hookline.plugin_host import resources as resources_module
from hookline.plugin_host.database_identities import database_identities
from hookline.plugin_host.resources import EngineResources


class Pool:
    def __init__(self) -> None:
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1


class Endless(Pool):
    async def close(self) -> None:
        await asyncio.Event().wait()


class Stubborn(Pool):
    async def close(self) -> None:
        await super().close()
        raise OSError("no")


async def test_a_resource_is_made_once_for_each_engine() -> None:
    one, other = EngineResources(), EngineResources()
    assert one.get(Pool) is one.get(Pool)
    assert one.get(Pool) is not other.get(Pool)
    assert isinstance(one.get(Stubborn), Stubborn)


async def test_all_are_closed_even_if_one_fails() -> None:
    resources = EngineResources()
    stubborn, pool = resources.get(Stubborn), resources.get(Pool)
    with pytest.raises(ExceptionGroup) as caught:
        await resources.close()
    assert [type(error) for error in caught.value.exceptions] == [OSError]
    assert (stubborn.closed, pool.closed) == (1, 1)
    await resources.close()
    assert pool.closed == 1


class Hanging(Pool):
    async def close(self) -> None:
        await super().close()
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            if self.closed > 1:
                raise OSError("late")


async def test_one_that_hangs_is_named_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources_module, "CLOSING", 0.05)
    resources = EngineResources()
    hanging, pool = resources.get(Hanging), resources.get(Pool)
    before = asyncio.all_tasks()
    with pytest.raises(ExceptionGroup) as caught:
        await resources.close()
    assert [str(error).rpartition(".Hanging ")[2] for error in caught.value.exceptions[:1]] == [
        "hasn't closed in 0.05 s"
    ]
    assert (hanging.closed, pool.closed) == (1, 1)
    (left,) = asyncio.all_tasks() - before
    hanging.closed += 1
    left.cancel()
    await asyncio.wait((left,))


async def test_a_caller_that_is_cancelled_cancels_what_is_closing() -> None:
    resources = EngineResources()
    resources.get(Endless)
    before = asyncio.all_tasks()
    closing = asyncio.ensure_future(resources.close())
    for _ in range(3):
        await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait((closing,))
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_nothing_is_made_once_the_engine_stops() -> None:
    resources = EngineResources()
    await resources.close()
    with pytest.raises(StepError) as caught:
        resources.get(Pool)
    assert (caught.value.error_code, caught.value.retryable) == ("engine.stopping", True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///a.db", "sqlite+aiosqlite:///./a.db"),
        ("sqlite:///a%20b.db", "sqlite:///a b.db"),
        ("sqlite:///a.db", "sqlite:///file:a.db?mode=ro&uri=true"),
        ("postgresql://h/db", "postgres://user:pw@H:5432/db"),
        ("postgresql://localhost/db", "postgresql+asyncpg://127.0.0.1/db"),
        ("postgresql:///db", "postgresql://localhost/db"),
        ("postgresql:///db?host=/var/run/postgresql", "postgresql://localhost/db"),
        ("postgresql:///db?host=h&port=6000", "postgresql://h:6000/db"),
        ("postgresql:///db?host=a:5432&host=b:6000&target_session_attrs=read-write", "postgresql://B:6000/db"),
        ("postgresql:///db?host=a,b", "postgresql://b/db"),
        ("mysql+pymysql://h/db", "mysql://u@h:3306/db"),
    ],
)
def test_two_spellings_of_one_database_are_the_same(one: str, other: str) -> None:
    assert database_identities(one) & database_identities(other)
    assert EngineResources([one]).owns_database(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///a.db", "sqlite:///b.db"),
        ("sqlite:///a.db", "sqlite:////a.db"),
        ("postgresql://h/db", "postgresql://h/other"),
        ("postgresql://h/db", "postgresql://h:5433/db"),
        ("postgresql://h/db", "postgresql://i/db"),
        ("postgresql:///db?host=a:5432&host=b:6000", "postgresql://b/db"),
        ("postgresql://h/db", "mysql://h/db"),
    ],
)
def test_two_databases_are_not(one: str, other: str) -> None:
    assert not EngineResources([one]).owns_database(other)


def test_a_name_counts_however_the_links_in_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "other" / "inner").mkdir(parents=True)
    (tmp_path / "x").symlink_to(tmp_path / "other" / "inner")
    for own in (tmp_path / "engine.db", tmp_path / "other" / "engine.db"):
        own.touch()
        assert EngineResources([f"sqlite:///{own}"]).owns_database(f"sqlite:///{tmp_path}/x/../engine.db")


def test_a_file_that_is_made_later_is_still_the_same(tmp_path: Path) -> None:
    path = tmp_path / "engine.db"
    resources = EngineResources([f"sqlite:///{path}"])
    assert resources.owns_database(f"sqlite:///{path}")
    path.touch()
    (tmp_path / "link.db").symlink_to(path)
    assert resources.owns_database(f"sqlite:///{tmp_path}/link.db")
