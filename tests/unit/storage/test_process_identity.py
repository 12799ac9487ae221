"""The identity of processes: one that lives is never called ended, however little of it can be seen."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hookline.storage import process_identity as module
from hookline.storage.process_identity import has_ended, process_identity

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def other() -> "Iterator[subprocess.Popen[bytes]]":
    child = subprocess.Popen(SLEEP)
    yield child
    child.kill()
    child.wait()


def _identity(pid: int) -> str:
    found = process_identity(pid)
    assert found is not None
    return found


def test_a_process_that_runs_has_not_ended(other: "subprocess.Popen[bytes]") -> None:
    assert not has_ended(_identity(os.getpid()))
    assert not has_ended(_identity(other.pid))


def test_a_process_that_was_killed_has_ended_before_and_after_its_parent_knows(
    other: "subprocess.Popen[bytes]",
) -> None:
    identity = _identity(other.pid)
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(identity)
    other.wait()
    assert has_ended(identity)


def test_a_process_whose_number_another_one_has_now_has_ended(other: "subprocess.Popen[bytes]") -> None:
    assert has_ended(f"{other.pid} 1")


def test_a_process_of_which_the_system_tells_nothing_has_not_ended(
    other: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = _identity(other.pid)
    monkeypatch.setattr(module, "_read", lambda _path: None)
    assert not has_ended(identity)
    assert not has_ended(str(other.pid))


@pytest.mark.parametrize("identity", ["", "0", "-1", "x 1", "9" * 40])
def test_what_is_no_identity_has_not_ended(identity: str) -> None:
    assert not has_ended(identity)
