"""Changes of a folder's flow files are noticed: real files, and the system's own notices."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hookline.catalog import flow_folder as files
from hookline.catalog.flow_folder import FileStamp, stamps, watch

WAIT = 20.0
"""Seconds after which a change that should be noticed wasn't."""
_NOBODY = 65534


def replace(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
async def changes(tmp_path: Path) -> AsyncIterator[AsyncIterator[None]]:
    """Watches `tmp_path/flows`, and has yielded for the first time."""
    async with aclosing(watch(tmp_path / "flows", every=0.2)) as notices:
        await anext(notices)
        yield notices


async def noticed(changes: AsyncIterator[None]) -> None:
    async with asyncio.timeout(WAIT):
        await anext(changes)


async def test_it_yields_at_once_and_then_for_each_change(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1")
    async with aclosing(watch(tmp_path, every=0.2)) as changes:
        await noticed(changes)
        (tmp_path / "b.json").write_text("1")
        await noticed(changes)
        replace(tmp_path / "a.json", "2")
        await noticed(changes)
        (tmp_path / "a.json").unlink()
        await noticed(changes)


async def test_the_system_tells_of_changes(tmp_path: Path) -> None:
    async with aclosing(watch(tmp_path, every=600)) as changes:
        await noticed(changes)
        notice = asyncio.ensure_future(anext(changes))
        async with asyncio.timeout(WAIT):
            # When the system's watch begins can't be seen from here; a later change is seen by it.
            for turn in range(1000):
                replace(tmp_path / "a.json", "x" * turn)
                if (await asyncio.wait({notice}, timeout=0.1))[0]:
                    break
        assert notice.done()
        replace(tmp_path / "a.json", "")
        await noticed(changes)


async def test_a_change_before_the_watch_begins_is_not_missed(tmp_path: Path) -> None:
    async with aclosing(watch(tmp_path, every=0.2)) as changes:
        await noticed(changes)
        # The system's watch begins with the next step, after this.
        (tmp_path / "a.json").write_text("1")
        await noticed(changes)


async def test_what_the_caller_has_read_and_was_undone_is_a_change(tmp_path: Path) -> None:
    known: dict[str, FileStamp] = {}
    (tmp_path / "b.json").write_text("1")
    async with aclosing(watch(tmp_path, lambda: known, every=0.2)) as changes:
        await noticed(changes)
        known = stamps(tmp_path)
        # The caller reads it before the next look, and it is removed.
        (tmp_path / "a.json").write_text("1")
        known = stamps(tmp_path)
        (tmp_path / "a.json").unlink()
        await noticed(changes)
        known = stamps(tmp_path)
        notice = asyncio.ensure_future(anext(changes))
        assert not (await asyncio.wait({notice}, timeout=0.5))[0]
        notice.cancel()
        await asyncio.wait({notice})


async def test_files_that_the_caller_has_read_are_no_change_at_first(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1")
    known = stamps(tmp_path)
    async with aclosing(watch(tmp_path, lambda: known, every=0.2)) as changes:
        notice = asyncio.ensure_future(anext(changes))
        assert not (await asyncio.wait({notice}, timeout=0.5))[0]
        replace(tmp_path / "a.json", "22")
        async with asyncio.timeout(WAIT):
            await notice


async def test_other_files_are_no_change(tmp_path: Path) -> None:
    async with aclosing(watch(tmp_path, every=0.2)) as changes:
        await noticed(changes)
        notice = asyncio.ensure_future(anext(changes))
        for name in ("a.test.json", "flow.schema.json", "notes.txt", ".a.json"):
            (tmp_path / name).write_text("1")
        done, _ = await asyncio.wait({notice}, timeout=1)
        assert not done
        (tmp_path / "a.json").write_text("1")
        async with asyncio.timeout(WAIT):
            await notice


async def test_a_folder_that_appears_later_is_watched(tmp_path: Path, changes: AsyncIterator[None]) -> None:
    notice = asyncio.ensure_future(anext(changes))
    flows = tmp_path / "flows"
    flows.mkdir()
    (flows / "a.json").write_text("1")
    async with asyncio.timeout(WAIT):
        await notice
    replace(flows / "a.json", "22")
    await noticed(changes)


async def test_a_folder_may_be_replaced(tmp_path: Path, changes: AsyncIterator[None]) -> None:
    flows = tmp_path / "flows"
    for text in ("1", "22", "333"):
        flows.mkdir()
        (flows / "a.json").write_text(text)
        await noticed(changes)
        (flows / "a.json").unlink()
        flows.rmdir()
        await noticed(changes)


async def test_a_folder_behind_a_link_is_watched_through_switches_of_the_link(tmp_path: Path) -> None:
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.json").write_text(version)
    flows = tmp_path / "flows"
    flows.symlink_to("one")
    async with aclosing(watch(flows, every=0.2)) as changes:
        await noticed(changes)
        fresh = tmp_path / "fresh"
        fresh.symlink_to("two")
        fresh.replace(flows)
        await noticed(changes)
        replace(tmp_path / "two" / "a.json", "three")
        await noticed(changes)


async def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    stop = asyncio.Event()
    changes = watch(tmp_path, stop=stop)
    await noticed(changes)
    stop.set()
    async with asyncio.timeout(WAIT):
        with pytest.raises(StopAsyncIteration):
            await anext(changes)


async def test_it_can_be_cancelled(tmp_path: Path) -> None:
    changes = watch(tmp_path)
    await noticed(changes)
    notice = asyncio.ensure_future(anext(changes))
    await asyncio.wait({notice}, timeout=0.1)
    notice.cancel()
    with pytest.raises(asyncio.CancelledError):
        await notice


async def test_a_folder_that_cannot_be_read_has_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text("1")
    readable = True

    def stamps(directory: Path) -> dict[str, FileStamp]:
        if readable:
            return original(directory)
        raise PermissionError(13, "Permission denied", str(directory))

    original = files.stamps
    monkeypatch.setattr("hookline.catalog.flow_folder.stamps", stamps)
    async with aclosing(watch(tmp_path, every=0.1)) as changes:
        await noticed(changes)
        notice = asyncio.ensure_future(anext(changes))
        readable = False
        (tmp_path / "a.json").write_text("22")
        assert not (await asyncio.wait({notice}, timeout=0.5))[0]
        readable = True
        async with asyncio.timeout(WAIT):
            await notice


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, and root may read everything")
async def test_a_folder_without_permission_is_watched_until_it_can_be_read() -> None:
    # Every user may reach it: pytest's own folders are for one user.
    with TemporaryDirectory(dir="/tmp") as name:
        flows = Path(name)
        (flows / "a.json").write_text("1")
        known = stamps(flows)
        os.chown(flows, _NOBODY, _NOBODY)
        flows.chmod(0)
        os.seteuid(_NOBODY)
        try:
            async with aclosing(watch(flows, lambda: known, every=0.2)) as changes:
                notice = asyncio.ensure_future(anext(changes))
                assert not (await asyncio.wait({notice}, timeout=0.5))[0]
                flows.chmod(0o700)
                replace(flows / "a.json", "22")
                async with asyncio.timeout(WAIT):
                    await notice
        finally:
            os.seteuid(0)
