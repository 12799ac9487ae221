"""Points at which a test kills the process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.kernel import fault_points
from hookline.kernel.errors import ConfigError
from hookline.kernel.fault_points import POINTS, Fault, Trace


def test_a_fault_is_counted_down_at_its_point() -> None:
    fault = Fault("end.after_commit:3")
    passed = [fault.passed(point) for point in ("end.after_commit", "end.before_commit", *["end.after_commit"] * 3)]
    assert passed == [False, False, False, True, False]


def test_without_a_number_the_first_passing_counts() -> None:
    assert Fault("accept.before_commit").passed("accept.before_commit")


@pytest.mark.parametrize("spec", ["", "accept", "accept.before", "accept.before_commit:0", "accept.before_commit:x"])
def test_a_fault_that_names_no_point_or_number_is_rejected(spec: str) -> None:
    with pytest.raises(ConfigError, match="HOOKLINE_FAULT"):
        Fault(spec)


def test_the_documented_points_are_those_that_exist() -> None:
    documented = {
        word.strip("`,")
        for line in (fault_points.__doc__ or "").splitlines()
        if line.startswith("| `")
        for word in line.split("|")[1].split()
    }
    assert documented == POINTS


def _run(variable: str, trace: Path | None = None) -> int:
    passings = "fault('end.after_commit'); fault('x', 'end.after_commit', 'accept.after_commit'); fault('x')"
    program = f"from hookline.kernel.fault_points import fault; {passings}"
    environment = os.environ | {"HOOKLINE_FAULT": variable, "HOOKLINE_FAULT_TRACE": "" if trace is None else str(trace)}
    return subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=60).returncode


def test_a_process_dies_at_the_point() -> None:
    assert _run("end.after_commit:2") == -signal.SIGKILL


def test_a_process_lives_without_a_fault_or_beyond_it() -> None:
    assert _run("") == 0
    assert _run("end.after_commit:3") == 0


def test_the_points_that_are_passed_are_written_down_the_last_one_too(tmp_path: Path) -> None:
    assert _run("end.after_commit:2", tmp_path / "trace") == -signal.SIGKILL
    assert (tmp_path / "trace").read_text().splitlines() == ["end.after_commit", "accept.after_commit end.after_commit"]


def test_a_trace_that_cannot_be_written_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"HOOKLINE_FAULT_TRACE: .*: Is a directory"):
        Trace(str(tmp_path))
