"""Pools of threads."""

import asyncio
import gc
import subprocess
import sys
import weakref
from concurrent.futures import Future
from threading import Barrier, Event, Thread, current_thread

import pytest

from hookline.kernel.unwaited_threads import Threads


def test_work_runs_in_as_many_threads_as_there_may_be() -> None:
    threads, together, hold = Threads(3, "some"), Barrier(4), Event()

    def work(number: int) -> int:
        together.wait(10)
        hold.wait(10)
        return number

    first = [threads.submit(work, number) for number in range(3)]
    together.wait(10)
    later = threads.submit(lambda: current_thread().name)
    assert not later.done()
    hold.set()
    assert [future.result(10) for future in first] == [0, 1, 2]
    assert later.result(10) == "some"


def test_an_error_reaches_the_caller_and_the_thread_goes_on() -> None:
    threads = Threads(1, "some")

    def fails() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        threads.submit(fails).result(10)
    assert threads.submit(int, "7").result(10) == 7


def test_what_has_not_begun_can_be_cancelled() -> None:
    threads, hold = Threads(1, "some"), Event()
    first, second = threads.submit(hold.wait, 10), threads.submit(int, "1")
    assert second.cancel()
    hold.set()
    assert first.result(10)
    third = threads.submit(int, "2")
    assert third.result(10) == 2


def test_a_closed_pool_takes_no_more_and_waits_for_nothing() -> None:
    threads, begun, hold = Threads(1, "some"), Event(), Event()
    running: Future[bool] = threads.submit(lambda: begun.set() or hold.wait(10))
    assert begun.wait(10)
    left = threads.submit(int, "1")
    threads.shutdown(wait=True, cancel_futures=True)
    assert left.cancelled()
    with pytest.raises(RuntimeError, match="'some' are closed"):
        threads.submit(int, "1")
    hold.set()
    assert running.result(10)


def test_an_idle_thread_keeps_nothing_alive() -> None:
    class Large:
        pass

    threads = Threads(1, "some")
    large = Large()
    gone = weakref.ref(large)
    assert threads.submit(lambda it: it is not None, large).result(10)
    del large
    # The thread has let go of the first work once it has begun the second.
    threads.submit(int).result(10)
    gc.collect()
    assert gone() is None


def test_threads_end_when_they_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookline.kernel.unwaited_threads._IDLE", 0.001)
    threads = Threads(1, "some")
    used = threads.submit(current_thread).result(10)
    used.join(10)
    assert not used.is_alive()
    assert threads.submit(int, "7").result(10) == 7


def test_a_lack_of_threads_is_told_to_the_caller_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_thread: Thread) -> None:
        raise RuntimeError("can't start new thread")

    threads, done = Threads(1, "some"), Event()
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", fails)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            threads.submit(done.set)
    assert threads.submit(int, "7").result(10) == 7
    assert not done.is_set(), "work that was not taken doesn't run later"


async def test_an_event_loop_takes_a_pool_as_its_default() -> None:
    asyncio.get_running_loop().set_default_executor(Threads(1, "some"))
    assert (await asyncio.to_thread(current_thread)).name == "some"


def test_a_process_ends_although_a_thread_hangs() -> None:
    code = """
import asyncio
from threading import Event
from hookline.kernel.unwaited_threads import Threads

async def main():
    asyncio.get_running_loop().set_default_executor(Threads(2, "some"))
    hangs = asyncio.ensure_future(asyncio.to_thread(Event().wait))
    print(await asyncio.to_thread(int, "7"))

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")
