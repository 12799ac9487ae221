"""A defect that rejects requests is logged when it begins and when it ends, however many requests come."""

from datetime import timedelta

import pytest
import structlog

from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

pytestmark = pytest.mark.rule(38)


async def test_a_defect_of_many_requests_is_logged_when_it_begins_and_when_it_ends() -> None:
    hook = HookOverMemory(webhook_flow())
    hook.intake.failure = RuntimeError("a defect")
    with structlog.testing.capture_logs() as logs:
        assert {(await hook.send(b"{}")).status for _ in range(10)} == {503}
        hook.intake.failure = None
        hook.clock.at += timedelta(seconds=5)
        assert {(await hook.send(b"{}")).status for _ in range(10)} == {202}
    assert [(log["log_level"], log["event"], log["flow"]) for log in logs] == [
        ("error", "a defect rejects requests of a flow", "orders"),
        ("info", "requests of a flow are handled without defects again", "orders"),
    ]
    assert (logs[0]["exc_info"].args, logs[1]["times"]) == (("a defect",), 10)
