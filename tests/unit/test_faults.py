"""Points at which a test kills the process."""

import os
import signal
import subprocess
import sys

import pytest

from hookline import faults
from hookline.errors import ConfigError
from hookline.faults import POINTS, Fault


def test_a_fault_is_counted_down_at_its_point() -> None:
    fault = Fault("end.after_commit:3")
    passed = [fault.passed(point) for point in ("end.after_commit", "end.before_commit", *["end.after_commit"] * 3)]
    assert passed == [False, False, False, True, False]


def test_without_a_number_the_first_passing_counts() -> None:
    assert Fault("accept.before_commit").passed("accept.before_commit")


@pytest.mark.parametrize("spec", ["", "accept", "accept.before", "accept.before_commit:0", "accept.before_commit:x"])
def test_a_fault_that_names_no_point_or_number_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="HOOKLINE_FAULT"):
        Fault(spec)


def test_the_documented_points_are_those_that_exist() -> None:
    documented = {
        word.strip("`,")
        for line in (faults.__doc__ or "").splitlines()
        if line.startswith("| `")
        for word in line.split("|")[1].split()
    }
    assert documented == POINTS


def _run(variable: str) -> int:
    program = "from hookline.faults import fault; fault('end.after_commit'); fault('end.after_commit', 'x')"
    return subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"HOOKLINE_FAULT": variable}, check=False, timeout=60
    ).returncode


def test_a_process_dies_at_the_point() -> None:
    assert _run("end.after_commit:2") == -signal.SIGKILL


def test_a_process_lives_without_a_fault_or_beyond_it() -> None:
    assert _run("") == 0
    assert _run("end.after_commit:3") == 0
