"""The contract of blob stores, over a directory, and what is special to it."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
from datetime import timedelta
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from hookline.kernel.errors import StoreError
from hookline.storage.blobs import Blobs
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.blobs import BlobsContract, put
from hookline.testing.eventually import assert_eventually
from hookline_blobs.directory import file_blobs


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def blobs(tmp_path: Path, clock: ManualClock) -> Blobs:
    return file_blobs(f"file://{tmp_path}/blobs", clock=clock)


class TestDirectoryBlobs(BlobsContract):
    pass


async def test_a_directory_that_cant_hold_files_says_so(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"no files can be stored in .*/file: "):
        await file_blobs(f"file://{tmp_path}/file", clock=clock).ping()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_nothing_is_under_its_name_before_it_is_committed(blobs: Blobs, tmp_path: Path) -> None:
    writer = await blobs.create()
    await writer.write(b"x" * 1_000_000)
    (unfinished,) = _files(tmp_path)
    assert unfinished.parent.name == "incoming"
    blob = await writer.commit()
    (path,) = _files(tmp_path)
    assert path == tmp_path / "blobs" / blob.id[:2] / blob.id[2:4] / blob.id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_closed_if_its_event_loop_ends_while_it_is_opened(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[FileIO] = []
    go_on, real = threading.Event(), Path.open

    def slowly(path: Path, mode: str, buffering: int) -> Any:
        opened.append(real(path, mode, buffering))
        go_on.wait(10)
        return opened[0]

    async def abandon() -> None:
        blob = await put(blobs, b"x")
        monkeypatch.setattr(Path, "open", slowly)
        reading = asyncio.ensure_future(anext(blobs.open(blob.id)))
        await assert_eventually(lambda: len(opened) == 1)
        reading.cancel()
        await asyncio.wait({reading})

    asyncio.run(abandon())
    go_on.set()
    asyncio.run(assert_eventually(lambda: opened[0].closed))


async def test_what_a_dead_process_left_half_written_is_removed_by_its_age(
    blobs: Blobs, tmp_path: Path, clock: ManualClock
) -> None:
    mine = await blobs.create()
    await mine.write(b"x" * 1_000_000)
    incoming = tmp_path / "blobs" / "incoming"
    old, new = incoming / "old", incoming / "new"
    for path, age in ((old, 3601), (new, 3599)):
        path.write_bytes(b"half")
        at = clock.now().timestamp() - age
        os.utime(path, (at, at))
    (unfinished,) = [path for path in _files(tmp_path) if path not in (old, new)]
    os.utime(unfinished, (0, 0))
    assert [blob_id async for blob_id in blobs.older_than(clock.now() - timedelta(hours=1))] == []
    assert not old.exists()
    assert new.exists()
    # What is being written here stays, however old.
    await mine.commit()


async def test_a_cancelled_writer_can_be_aborted(blobs: Blobs, tmp_path: Path) -> None:
    writer = await blobs.create()
    writing = asyncio.ensure_future(writer.write(b"x" * 50_000_000))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait({writing})
    await writer.abort()
    assert _files(tmp_path) == []


async def test_memory_doesnt_grow_with_a_blobs_size(blobs: Blobs) -> None:
    chunk = bytes(1_000_000)
    tracemalloc.start()
    writer = await blobs.create()
    for _ in range(50):
        await writer.write(chunk)
    blob = await writer.commit()
    async for _ in blobs.open(blob.id):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


async def test_a_disk_that_cant_be_written_is_a_store_error(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "blobs").write_text("a file, where a directory should be")
    blobs = file_blobs(f"file://{tmp_path}/blobs", clock=clock)
    writer = await blobs.create()
    await writer.write(b"x")
    with pytest.raises(StoreError, match="can't be written"):
        await writer.commit()
    assert [blob_id async for blob_id in blobs.older_than(clock.now())] == []


@pytest.mark.parametrize("url", ["file://", "file://host/dir", "file:///dir?x=1", "file:///dir#x"])
def test_a_url_that_names_no_directory_is_rejected(url: str, clock: ManualClock) -> None:
    with pytest.raises(StoreError, match="names no directory"):
        file_blobs(url, clock=clock)


async def test_a_relative_url_is_a_directory_of_the_current_one(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blob = await put(file_blobs("file:kept%20here", clock=clock), b"x")
    assert (tmp_path / "kept here" / blob.id[:2] / blob.id[2:4] / blob.id).is_file()


_PUT = """
import asyncio, sys
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.blobs import put
from hookline_blobs.directory import file_blobs

asyncio.run(put(file_blobs(sys.argv[1], clock=ManualClock()), b"x" * 1000))
"""


@pytest.mark.parametrize(("side", "committed"), [("before", False), ("after", True)])
def test_a_blob_is_there_whole_or_not_at_all(side: str, committed: bool, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", _PUT, f"file://{tmp_path}/blobs"],
        env=os.environ | {"HOOKLINE_FAULT": f"blob.{side}_commit"},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    kept = [path for path in _files(tmp_path) if path.parent.name != "incoming"]
    assert [path.stat().st_size for path in kept] == ([1000] if committed else [])
