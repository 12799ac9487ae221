"""A defect that rejects requests is logged when it begins and when it ends, however many requests come."""

from datetime import timedelta

import pytest
import structlog
from quart import Blueprint

from hookline.service.app import create_pages
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


async def test_a_defect_of_a_page_is_logged_and_its_request_gets_503() -> None:
    blueprint = Blueprint("broken", __name__)

    @blueprint.get("/broken")
    async def broken() -> str:
        raise RuntimeError("a defect")

    with structlog.testing.capture_logs() as logs:
        response = await create_pages([blueprint]).test_client().get("/broken")
    assert response.status_code == 503
    assert [(log["log_level"], log["event"], log["exc_info"].args) for log in logs] == [
        ("error", "a defect rejects a request", ("a defect",))
    ]
