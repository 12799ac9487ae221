"""A server whose clock is set while it runs, by libfaketime: a `sleep` takes as long as it was to take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.server_process import ServerProcess

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


SECONDS = 4
"""Long enough to see that it waits before the clock is set, also on a busy machine."""


pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(120),
    pytest.mark.rule(44),
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian's package faketime)"),
]


def set_clock(file: Path, offset: str) -> None:
    """Set the clock of the processes that have this file: as a whole, for libfaketime ends one that finds it empty."""
    written = file.with_suffix(".new")
    written.write_text(offset, encoding="utf-8")
    written.replace(file)


@contextmanager
def sleeping_server(folder: Path, shift: Path, *flows: str) -> Iterator[ServerProcess]:
    """A server whose clock a file sets, and whose flows sleep."""
    set_clock(shift, "+0")
    server = ServerProcess(
        folder,
        environment={
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(shift),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
    )
    for flow_id in flows:
        server.flow(
            {
                "id": flow_id,
                "trigger": {"use": "webhook", "with": {"verify": "none"}},
                "steps": [{"id": "pause", "use": "sleep", "with": {"for": f"{SECONDS}s"}}],
            }
        )
    server.start()
    try:
        yield server
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("offset", ["-3600", "+3600"])
def test_a_sleep_takes_as_long_as_it_was_to_take_when_the_clock_is_set(tmp_path: Path, offset: str) -> None:
    shift = tmp_path / "shift"
    with sleeping_server(tmp_path, shift, "f") as server:
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


def test_no_sleep_is_lost_while_the_clock_jumps_to_and_fro(tmp_path: Path) -> None:
    shift = tmp_path / "shift"
    # An execution that is woken finds the others of its flow that are due, so each is alone in its flow.
    flows = [f"f{number}" for number in range(60)]
    with sleeping_server(tmp_path, shift, *flows) as server:
        for number, flow_id in enumerate(flows):
            # Some of them end at each moment at which it jumps.
            assert server.post(flow_id, {})[0] == 202
            if number % 6 == 5:
                set_clock(shift, "+4" if number % 12 == 5 else "+0")
            time.sleep(0.2)
        server.eventually("all have ended", server.drained)
        assert len(server.executions(state="succeeded")) == len(flows)
        assert server.log().count("the system's clock was set") > 1
