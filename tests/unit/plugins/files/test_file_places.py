"""`file.list`, `file.exists`, `file.delete`, `file.move` and `file.copy`: files under the folder for files alone."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.unit.plugins.action_calls import call
from tests.unit.plugins.files.test_files import ACTIONS, PATHS_OUT, everything, failure, use

from hookline.api import StepError
from hookline_files.file_actions import move_and_copy as relocate


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


async def test_files_are_listed_by_path(tmp_path: Path) -> None:
    for name in ("in/b.csv", "in/a.csv", "in/c.txt", "in/.hidden.csv", "in/deep/d.csv", "e.csv"):
        put(tmp_path / name, name)
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "e.csv")
    os.mkfifo(tmp_path / "in" / "pipe.csv")
    found = await use("file.list", tmp_path, folder="in", pattern="*.csv")
    assert [(one["path"], one["name"], one["size"]) for one in found] == [
        ("in/a.csv", "a.csv", 8),
        ("in/b.csv", "b.csv", 8),
    ]
    assert found[0]["modified_at"].endswith("Z")
    deep = await use("file.list", tmp_path, pattern="*.csv", recursive=True)
    assert [one["path"] for one in deep] == ["e.csv", "in/a.csv", "in/b.csv", "in/deep/d.csv"]
    error = await failure("file.list", tmp_path, folder="in", max_files=2)
    assert (error.error_code, "more than 2 files" in error.message) == ("file.too_many", True)
    assert (await failure("file.list", tmp_path, folder="no")).error_code == "file.system"


async def test_names_that_no_result_can_hold_are_left_out_with_a_warning(tmp_path: Path) -> None:
    put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.csv")))
    put(tmp_path / "good.csv")
    with structlog.testing.capture_logs() as logs:
        found = await call(ACTIONS["file.list"], {}, files_root=tmp_path, log=structlog.get_logger())
    assert [one["path"] for one in found] == ["good.csv"]
    assert [(one["count"], one["first"]) for one in logs] == [(1, "bad\\xff.csv")]


async def test_a_file_is_looked_for(tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.csv", "12")
    (tmp_path / "link").symlink_to(tmp_path / "in" / "a.csv")
    there = await use("file.exists", tmp_path, path="in/a.csv")
    assert (there["exists"], there["size"]) == (True, 2)
    for path in ("in", "link", "no", "in/a.csv/b", "no/b"):
        assert await use("file.exists", tmp_path, path=path) == {"exists": False}, path


async def test_a_file_is_deleted_and_a_folder_is_not(tmp_path: Path) -> None:
    kept = put(tmp_path / "kept")
    (tmp_path / "link").symlink_to(kept)
    put(tmp_path / "in" / "a")
    assert await use("file.delete", tmp_path, path="in/a") == {"path": "in/a", "deleted": True}
    assert await use("file.delete", tmp_path, path="in/a") == {"path": "in/a", "deleted": False}
    assert await use("file.delete", tmp_path, path="link") == {"path": "link", "deleted": True}
    assert (await failure("file.delete", tmp_path, path="in")).error_code == "file.system"
    assert everything(tmp_path) == {"kept": b"x"}
    assert (tmp_path / "in").is_dir()


@pytest.mark.parametrize("name", ["file.move", "file.copy"])
async def test_a_file_comes_to_another_place_and_replaces_nothing_unasked(tmp_path: Path, name: str) -> None:
    put(tmp_path / "in" / "a", "12")
    assert await use(name, tmp_path, path="in/a", to="done/deep/b") == {"path": "done/deep/b", "size": 2}
    left = {} if name == "file.move" else {"in/a": b"12"}
    assert everything(tmp_path) == {**left, "done/deep/b": b"12"}
    put(tmp_path / "in" / "a", "345")
    error = await failure(name, tmp_path, path="in/a", to="done/deep/b")
    assert (error.error_code, error.retryable) == ("file.exists", False)
    assert everything(tmp_path) == {"in/a": b"345", "done/deep/b": b"12"}
    await use(name, tmp_path, path="in/a", to="done/deep/b", replace=True)
    assert (tmp_path / "done" / "deep" / "b").read_text() == "345"
    assert (await failure(name, tmp_path, path="no", to="b")).error_code == "file.system"
    put(tmp_path / "c")
    assert (await failure(name, tmp_path, path="c", to="done", replace=True)).error_code == "file.path"
    assert await use(name, tmp_path, path="c", to="c") == {"path": "c", "size": 1}
    assert (tmp_path / "c").read_text() == "x"


@pytest.mark.parametrize("name", ["file.move", "file.copy"])
async def test_an_attempt_that_was_interrupted_is_gone_on_with(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        if name == "file.copy" or not (tmp_path / "b").exists():
            put(tmp_path / "a", "12")
        assert await use(name, tmp_path, path="a", to="b") == {"path": "b", "size": 2}
    # Linked, and not unlinked yet; and a draft that was left.
    (tmp_path / "a").unlink(missing_ok=True)
    (tmp_path / "a").hardlink_to(tmp_path / "b")
    put(tmp_path / ".hookline-k1", "half")
    assert await use(name, tmp_path, path="a", to="b") == {"path": "b", "size": 2}
    assert (tmp_path / "a").exists() is (name == "file.copy")


@pytest.mark.parametrize("replace", [True, False])
async def test_a_file_is_moved_to_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool) -> None:
    def elsewhere(self: Path, other: Path) -> None:
        raise OSError(errno.EXDEV, "another disk")

    put(tmp_path / "a", "12")
    real = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda self, to: real(self, to) if self.name.startswith(".") else elsewhere(self, to)
    )
    real_link = Path.hardlink_to
    monkeypatch.setattr(
        Path, "hardlink_to", lambda self, to: real_link(self, to) if to.name.startswith(".") else elsewhere(self, to)
    )
    assert await use("file.move", tmp_path, path="a", to="b", replace=replace) == {"path": "b", "size": 2}
    assert everything(tmp_path) == {"b": b"12"}


@pytest.mark.parametrize("path", PATHS_OUT)
async def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    outside = put(tmp_path / "outside" / "secret")
    root = tmp_path / "root"
    put(root / "in")
    (root / "away").symlink_to(outside.parent)
    uses: tuple[tuple[str, dict[str, Any]], ...] = (
        ("file.exists", {"path": path}),
        ("file.delete", {"path": path}),
        ("file.move", {"path": path, "to": "b"}),
        ("file.move", {"path": "in", "to": path}),
        ("file.copy", {"path": path, "to": "b"}),
        ("file.copy", {"path": "in", "to": path}),
    )
    for name, values in uses:
        error = await failure(name, root, **values)
        assert error.error_code == "file.path", (name, values)
    for name, values in uses:
        values = {key: "away/secret" if value == path else value for key, value in values.items()}
        assert (await failure(name, root, **values)).error_code == "file.path"
    assert (await failure("file.list", root, folder="away")).error_code == "file.system"
    assert outside.read_text() == "x"
    assert everything(root) == {"in": b"x"}


async def test_a_link_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(put(tmp_path / "a"))
    for name in ("file.move", "file.copy"):
        with pytest.raises(StepError, match="no such file"):
            await use(name, tmp_path, path="link", to="b")
    assert relocate._is_file(tmp_path / "link") is False
