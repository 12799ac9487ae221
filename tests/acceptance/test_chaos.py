"""The short form of the chaos test: three nodes without an intake queue, each kind of fault that they have, the judge.

`python tests/chaos` runs longer, and with a queue.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.test_set_clock import LIBRARY
from tests.chaos.run import Options, run

ROOT = Path(__file__).parents[2]
_SEED = int(os.environ.get("HOOKLINE_TEST_CHAOS_SEED", "4"))


def judged(folder: Path) -> subprocess.CompletedProcess[str]:
    """The judge is another program, which has only the files."""
    command = [sys.executable, "-m", "tests.chaos.judge", str(folder / "history")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.promise(1, 2, 3, 4, 6)
@pytest.mark.rule(22, 28, 29, 38)
@pytest.mark.cluster_rule("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C12")
def test_three_nodes_under_faults_lose_double_and_swap_nothing(tmp_path: Path) -> None:
    without = () if LIBRARY is not None else ("clock",)
    run(Options(seed=_SEED, seconds=18, nodes=3, lines=4, rate=3, gap=1.3, without=without), tmp_path, print)
    verdict = judged(tmp_path)
    print(verdict.stdout)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
