"""`http.request` with a credential of type `oauth2`: any service that has OAuth 2."""

from typing import Any

import pytest
from tests.integration.authorization_server import CLIENT_ID, CLIENT_SECRET, SCOPES, AuthorizationService
from tests.integration.engine_harness import Harness
from tests.integration.oauth2_engine import HERE, agree

from hookline.credentials.credential_check import check_credential
from hookline.kernel.errors import CredentialError
from hookline.model.access import SYSTEM
from hookline.model.execution import State


def client(service: AuthorizationService, **other: Any) -> dict[str, Any]:
    return {
        "token_url": f"{service.url}/token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scopes": SCOPES,
        **other,
    }


def ask(service: AuthorizationService, **with_: Any) -> dict[str, Any]:
    return {
        "id": "ask",
        "use": "http.request",
        "credential": "prod",
        "with": {"url": f"{service.url}/me", **with_},
    }


async def test_a_client_that_acts_for_itself_asks_with_a_token(harness: Harness, service: AuthorizationService) -> None:
    harness.flow("who", [ask(service)])
    async with harness.engine(**HERE) as engine:
        await engine.credentials.put("prod", "oauth2", client(service, audience="acme"), by=SYSTEM)
        for _ in range(2):
            execution_id = await harness.send(engine, "who", {})
            await harness.until(engine, execution_id, State.SUCCEEDED)
        parts: Any = {"http": engine.http, "resources": engine.resources, "log": engine.log, "tokens": engine.tokens}
        assert (await check_credential("prod", engine.credentials, engine.plugin_calls, **parts)).state == "valid"
    (form,) = service.asked
    assert (form["grant_type"], form["scope"], form["audience"]) == ("client_credentials", SCOPES, "acme")


async def test_one_that_somebody_authorizes_goes_on_with_another_token_after_a_401(
    harness: Harness, service: AuthorizationService
) -> None:
    harness.flow("who", [ask(service)])
    given = client(service, authorize_url=f"{service.url}/authorize?prompt=consent", scopes=SCOPES.split())
    async with harness.engine(**HERE) as engine:
        await engine.credentials.put("prod", "oauth2", given, by=SYSTEM)
        execution_id = await harness.send(engine, "who", {})
        await harness.until(engine, execution_id, State.WAITING)
        await agree(engine)
        await harness.until(engine, execution_id, State.SUCCEEDED)
        service.spoil()
        execution_id = await harness.send(engine, "who", {})
        await harness.until(engine, execution_id, State.SUCCEEDED)
    assert service.authorized[0]["prompt"] == "consent"
    assert [form["grant_type"] for form in service.asked] == ["authorization_code", "refresh_token"]


async def test_a_header_of_the_step_is_not_sent_over_the_token(harness: Harness, service: AuthorizationService) -> None:
    harness.flow("who", [ask(service, headers={"authorization": "Bearer mine"})])
    async with harness.engine(**HERE) as engine:
        await engine.credentials.put("prod", "oauth2", client(service), by=SYSTEM)
        execution_id = await harness.send(engine, "who", {})
        failed = await harness.until(engine, execution_id, State.FAILED)
    assert failed.error is not None
    assert failed.error.code == "http.header"


@pytest.mark.parametrize("wrong", [{"token_url": "acme.example"}, {"client_auth": "jwt"}, {"client_id": ""}, {"x": 1}])
async def test_values_that_can_not_work_are_rejected_when_they_are_set(
    harness: Harness, service: AuthorizationService, wrong: dict[str, Any]
) -> None:
    async with harness.engine(**HERE) as engine:
        with pytest.raises(CredentialError):
            await engine.credentials.put("prod", "oauth2", client(service, **wrong), by=SYSTEM)
