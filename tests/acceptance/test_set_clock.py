"""A server whose clock is set while it runs, by libfaketime: a `sleep` takes as long as it was to take."""

import time
from pathlib import Path

import pytest

from tests.acceptance.server_process import ServerProcess

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


SECONDS = 4
"""Long enough to see that it waits before the clock is set, also on a busy machine."""


def set_clock(file: Path, offset: str) -> None:
    """Set the clock of the processes that have this file: as a whole, for libfaketime ends one that finds it empty."""
    written = file.with_suffix(".new")
    written.write_text(offset, encoding="utf-8")
    written.replace(file)


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.rule(44)
@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian's package faketime)")
@pytest.mark.parametrize("offset", ["-3600", "+3600"])
def test_a_sleep_takes_as_long_as_it_was_to_take_when_the_clock_is_set(tmp_path: Path, offset: str) -> None:
    shift = tmp_path / "shift"
    set_clock(shift, "+0")
    server = ServerProcess(
        tmp_path,
        environment={
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(shift),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    server.flow(
        {
            "id": "f",
            "trigger": {"use": "webhook", "with": {"verify": "none"}},
            "steps": [{"id": "pause", "use": "sleep", "with": {"for": f"{SECONDS}s"}}],
        }
    )
    server.start()
    try:
        began = time.monotonic()
        execution_id = server.post("f", {})[1]["execution_id"]

        def state() -> str:
            return str(server.get(f"/api/v1/executions/{execution_id}")[1]["state"])

        server.eventually("it waits", lambda: state() == "waiting")
        set_clock(shift, offset)
        server.eventually("it has ended", lambda: state() == "succeeded")
        # On a machine however slow, it can only take longer.
        assert time.monotonic() - began >= SECONDS
        assert "the system's clock was set" in server.log()
    finally:
        assert server.stop() == 0
