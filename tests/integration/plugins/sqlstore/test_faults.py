"""Killed just before a commit, nothing of it is there; killed just after, all of it is."""

import asyncio
import multiprocessing
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from hookline.kernel.fault_points import Fault, Trace, fault
from hookline.model.execution import Outcome, State
from hookline.storage.backend import Backend
from hookline.storage.change_declarations import (
    Accept,
    Change,
    DismissDeadLetter,
    End,
    Park,
    Publish,
    PutCredential,
    RecordSteps,
    Reopen,
    Resume,
    Start,
    Unblock,
)
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes
from hookline_sqlstore.backend_makers import sqlite

_CLOCK = ManualClock()
_ENVELOPES = Envelopes(_CLOCK)
_NOW = _CLOCK.now()
_ID = "01a20e14-1c21-708f-b502-459830859189"


def _life() -> Sequence[tuple[str, Change]]:
    """Each kind of commit, once."""
    envelope = _ENVELOPES.make()
    made = type(envelope)(_ID, "orders", envelope.message, envelope.arrival, _NOW)
    return (
        ("accept", Accept(made)),
        ("start", Start(_ID, "v1", _NOW)),
        ("record", RecordSteps(_ID, (_ENVELOPES.record(1),))),
        ("park", Park(_ID, _NOW, None, "blocked: x")),
        ("unblock", Unblock("orders", _NOW)),
        ("resume", Resume(_ID, _NOW)),
        ("end", End(_ID, State.FAILED, Outcome.FAILED, _NOW)),
        ("dismiss_dead_letter", DismissDeadLetter(_ID, _NOW)),
        ("reopen", Reopen(_ID, _NOW)),
        ("publish", Publish("orders", "v1", b"{}", _NOW)),
        ("credential", PutCredential("a", "github", b"x", _NOW)),
    )


async def _state(backend: Backend) -> object:
    """What has been committed, as far as one can see it."""
    store = backend.store
    return (
        await store.execution(_ID),
        len(await store.journal(_ID)),
        await store.flow_document("orders", "v1"),
        len(await store.credentials()),
    )


async def _live(url: str, kinds: int) -> object:
    backend = sqlite(url, clock=ManualClock())
    await backend.open()
    for _, change in _life()[:kinds]:
        await backend.store.commit([change])
    state = await _state(backend)
    await backend.close()
    return state


async def _look(url: str) -> object:
    backend = sqlite(url, clock=ManualClock())
    await backend.open()
    state = await _state(backend)
    await backend.close()
    return state


def _die(url: str, point: str) -> None:
    """Live up to a point, as if the process had been started with it."""
    assert fault.__kwdefaults__ is not None
    fault.__kwdefaults__["armed"] = Fault(point)
    asyncio.run(_live(url, len(_life())))


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Makes processes that have imported already what they need: to import takes longer than to live."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.mark.promise(1)
@pytest.mark.rule(1)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("kind", [kind for kind, _ in _life()])
async def test_a_commit_is_there_whole_or_not_at_all(
    kind: str, side: str, tmp_path: Path, migrated_file: Path, processes: ForkServerContext
) -> None:
    for name in ("killed.db", "same.db"):
        shutil.copy(migrated_file, tmp_path / name)
    url = f"sqlite:///{tmp_path}/killed.db"
    killed = processes.Process(target=_die, args=(url, f"{kind}.{side}_commit"))
    killed.start()
    await asyncio.to_thread(killed.join, 60)
    assert killed.exitcode == -signal.SIGKILL
    kinds = [name for name, _ in _life()].index(kind) + (side == "after")
    same = f"sqlite:///{tmp_path}/same.db"
    await _live(same, kinds)
    assert await _look(url) == await _look(same)


async def test_a_message_that_starts_at_once_passes_the_points_of_a_start_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = sqlite(f"sqlite:///{tmp_path}/traced.db", clock=ManualClock())
    await backend.open()
    envelope = _ENVELOPES.make()
    assert fault.__kwdefaults__ is not None
    monkeypatch.setitem(fault.__kwdefaults__, "trace", Trace(str(tmp_path / "trace")))
    await backend.store.commit([Accept(envelope, start=Start(envelope.execution_id, "v1", _NOW))])
    await backend.close()
    passed = (tmp_path / "trace").read_text().splitlines()
    assert passed == [f"accept.{side}_commit start.{side}_commit" for side in ("before", "after")]


async def test_without_a_fault_the_life_runs_through(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/whole.db"
    lived = await asyncio.to_thread(subprocess.run, [sys.executable, __file__, url], timeout=60, check=False)
    assert lived.returncode == 0
    assert await _look(url) == await _live(f"sqlite:///{tmp_path}/same.db", len(_life()))


if __name__ == "__main__":
    asyncio.run(_live(sys.argv[1], len(_life())))
