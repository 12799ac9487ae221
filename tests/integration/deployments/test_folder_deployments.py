"""Deployments to a folder whose files people edit, and which git changes."""

import asyncio
import errno
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.deployments.admin_client import AdminClient, document
from tests.integration.engine_harness import SLEEPERS, Harness

from hookline.deployments import folder_flow_storage
from hookline.deployments.folder_flow_storage import FolderFlowStorage, StagedFiles
from hookline.storage.change_declarations import FilesWritten

CASES = {"cases": [{"name": "it runs", "input": {"body": {}}, "expect": {"outcome": "completed"}}]}


@pytest.fixture
async def api(harness: Harness) -> AsyncIterator[AdminClient]:
    async with opened(harness) as api:
        yield api


@asynccontextmanager
async def opened(harness: Harness, **options: Any) -> AsyncIterator[AdminClient]:
    async with harness.engine(**options) as engine:
        yield AdminClient(harness, engine)


def edit(api: AdminClient, given: Mapping[str, Any]) -> None:
    """Write a flow's file, as an editor does."""
    api.file(f"{given['id']}.json").write_text(json.dumps(given), encoding="utf-8")


def number_of(api: AdminClient, flow_id: str) -> int:
    """The number of the version that is active."""
    flow = api.engine.catalog.entries[flow_id].flow
    assert flow is not None
    found: int = json.loads(flow.source)["steps"][0]["with"]["body"]
    return found


async def authors(api: AdminClient) -> list[tuple[str, list[str]]]:
    """The author and the flows of each deployment, the newest first."""
    found = (await api.ask("GET", "deployments"))[1]["items"]
    return [(one["author"], [flow["flow_id"] for flow in one["flows"]]) for one in found]


@pytest.mark.parametrize("edited", [document("f", 1), document("f", title="edited"), {"id": "f", "steps": 1}])
async def test_an_edit_that_never_served_is_not_overwritten_unless_that_is_said(
    api: AdminClient, edited: Mapping[str, Any]
) -> None:
    await api.put(document("f", 3))
    await api.put(document("f"))
    edit(api, edited)
    before = await api.stands()
    for answer in (
        await api.put(document("f", 2)),
        await api.ask("DELETE", "flows/f"),
        await api.ask("POST", "deployments", {"flows": {"f": document("f", 2), "g": document("g")}}),
        await api.ask("POST", "flows/f/rollback"),
    ):
        assert (answer[0], answer[1]["code"]) == (409, "flow.unpublished_changes")
        assert "f.json" in answer[1]["detail"]
    assert await api.stands() == before
    assert (await api.put(document("f", 2), "?force=true"))[0] == 200
    assert json.loads(api.file("f.json").read_bytes()) == document("f", 2)
    assert number_of(api, "f") == 2


async def test_a_file_with_an_earlier_version_may_be_overwritten_since_that_is_kept(api: AdminClient) -> None:
    await api.put(document("f"))
    await api.put(document("f", 1))
    edit(api, document("f"))
    assert (await api.put(document("f", 2)))[0] == 200


async def test_a_file_that_is_edited_in_the_moment_of_a_deployment_stays_and_is_deployed_next(
    api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.deploy(document("f"), document("g"))
    finish = StagedFiles.finish

    async def edited(staged: StagedFiles) -> None:
        edit(api, document("f", 5))
        edit(api, document("g", 5))
        await finish(staged)

    monkeypatch.setattr(StagedFiles, "finish", edited)
    answer = await api.deploy(document("f", 1), message="mine")
    monkeypatch.undo()
    # The answer is true: the deployed version serves until the edited one does.
    assert number_of(api, "f") == 1
    assert number_of(api, "g") == 0
    assert json.loads(api.file("f.json").read_bytes()) == document("f", 5)
    assert await api.engine.version_switch.refresh()
    assert (number_of(api, "f"), number_of(api, "g")) == (5, 5)
    newest, mine, _ = (await api.ask("GET", "deployments"))[1]["items"]
    assert (newest["author"], mine["id"]) == ("folder", answer["deployment"]["id"])
    assert newest["flows"][0]["before"] == mine["flows"][0]["version"]


async def test_a_file_that_is_edited_while_its_flow_is_deleted_is_deployed_next(
    api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.put(document("f"))
    finish = StagedFiles.finish

    async def edited(staged: StagedFiles) -> None:
        edit(api, document("f", 5))
        await finish(staged)

    monkeypatch.setattr(StagedFiles, "finish", edited)
    assert (await api.ask("DELETE", "flows/f"))[0] == 200
    assert "f" not in api.engine.catalog.entries
    await api.engine.version_switch.refresh()
    assert number_of(api, "f") == 5


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
async def test_a_folder_that_cannot_be_written_gives_409_and_nothing_changes(
    api: AdminClient, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    await api.put(document("f"))
    before = await api.stands()

    def rejected(*_: Any, **__: Any) -> Any:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(folder_flow_storage, "NamedTemporaryFile", rejected)
    for answer in (
        await api.put(document("f", 1)),
        await api.put(document("new")),
        await api.ask("PUT", "flows/f/cases", CASES),
        await api.ask("POST", "deployments", {"flows": {"f": None, "new": document("new")}}),
    ):
        assert (answer[0], answer[1]["code"]) == (409, "flow.folder_read_only")
        assert str(api.file("").resolve()) in answer[1]["detail"]
        assert os.strerror(code) in answer[1]["detail"]
    assert await api.stands() == before


async def test_a_folder_that_may_not_be_written_gives_409_also_for_a_flow_that_is_deleted(
    api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files aren't written then, so that the system can't say so."""
    await api.put(document("f"))
    before = await api.stands()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    status, problem = await api.ask("DELETE", "flows/f")
    assert (status, problem["code"]) == (409, "flow.folder_read_only")
    assert await api.stands() == before


async def test_a_full_disk_gives_503_and_leaves_nothing(api: AdminClient, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.put(document("f"))
    before = await api.stands()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert (await api.put(document("f", 1)))[0] == 503
    assert await api.stands() == before


@pytest.mark.parametrize("again", ["the same server", "the next start"])
async def test_files_that_could_not_be_written_are_written_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """They are deployed, although the answer was an error; then they serve."""

    def failing(*_: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with opened(harness) as api:
        await api.deploy(document("f"), document("g"))
        monkeypatch.setattr(FolderFlowStorage, "_write", failing)
        status, _ = await api.ask("POST", "deployments", {"flows": {"f": document("f", 1), "g": None}})
        assert status == 503
        monkeypatch.undo()
        if again == "the same server":
            assert await api.engine.version_switch.refresh()
            await written(api)
    if again == "the next start":
        async with opened(harness) as api:
            await written(api)


async def written(api: AdminClient) -> None:
    assert number_of(api, "f") == 1
    assert [file.name for file in api.file("").iterdir()] == ["f.json"]
    assert await authors(api) == [("token:admin", ["f", "g"]), ("token:admin", ["f", "g"])]
    assert not await api.engine.store.unwritten_files()


async def test_an_edit_after_a_crash_wins_over_the_text_that_was_not_written(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def died(_: StagedFiles) -> None:
        raise OSError("the process is gone")

    async with opened(harness) as api:
        await api.deploy(document("f"), document("g"))
        monkeypatch.setattr(StagedFiles, "finish", died)
        await api.ask("POST", "deployments", {"flows": {"f": document("f", 1), "g": document("g", 1)}})
        monkeypatch.undo()
        edit(api, document("f", 5))
    async with opened(harness) as api:
        assert (number_of(api, "f"), number_of(api, "g")) == (5, 1)
        assert sorted(file.name for file in api.file("").iterdir()) == ["f.json", "g.json"]
        assert (await authors(api))[0] == ("folder", ["f"])


async def test_a_flow_in_a_file_of_another_name_is_not_deployed_beside_it(api: AdminClient) -> None:
    """Two files with one id would both stop serving."""
    api.file("other.json").write_text(json.dumps(document("f")), encoding="utf-8")
    await api.engine.version_switch.refresh()
    before = await api.stands()
    for query in ("", "?force=true"):
        status, problem = await api.put(document("f", 1), query)
        assert status == 409
        assert "other.json" in problem["detail"]
    assert await api.stands() == before


@pytest.mark.rule(48)
@pytest.mark.parametrize("when", ["while it runs", "before its start"])
async def test_a_title_that_is_edited_is_a_deployment_by_the_folder(harness: Harness, when: str) -> None:
    async with opened(harness) as api:
        await api.put(document("f", title="first"))
        edit(api, document("f", title="second"))
        if when == "while it runs":
            await api.engine.version_switch.refresh()
            await is_second(api)
    if when == "before its start":
        # Ids of two processes have no order within a millisecond.
        harness.clock.advance(1)
        async with opened(harness) as api:
            await is_second(api)


async def is_second(api: AdminClient) -> None:
    assert (await api.ask("GET", "flows/f/versions/current"))[1]["document"]["title"] == "second"
    entries = (await api.engine.store.audit()).items
    assert [str(entry.actor) for entry in entries] == ["folder", "token:admin"]
    assert (await authors(api))[0] == ("folder", ["f"])
    before = await api.stands()
    await api.engine.version_switch.refresh()
    assert await api.stands() == before


async def test_a_file_that_is_only_formatted_is_no_deployment(api: AdminClient) -> None:
    await api.put(document("f", title="t"))
    edit(api, dict(reversed(document("f", title="t").items())))
    assert await api.engine.version_switch.refresh()
    assert len(await authors(api)) == 1


def lock(api: AdminClient) -> Path:
    """The lock that git holds while it changes the files."""
    api.file(".git").mkdir(exist_ok=True)
    made = api.file(".git") / "index.lock"
    made.touch()
    return made


async def test_nothing_is_deployed_while_git_has_its_lock(api: AdminClient) -> None:
    await api.deploy(document("f"), document("g"))
    held = lock(api)
    edit(api, document("f", 1))
    before = (await authors(api), number_of(api, "f"))
    assert not await api.engine.version_switch.refresh()
    assert (await authors(api), number_of(api, "f")) == before
    edit(api, document("g", 1))
    held.unlink()
    assert await api.engine.version_switch.refresh()
    assert (number_of(api, "f"), number_of(api, "g")) == (1, 1)
    assert (await authors(api))[0] == ("folder", ["f", "g"])


async def test_a_deployment_over_the_api_waits_for_git_and_then_gives_409(api: AdminClient, harness: Harness) -> None:
    await api.put(document("f"))
    held = lock(api)
    waits = asyncio.create_task(api.put(document("f", 1)))
    await harness.clock.until_sleeping(SLEEPERS + 1)
    held.unlink()
    harness.clock.advance(1)
    assert (await waits)[0] == 200
    held = lock(api)
    before = await authors(api)
    gives_up = asyncio.create_task(api.put(document("f", 2)))
    while not gives_up.done():
        harness.clock.advance(1)
        await asyncio.sleep(0.01)
    status, problem = gives_up.result()
    assert (status, problem["code"]) == (409, "flow.folder_busy")
    assert str(held) in problem["detail"]
    assert await authors(api) == before


async def test_a_start_in_the_middle_of_a_pull_serves_what_was_deployed_last(harness: Harness) -> None:
    async with opened(harness) as api:
        await api.deploy(document("f"), document("g"), document("gone"))
        held = lock(api)
        edit(api, document("f", 1))
        edit(api, document("new"))
        api.file("gone.json").unlink()
    async with opened(harness) as api:
        assert sorted(api.engine.catalog.entries) == ["f", "g", "gone"]
        assert number_of(api, "f") == 0
        assert len(await authors(api)) == 1
        edit(api, document("g", 1))
        held.unlink()
        assert await api.engine.version_switch.refresh()
        assert sorted(api.engine.catalog.entries) == ["f", "g", "new"]
        assert (number_of(api, "f"), number_of(api, "g")) == (1, 1)
        assert (await authors(api))[0] == ("folder", ["f", "g", "gone", "new"])


async def test_what_was_edited_before_a_start_is_deployed_once_git_has_released_its_lock(harness: Harness) -> None:
    async with opened(harness) as api:
        await api.deploy(document("f"))
        held = lock(api)
        edit(api, document("f", 1))
    async with opened(harness) as api:
        assert number_of(api, "f") == 0
        held.unlink()
        async with asyncio.timeout(10):
            while number_of(api, "f") == 0:
                harness.clock.advance(1)
                await asyncio.sleep(0.01)
        assert await authors(api) == [("folder", ["f"]), ("token:admin", ["f"])]


async def test_a_git_command_that_ends_while_the_files_are_read_is_not_deployed_by_half(
    api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.deploy(document("f"), document("g"))
    edit(api, document("f", 1))

    def released(_directory: Path) -> None:
        edit(api, document("g", 1))

    monkeypatch.setattr(folder_flow_storage, "git_lock", released)
    assert not await api.engine.version_switch.refresh()
    monkeypatch.undo()
    assert (number_of(api, "f"), number_of(api, "g")) == (0, 0)
    assert await api.engine.version_switch.refresh()
    assert (await authors(api))[0] == ("folder", ["f", "g"])


async def test_a_server_goes_on_with_the_same_flows_in_the_database_and_back_in_the_folder(harness: Harness) -> None:
    async with opened(harness) as api:
        await api.deploy(document("f"), document("g"))
        executed = await harness.send(api.engine, "f", 1)
        await harness.until(api.engine, executed)
    async with opened(harness, flows=None) as api:
        assert sorted(api.engine.catalog.entries) == ["f", "g"]
        assert len(await authors(api)) == 1
        # The files say nothing now.
        edit(api, document("f", 7))
        assert await api.engine.version_switch.refresh()
        await api.deploy(document("f", 1), document("new"))
        assert json.loads(api.file("f.json").read_bytes()) == document("f", 7)
        assert (await api.ask("GET", "flows/f"))[1]["file"] is None
    async with opened(harness) as api:
        # Back in the folder, its files count: they are a deployment, with the history of both.
        assert sorted(api.engine.catalog.entries) == ["f", "g"]
        assert number_of(api, "f") == 7
        assert await authors(api) == [
            ("folder", ["f", "new"]),
            ("token:admin", ["f", "new"]),
            ("token:admin", ["f", "g"]),
        ]
        second = (await api.ask("GET", "deployments"))[1]["items"][1]
        assert (await api.ask("POST", f"deployments/{second['id']}/rollback"))[0] == 200
        assert sorted(file.name for file in api.file("").iterdir()) == ["f.json", "g.json", "new.json"]


async def test_texts_that_are_written_are_not_written_again(api: AdminClient) -> None:
    """A text that is no longer wanted doesn't come back."""
    await api.put(document("f"))
    await api.put(document("f", 1))
    await api.engine.store.commit([FilesWritten((("f", "flow"),))])
    edit(api, document("f"))
    await api.engine.deployer.recover()
    assert json.loads(api.file("f.json").read_bytes()) == document("f")


async def test_deployments_stay_in_order_if_the_clock_is_set_back_before_a_start(harness: Harness) -> None:
    """The set of flows after each of them follows from their order."""
    async with opened(harness) as api:
        await api.deploy(document("f"))
        first = (await api.deploy(document("f", 1)))["deployment"]["id"]
    harness.clock.advance(-3600)
    async with opened(harness) as api:
        await api.deploy(document("f", 2))
        edit(api, document("g"))
        await api.engine.version_switch.refresh()
        assert await authors(api) == [("folder", ["g"]), *[("token:admin", ["f"])] * 3]
        assert (await api.ask("POST", f"deployments/{first}/rollback"))[0] == 200
        assert number_of(api, "f") == 1
        assert "g" not in api.engine.catalog.entries


async def test_cases_that_cannot_be_read_give_503(api: AdminClient) -> None:
    await api.put(document("f"))
    api.file("f.test.json").mkdir()
    for answer in (await api.ask("GET", "flows/f/cases"), await api.put(document("f", 1))):
        assert answer[0] == 503
    assert "f.test.json" in (await api.ask("GET", "flows/f/cases"))[1]["detail"]
    assert number_of(api, "f") == 0


async def test_a_file_that_is_edited_after_it_was_checked_is_not_replaced(
    api: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text that may be replaced is the one that was checked, and not the one that is there when it is drafted."""
    await api.put(document("f"))
    draft = FolderFlowStorage._stage

    def edited(storage: FolderFlowStorage, *given: Any) -> Any:
        edit(api, document("f", 5))
        return draft(storage, *given)

    monkeypatch.setattr(FolderFlowStorage, "_stage", edited)
    assert (await api.put(document("f", 1)))[0] == 200
    monkeypatch.undo()
    assert json.loads(api.file("f.json").read_bytes()) == document("f", 5)
    await api.engine.version_switch.refresh()
    assert number_of(api, "f") == 5


async def test_a_pipe_in_the_folder_keeps_nobody_waiting(api: AdminClient) -> None:
    await api.put(document("f", 1))
    os.mkfifo(api.file("pipe.json"))
    os.mkfifo(api.file("f.test.json"))
    async with asyncio.timeout(10):
        assert await api.engine.version_switch.refresh()
        found = (await api.ask("GET", "flows/pipe"))[1]
        assert [problem["message"] for problem in found["problems"]] == [
            "the file can't be read: it is a pipe or a device"
        ]
        status, answer = await api.ask("GET", "flows/f/cases")
        assert status == 503
        assert answer["detail"].endswith("f.test.json can't be read: it is a pipe or a device")
        assert (await api.put(document("g")))[0] == 201
        assert number_of(api, "f") == 1
