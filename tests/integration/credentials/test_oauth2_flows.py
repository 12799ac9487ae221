"""Access tokens in flows: what waits for them, what goes on with another one, and who never hears of them."""

from typing import Any

import pytest
from tests.integration.authorization_server import AuthorizationService
from tests.integration.engine_harness import Harness
from tests.integration.oauth2_acme import acme, for_itself, values
from tests.integration.oauth2_engine import agree, running

from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.testing.connector_harness import ListLog


def step(use: str, **with_: Any) -> dict[str, Any]:
    return {"id": "ask", "use": use, "credential": "prod", "with": with_}


async def test_an_execution_waits_until_its_credential_is_authorized(
    harness: Harness, service: AuthorizationService
) -> None:
    harness.flow("who", [step("acme.whoami")])
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        execution_id = await harness.send(engine, "who", {})
        waiting = await harness.until(engine, execution_id, State.WAITING)
        assert "hookline credentials authorize prod" in (waiting.reason or "")
        await agree(engine)
        await harness.until(engine, execution_id, State.SUCCEEDED)


async def test_an_action_goes_on_with_another_token_where_one_was_taken_away(
    harness: Harness, service: AuthorizationService
) -> None:
    harness.flow("who", [step("acme.whoami")])
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        service.spoil()
        execution_id = await harness.send(engine, "who", {})
        await harness.until(engine, execution_id, State.SUCCEEDED)
        assert len(service.asked) == 2


@pytest.mark.parametrize("how", ["error", "defect"])
async def test_a_connector_that_says_a_token_is_not_heard(
    harness: Harness, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    log = ListLog()
    monkeypatch.setattr("structlog.get_logger", lambda *_: log)
    harness.flow("who", [step("acme.blurt", how=how)])
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        execution_id = await harness.send(engine, "who", {})
        failed = await harness.until(engine, execution_id, State.FAILED)
        shown = f"{failed!r} {await engine.store.journal(execution_id)!r} {log.lines!r}"
    assert "the token is ***" in shown
    assert ("connector defect" in shown) == (how == "defect")
    assert not any(secret in shown for secret in service.secrets())


async def test_a_poll_and_a_verification_have_tokens_too(harness: Harness, service: AuthorizationService) -> None:
    from hookline.credentials.credential_check import check_credential

    trigger = {"use": "acme.names", "with": {"existing": True}, "credential": "prod"}
    harness.flow("names", [{"id": "log", "use": "map", "with": {"body": "$.body.name"}}], trigger=trigger)
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)

        assert await harness.bodies(engine, "names", 1) == [{"name": "jo"}]
        parts: Any = {"http": engine.http, "resources": engine.resources, "log": engine.log, "tokens": engine.tokens}
        verdict = await check_credential("prod", engine.credentials, engine.plugin_calls, **parts)
    assert (verdict.state, verdict.message) == ("valid", "jo")
    assert len(service.asked) == 1
