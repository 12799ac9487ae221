"""Each benchmark still runs: here over little, so that its figures mean nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: The arguments that let each benchmark do as little as it can.
LITTLE = {
    "fairness": ("--seconds", "1", "--rounds", "1"),
    "history": ("--executions", "2000"),
    "http": ("64",),
    "items": ("--items", "200"),
    "mapping": (),
    "purge": ("--executions", "300", "--rate", "20", "--seconds", "1"),
    "scale": ("--flows", "3", "--executions", "50", "--rounds", "1", "--seconds", "1"),
    "server": ("--seconds", "1"),
    "store": ("--count", "200", "--callers", "4"),
    "waits": ("--executions", "200", "--calls", "10"),
    "workers": (
        *("--workers", "1", "2", "--rounds", "1", "--seconds", "1"),
        *("--nodes", "2", "--flows", "5", "--idle", "1", "--settle", "1"),
    ),
}
#: Those that take minutes in a browser also over little, and are run by hand.
BY_HAND = {"console", "editor"}
#: Those whose load comes from the program wrk.
LOADED = {"fairness", "scale", "server", "workers"}


def test_each_benchmark_is_tested() -> None:
    files = (ROOT / "tests" / "benchmarks").glob("bench_*.py")
    assert {path.stem.removeprefix("bench_") for path in files} == LITTLE.keys() | BY_HAND


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.timeout(330)
@pytest.mark.parametrize("name", LITTLE)
def test_a_benchmark_runs(name: str) -> None:
    if name in LOADED and shutil.which("wrk") is None:
        pytest.skip("wrk isn't installed")
    command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}", *LITTLE[name]]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    # A figure above its bound ends a benchmark with 1, which means nothing here.
    assert ran.returncode in (0, 1), ran.stderr[-2000:]
    assert "Traceback" not in ran.stderr, ran.stderr[-2000:]
    assert ran.stdout
