"""`file.new`: which files of a folder count, and when they are new."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from hookline.api import PollContext, PollResult, StepError
from hookline_files import register_connectors
from hookline_files.file_actions import new_files_trigger as new

NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
TRIGGER = next(connector.polls["file.new"] for connector in register_connectors() if connector.polls)


def put(path: Path, text: str = "x", *, age: float = 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = (NOW - timedelta(seconds=age)).timestamp()
    os.utime(path, (at, at))
    return path


async def look(root: Path | None, cursor: Any = None, *, baseline: bool = False, **settings: Any) -> PollResult:
    given = TRIGGER.settings.model_validate(settings)
    log = structlog.get_logger()
    ctx: Any = PollContext(None, None, None, log, None, "f", NOW, files_root=root, baseline=baseline)  # type: ignore[arg-type]
    assert TRIGGER.run is not None
    return await TRIGGER.run(ctx=ctx, cursor=cursor, **TRIGGER.arguments(given))


def paths(polled: PollResult) -> list[str]:
    return [item.body["path"] for item in polled.items]


async def test_a_new_file_is_told_of_with_what_a_step_needs_to_read_it(tmp_path: Path) -> None:
    put(tmp_path / "in" / "orders.csv", "a,b\n")
    (item,) = (await look(tmp_path, folder="in")).items
    assert item.body == {
        "path": "in/orders.csv",
        "name": "orders.csv",
        "size": 4,
        "modified_at": "2026-01-31T07:59:00.000000Z",
    }


async def test_a_file_comes_again_once_it_has_changed(tmp_path: Path) -> None:
    put(tmp_path / "a", age=60)
    put(tmp_path / "b", age=90)
    first = await look(tmp_path)
    assert paths(first) == ["b", "a"], "those that changed longest ago first"
    assert paths(await look(tmp_path, first.cursor)) == []
    put(tmp_path / "a", age=30)
    second = await look(tmp_path, first.cursor)
    assert paths(second) == ["a"]
    (tmp_path / "a").unlink()
    third = await look(tmp_path, second.cursor)
    put(tmp_path / "a", age=30)
    assert paths(await look(tmp_path, third.cursor)) == ["a"], "it was gone, and is there again"


@pytest.mark.rule(45)
async def test_files_that_were_there_before_are_not_new_unless_the_flow_says_so(tmp_path: Path) -> None:
    put(tmp_path / "old")
    put(tmp_path / "just written", age=1)
    first = await look(tmp_path, baseline=True)
    put(tmp_path / "young")
    assert paths(first) == []
    assert paths(await look(tmp_path, first.cursor, settled="0s")) == ["young"]


async def test_a_file_that_is_still_being_written_does_not_count(tmp_path: Path) -> None:
    put(tmp_path / "growing", age=4)
    assert paths(await look(tmp_path)) == []
    assert paths(await look(tmp_path, settled="3s")) == ["growing"]


async def test_names_that_no_message_can_hold_are_left_out_with_one_warning(tmp_path: Path) -> None:
    for name in (b"bad\xff.csv", b"bad\xfe.csv", b"bad\xff.txt", b"bad\xff/in.csv"):
        put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    put(tmp_path / "gööd.csv")
    with structlog.testing.capture_logs() as logs:
        assert paths(await look(tmp_path, pattern="good*")) == []
        assert logs == []
        assert paths(await look(tmp_path, pattern="*.csv", recursive=True)) == ["gööd.csv"]
    (warning,) = logs
    assert (warning["log_level"], warning["count"]) == ("warning", 3)
    assert warning["first"] in {"bad\\xff.csv", "bad\\xfe.csv", "bad\\xff"}


async def test_patterns_folders_and_hidden_names(tmp_path: Path) -> None:
    for name in ("a.csv", "a.txt", ".hidden.csv", "deep/b.csv", ".git/c.csv"):
        put(tmp_path / name)
    assert paths(await look(tmp_path, pattern="*.csv")) == ["a.csv"]
    assert paths(await look(tmp_path, pattern="*.csv", recursive=True)) == ["a.csv", "deep/b.csv"]
    assert paths(await look(tmp_path, pattern=".h*")) == [".hidden.csv"]


async def test_links_lead_nowhere(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside" / "secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").symlink_to(outside)
    (root / "folder").symlink_to(outside.parent)
    os.mkfifo(root / "pipe")
    assert paths(await look(root, recursive=True)) == []
    for folder in ("folder", "../outside", "/etc"):
        with pytest.raises(StepError) as caught:
            await look(root, folder=folder)
        assert caught.value.error_code in ("file.system", "file.path")


async def test_what_cannot_be_looked_at_says_why(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="No such file"):
        await look(tmp_path, folder="missing")
    with pytest.raises(StepError, match="HOOKLINE_FILES"):
        await look(None)


async def test_a_folder_of_too_many_files_is_rejected_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new, "FILES", 2)
    for name in "abc":
        put(tmp_path / name)
    with pytest.raises(StepError, match="more than 2 files") as caught:
        await look(tmp_path)
    assert caught.value.error_code == "file.too_many"
    assert paths(await look(tmp_path, pattern="[ab]")) == ["a", "b"]
