"""A folder is settled when nobody changes it: nothing changes for a second, and git has no lock."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest
import structlog

from hookline.catalog import settled_folder
from hookline.catalog.settled_folder import SettledFolder, git_lock
from hookline.kernel.errors import FolderBusy
from hookline.testing.clock import ManualClock


class Waiter:
    """Waits for a folder, in steps of the time between two looks."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.settled = SettledFolder(folder, self.clock, structlog.get_logger())
        self.task = asyncio.create_task(self.settled.wait())

    async def passes(self, seconds: float) -> bool:
        """Let time pass; return true if the folder is settled then."""
        for _ in range(round(seconds / 0.2)):
            # A turn to begin, and one to look.
            for _ in range(5):
                await asyncio.sleep(0)
            self.clock.advance(0.2)
        for _ in range(5):
            await asyncio.sleep(0)
        return self.task.done()


async def test_a_folder_is_settled_a_second_after_the_last_change(tmp_path: Path) -> None:
    waiter = Waiter(tmp_path)
    for number in range(5):
        assert not await waiter.passes(0.8)
        (tmp_path / f"f{number}.json").write_text("{}", encoding="utf-8")
    # Other files aren't flows.
    assert not await waiter.passes(0.8)
    (tmp_path / "README.md").write_text("", encoding="utf-8")
    assert await waiter.passes(0.6)


@pytest.mark.parametrize("flows", [".", "server/flows"])
async def test_a_folder_is_not_settled_while_git_has_its_lock(tmp_path: Path, flows: str) -> None:
    """The repository may have the folder somewhere inside."""
    folder, lock = tmp_path / flows, tmp_path / ".git" / "index.lock"
    folder.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir()
    lock.touch()
    with structlog.testing.capture_logs() as log:
        waiter = Waiter(folder)
        assert not await waiter.passes(9)
        assert log == []
        assert not await waiter.passes(50)
        (line,) = log
        assert (line["log_level"], line["lock"]) == ("error", str(lock))
        assert not await waiter.passes(60)
        assert len(log) == 2
        lock.unlink()
        assert not await waiter.passes(0.8)
        assert await waiter.passes(0.6)
    assert [line["log_level"] for line in log] == ["error", "error", "info"]


async def test_a_linked_working_tree_has_its_own_lock(tmp_path: Path) -> None:
    """Its `.git` is a file that names the folder of its index, absolutely or not."""
    for number, place in enumerate([str(tmp_path / "r" / "w0"), "../r/w1"]):
        tree, own = tmp_path / f"tree{number}", tmp_path / "r" / f"w{number}"
        tree.mkdir()
        own.mkdir(parents=True)
        (tree / ".git").write_text(f"gitdir: {place}\n", encoding="utf-8")
        assert git_lock(tree) is None
        (own / "index.lock").touch()
        found = git_lock(tree)
        assert found is not None
        assert found.resolve() == own / "index.lock"


@pytest.mark.parametrize("content", [b"\xff", b"nothing", b""])
async def test_a_file_named_git_that_says_nothing_is_no_repository(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)
    assert git_lock(tmp_path) is None


async def test_a_deployment_waits_for_git_for_ten_seconds(tmp_path: Path) -> None:
    lock: Any = tmp_path / ".git" / "index.lock"
    lock.parent.mkdir()
    lock.touch()
    clock = ManualClock()
    task = asyncio.create_task(SettledFolder(tmp_path, clock, structlog.get_logger()).wait_for_git())
    for _ in range(60):
        assert not task.done() or clock.monotonic() > 10
        clock.advance(0.2)
        for _ in range(5):
            await asyncio.sleep(0)
    with pytest.raises(FolderBusy, match="remove it if git has died"):
        task.result()


async def test_a_folder_that_cannot_be_read_is_settled_so_that_its_reader_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: Path) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(settled_folder, "stamps", unreadable)
    monkeypatch.setattr(settled_folder, "_lock_in", unreadable)
    waiter = Waiter(tmp_path)
    assert not await waiter.passes(0.8)
    assert await waiter.passes(0.6)
    assert waiter.task.exception() is None
