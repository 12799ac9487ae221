"""A server whose clock is set while it runs, by libfaketime: a `sleep` takes as long as it was to take."""

import time
from pathlib import Path

import pytest

from tests.acceptance.server_process import ServerProcess, eventually

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.long
@pytest.mark.rule(44)
@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian's package faketime)")
@pytest.mark.parametrize("offset", ["-3600", "+3600"])
def test_a_sleep_takes_as_long_as_it_was_to_take_when_the_clock_is_set(tmp_path: Path, offset: str) -> None:
    shift = tmp_path / "shift"
    shift.write_text("+0", encoding="utf-8")
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
            "steps": [{"id": "pause", "use": "sleep", "with": {"for": "4s"}}],
        }
    )
    server.start()
    began = time.monotonic()
    execution_id = server.post("f", {})[1]["execution_id"]
    shift.write_text(offset, encoding="utf-8")

    def state() -> str:
        return str(server.get(f"/api/v1/executions/{execution_id}")[1]["state"])

    eventually("the clock was noticed", lambda: "the system's clock was set" in server.log(), 10)
    eventually("it waits", lambda: state() == "waiting", 10)
    eventually("it has ended", lambda: state() == "succeeded", 20)
    assert 3.0 <= time.monotonic() - began < 20
    server.stop()
