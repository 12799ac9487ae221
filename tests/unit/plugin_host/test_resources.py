"""What an engine keeps open for its plugins, and which databases are its own."""

import asyncio
from contextlib import suppress

import pytest

from hookline.kernel.errors import StepError
from hookline.plugin_host import resources as resources_module
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
