"""Services that tests talk to: skipped by name where they aren't there, unless HOOKLINE_REQUIRE_SERVICES=1."""

import os
import shutil
import socket

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.service.site import missing_pages


def need_server(name: str, port: int, host: str = "127.0.0.1") -> None:
    """Skip the test where nothing listens there; fail it where services are required."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        _miss(f"{name} is not reachable at {host}:{port}: {error}")


def need_program(name: str, *programs: str) -> str:
    """The path of the first of some programs that is installed; without one, the test is skipped, or fails where
    services are required."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    found = next(filter(None, (shutil.which(program, path=path) for program in programs)), None)
    if found is None:
        _miss(f"{name} is not installed: there is no {' or '.join(programs)}")
    assert found is not None
    return found


def need_chromium() -> str:
    """The path of Chromium, as `need_program`. The one without a window of its own is faster."""
    return need_program("Chromium", "chromium-headless-shell", "chromium")


def need_console() -> None:
    """Skip the test if the console wasn't built when Hookline was installed; fail it if services are required."""
    problem = missing_pages(load_plugins().sites.values())
    if problem is not None:
        _miss(problem)


def _miss(why: str) -> None:
    if os.environ.get("HOOKLINE_REQUIRE_SERVICES") == "1":
        pytest.fail(why)
    pytest.skip(why)
