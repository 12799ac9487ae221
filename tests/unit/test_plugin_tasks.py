"""Which tasks a plugin may leave behind: those of what it keeps open and of the engine, and no others."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from hookline.connector import Connector
from hookline.discovery import discover
from hookline.runtime import plugin_calls, plugin_tasks
from hookline.runtime.metrics import Metrics
from hookline.runtime.plugin_calls import PluginCalls
from hookline.runtime.plugin_tasks import PluginExit, TaskLists
from hookline.runtime.resources import EngineResources
from hookline.testing.eventually import assert_eventually
from hookline.testing.harness import ListLog, plugin_of


async def forever() -> None:
    await asyncio.Event().wait()


class Pool:
    """Something that is kept open, and has tasks of its own."""

    def __init__(self) -> None:
        self.reader = asyncio.create_task(forever(), name="made")
        self.opened: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        def start() -> "asyncio.Task[asyncio.Task[None]]":
            return asyncio.create_task(self._start())

        self.opened = await start()

    async def _start(self) -> asyncio.Task[None]:
        return asyncio.create_task(forever(), name="opened")

    async def close(self) -> None:
        self.reader.cancel()
        if self.opened is not None:
            self.opened.cancel()


class Room:
    """Calls an action of a plugin that isn't ours, with the task factory in place."""

    def __init__(self) -> None:
        connector = Connector("acme")

        @connector.action
        async def act() -> None:
            """Act."""

        self.log = ListLog()
        self.resources = EngineResources()
        self.calls = PluginCalls(discover([], extra_plugins=[plugin_of(connector)]), Metrics(), self.log)

    async def call(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return await self.calls.run("action", "acme.act", work(), execution_id="e1")

    def told(self) -> list[tuple[str, str]]:
        return [(event, fields["task"]) for _, event, fields in self.log.lines]


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    for module in (plugin_tasks, plugin_calls):
        monkeypatch.setattr(module, "GRACE", 0.02)
    made = Room()
    lists = TaskLists(made.resources.runs)
    lists.install()
    yield made
    lists.remove()
    await made.resources.close()
    assert asyncio.get_running_loop().get_task_factory() is None


async def test_a_task_that_outlives_its_call_is_named_and_cancelled(room: Room) -> None:
    left: list[asyncio.Task[None]] = []

    async def leaks() -> None:
        left.append(asyncio.create_task(forever()))

    await room.call(leaks)
    await assert_eventually(lambda: left[0].cancelled())
    assert room.told() == [("a task of a plugin outlived its call", "forever")]
    _, _, fields = room.log.lines[0]
    assert (fields["plugin"], fields["action"], fields["execution_id"]) == (
        "'Plugin' (hookline.testing.harness)",
        "acme.act",
        "e1",
    )


async def test_tasks_of_what_is_kept_open_stay(room: Room) -> None:
    async def uses() -> Pool:
        pool = room.resources.get(Pool)
        await pool.connect()
        return pool

    pool = await room.call(uses)
    probe: list[asyncio.Task[None]] = []

    async def leaks() -> None:
        probe.append(asyncio.create_task(forever()))

    # What comes later has been found: so what is kept open would have been.
    await room.call(leaks)
    await assert_eventually(lambda: probe[0].cancelled())
    assert [name for _, name in room.told()] == ["forever"]
    assert not pool.reader.done()
    assert pool.opened is not None
    assert not pool.opened.done()


#: As if it stood in the engine's HTTP client, which a plugin calls.
_SOURCE = """
import asyncio

async def ask(work):
    return asyncio.create_task(work())
"""


async def test_tasks_of_the_engines_own_parts_stay(room: Room) -> None:
    engine: dict[str, Any] = {"__name__": "hookline.runtime.http_client"}
    exec(_SOURCE, engine)

    async def asks() -> Any:
        return await engine["ask"](forever)

    task = await room.call(asks)
    probe: list[asyncio.Task[None]] = []

    async def leaks() -> None:
        probe.append(asyncio.create_task(forever()))

    await room.call(leaks)
    await assert_eventually(lambda: probe[0].cancelled())
    assert not task.done()
    task.cancel()


async def test_what_ends_in_time_is_no_leak(room: Room) -> None:
    async def short() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        asyncio.create_task(asyncio.sleep(0))  # noqa: RUF006 - it ends by itself

    await room.call(short)
    probe: list[asyncio.Task[None]] = []

    async def leaks() -> None:
        probe.append(asyncio.create_task(forever()))

    await room.call(leaks)
    await assert_eventually(lambda: probe[0].cancelled())
    assert [name for _, name in room.told()] == ["forever"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
async def test_what_would_end_the_process_ends_its_task_alone(room: Room, error: BaseException) -> None:
    async def ends() -> None:
        raise error

    async def starts() -> None:
        await asyncio.create_task(ends())

    with pytest.raises(PluginExit, match=type(error).__name__):
        await room.call(starts)


async def test_a_call_that_takes_no_notice_is_left_behind_and_does_not_keep_the_engine(room: Room) -> None:
    begun = asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while True:
            try:
                await forever()
            except asyncio.CancelledError:
                continue

    calling = asyncio.create_task(room.call(stubborn))
    await begun.wait()
    before = asyncio.all_tasks()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await assert_eventually(lambda: len(room.log.lines) == 2)
    assert [event.removeprefix("a task of a plugin ") for event, _ in room.told()] == [
        "outlived its call",
        "ignores its cancellation",
    ]
    (left,) = (asyncio.all_tasks() & before) - {asyncio.current_task()}
    await room.calls.close()
    assert left not in asyncio.all_tasks()


async def test_a_result_and_an_error_come_through_unchanged(room: Room) -> None:
    async def gives() -> int:
        return 7

    async def raises() -> None:
        raise ValueError("no")

    assert await room.call(gives) == 7
    with pytest.raises(ValueError, match="no"):
        await room.call(raises)
