"""Commits whose callers have given up: withdrawn before their transaction begins, and in doubt after that."""

import asyncio
from collections.abc import Iterable

import pytest

from hookline.kernel.errors import StoreError
from hookline_sqlstore.databases import pending_commits as module
from hookline_sqlstore.databases.pending_commits import Pending, PendingCommits, within_limit
from hookline_sqlstore.writing.prepared_commit import Commit

pytestmark = pytest.mark.rule(38)


class Heard:
    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.failures: list[Commit] = []
        self.recoveries = 0

    def committed(self, commit: Commit) -> None:
        self.commits.append(commit)

    def failed(self, commit: Commit) -> None:
        self.failures.append(commit)

    def recovered(self) -> None:
        self.recoveries += 1

    def lost(self) -> None:
        raise AssertionError

    def ready(self, flow_ids: Iterable[str]) -> None:
        raise AssertionError(flow_ids)


@pytest.fixture(autouse=True)
def short_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 0.02)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def commits(heard: Heard) -> PendingCommits:
    return PendingCommits("the database", heard)


async def _given_up(commits: PendingCommits, *, begun: bool) -> Pending:
    pending = commits.add(Commit([], []))
    if begun:
        assert commits.begin([pending]) == [pending]
    with pytest.raises(StoreError, match=r"the database hasn't answered within 0\.02 s") as raised:
        await pending.done
    assert raised.value.in_doubt == begun
    return pending


async def test_a_commit_that_waits_is_withdrawn(commits: PendingCommits) -> None:
    first, second = await _given_up(commits, begun=False), commits.add(Commit([], []))
    assert commits.begin([first, second]) == [second]
    assert not commits.in_doubt
    commits.end([second], [None])


async def test_the_listener_hears_once_of_a_commit_that_is_withdrawn(commits: PendingCommits, heard: Heard) -> None:
    """It may have kept a place for what the commit brings, and the group of the commit may never begin."""
    first = await _given_up(commits, begun=False)
    assert heard.failures == [first.commit]
    # A group that fails before it begins still has the withdrawn ones.
    second = commits.add(Commit([], []))
    commits.fail([first, second], StoreError("no route to host"))
    with pytest.raises(StoreError, match="no route"):
        await second.done
    assert heard.failures == [first.commit, second.commit]


async def test_each_of_many_is_answered_at_its_own_time(commits: PendingCommits) -> None:
    answered: list[str] = []

    async def ask(name: str) -> None:
        with pytest.raises(StoreError):
            await commits.add(Commit([], [])).done
        answered.append(name)

    early = asyncio.ensure_future(ask("early"))
    await asyncio.sleep(0.01)
    await asyncio.gather(early, ask("late"))
    assert answered == ["early", "late"]


async def test_one_that_ends_leaves_the_limits_of_others_alone(commits: PendingCommits) -> None:
    first, second = commits.add(Commit([], [])), commits.add(Commit([], []))
    await asyncio.sleep(0.01)
    third = commits.add(Commit([], []))
    commits.end(commits.begin([first]), [None])
    for pending in (second, third):
        with pytest.raises(StoreError, match="hasn't answered"):
            await pending.done
    await asyncio.sleep(0.03)
    # After a while without commits, there is no timer any more.
    with pytest.raises(StoreError, match="hasn't answered"):
        await commits.add(Commit([], [])).done


async def test_what_is_stored_after_all_is_told_and_questions_wait_until_then(
    commits: PendingCommits, heard: Heard
) -> None:
    pending = await _given_up(commits, begun=True)
    waiting = asyncio.ensure_future(commits.settled())
    await asyncio.sleep(0)
    assert not waiting.done()
    commits.end([pending], [None])
    commits.works()
    await waiting
    assert heard.commits == [pending.commit]
    assert heard.recoveries == 1


async def test_the_end_of_another_transaction_ends_no_doubt(commits: PendingCommits) -> None:
    pending = await _given_up(commits, begun=True)
    commits.works()
    assert commits.in_doubt
    commits.fail([pending], StoreError("the disk is full"))
    commits.end_doubt()
    assert not commits.in_doubt


async def test_a_question_fails_while_the_outcome_cant_be_found_out(commits: PendingCommits) -> None:
    await _given_up(commits, begun=True)
    waiting = asyncio.ensure_future(commits.settled())
    await asyncio.sleep(0)
    commits.remain_in_doubt(StoreError("no route to host"))
    with pytest.raises(StoreError, match="no route"):
        await waiting
    assert commits.in_doubt


async def test_the_commit_of_a_cancelled_caller_can_be_in_doubt_too(commits: PendingCommits) -> None:
    pending = commits.add(Commit([], []))
    commits.begin([pending])
    pending.done.cancel()
    await asyncio.sleep(0.05)
    assert commits.in_doubt


async def test_after_a_failure_the_feeds_look_once_when_it_works_again(commits: PendingCommits, heard: Heard) -> None:
    for _ in range(3):
        pending = commits.add(Commit([], []))
        commits.begin([pending])
        commits.fail([pending], StoreError("the disk is full"))
        with pytest.raises(StoreError, match="full"):
            await pending.done
    for _ in range(3):
        commits.works()
    assert heard.recoveries == 1


async def test_a_question_that_ignores_its_cancellation_holds_nobody_up() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(0.1)
            except asyncio.CancelledError:
                await asyncio.sleep(0.1)
                return

    work = asyncio.ensure_future(stubborn())
    with pytest.raises(StoreError):
        await within_limit("the database", work, long=False)
    assert not work.done()
    await asyncio.wait((work,))
