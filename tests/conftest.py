"""What holds for all tests: none fails because the machine is busy."""

import gc
import os
import shutil
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import hookline.testing  # noqa: F401  # it makes logged tracebacks short
from hookline.discovery import plugin_loader
from hookline_sqlstore.databases import pending_commits
from tests import migrated_template, route_builders
from tests.shares import shared_out

settings.register_profile("hookline", deadline=None)
settings.load_profile("hookline")

migrated_template.install()
route_builders.install()

# An engine whose clock stands still would wait for ever to try again. What the limits do has tests of its own, and
# servers in processes of their own have the limits of production.
pending_commits.LIMIT = pending_commits.LONG_LIMIT = 600.0  # type: ignore[misc]  # they are final elsewhere


MEMORY = Path("/dev/shm")


def _has_room() -> bool:
    """Tell whether this folder has memory for the databases of all tests, and runs programs that tests write there."""
    if not (MEMORY.is_dir() and os.access(MEMORY, os.W_OK)) or os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        return False
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(free, shutil.disk_usage(MEMORY).free) > 6 * 1024**3


# A database in memory is written in less time. `tmp_path` is below this folder, unless somebody has chosen another.
if "TMPDIR" not in os.environ and _has_room():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


USUAL_PATH = tuple(sys.path)
_kept_entry_points = cache(entry_points)


def _entry_points(*, group: str) -> Any:
    """The installed plugins, kept for the usual path: a test that installs a plugin changes the path."""
    return (_kept_entry_points if tuple(sys.path) == USUAL_PATH else entry_points)(group=group)


# Each engine in a test loads the plugins. Half of that time goes into looking for them in all installed packages.
plugin_loader.entry_points = _entry_points  # type: ignore[assignment]

# Most of what tests make is freed by reference counts: to look for garbage as often as usual finds little, and takes a
# tenth of their time.
gc.set_threshold(20_000, 20, 50)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`tox run -e long -- FILE` runs pytest twice, and the file may have no test that has to run alone."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr == "alone":
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests for several workers. Those that `-m` and `-k` leave out have left the list by now."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = shared_out(items, workers)


def pytest_collection_finish() -> None:
    """Leave what has been imported and collected out of every later collection of garbage: it stays until the end."""
    gc.collect()
    gc.freeze()
