"""Failures of access tokens: revoked, out of reach, rejected before their expiry."""

import asyncio
import json
from typing import Any

import pytest
from tests.integration.authorization_server import CLIENT_SECRET, AuthorizationService
from tests.integration.engine_harness import Harness
from tests.integration.oauth2_acme import acme, for_itself, values
from tests.integration.oauth2_engine import agree, failure, info, redirected, running

from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable
from hookline.model.access import SYSTEM
from hookline.testing.connector_harness import plugin_of


@pytest.mark.parametrize("early", [False, True])
async def test_what_was_revoked_has_to_be_authorized_again_and_says_so(
    harness: Harness, service: AuthorizationService, early: bool
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        if not early:
            harness.clock.advance(service.lifetime)
        service.revoke()
        error = await failure(engine, service.tokens[0].access_token if early else None)
        assert (type(error), error.error_code, error.retryable) == (AuthExpired, "oauth2.expired", False)
        assert "(invalid_grant)" in error.message
        assert "hookline credentials authorize prod" in error.message
        assert info(engine).state == "lost"
        # It is known: nobody asks again and again.
        await failure(engine)
        assert len(service.asked) == 2
    async with running(harness, acme()) as engine:
        assert info(engine).state == "lost"
        await agree(engine)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        ((503, {}, "busy"), Unavailable, "oauth2.unavailable"),
        ((500, {}, "<html>"), Unavailable, "oauth2.unavailable"),
        ((400, {}, '{"error": "temporarily_unavailable"}'), Unavailable, "oauth2.unavailable"),
        ((429, {"Retry-After": "7"}, ""), RateLimited, "oauth2.rate_limited"),
    ],
)
async def test_a_renewal_that_fails_for_now_is_tried_again(
    harness: Harness, service: AuthorizationService, answer: Any, kind: type[StepError], code: str
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        service.answers.append(answer)
        error = await failure(engine)
        assert (type(error), error.error_code, error.retryable) == (kind, code, True)
        if kind is RateLimited:
            assert error.retry_after == 7
            harness.clock.advance(3)
            asked = len(service.asked)
            assert (await failure(engine)).retry_after == 4
            # Nobody asks before the time that the service has named.
            assert len(service.asked) == asked
            harness.clock.advance(4)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        assert info(engine).state == "valid"


async def test_a_token_that_still_holds_is_used_while_the_service_can_not_renew_it(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        first = await engine.tokens.get("prod")
        harness.clock.advance(service.lifetime - 30)
        service.answers += [(503, {}, ""), (503, {}, "")]
        assert await engine.tokens.get("prod") == first
        assert await engine.tokens.get("prod") == first
        assert len(service.asked) == 2
        harness.clock.advance(6)
        assert await engine.tokens.get("prod") == first
        assert len(service.asked) == 3
        harness.clock.advance(6)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token != first


async def test_where_nobody_listens_a_renewal_is_tried_again(
    harness: Harness, service: AuthorizationService, unused_tcp_port: int
) -> None:
    async with running(harness, for_itself()) as engine:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        await engine.credentials.put("prod", "acme", values(service, base_url=url), by=SYSTEM)
        error = await failure(engine)
    assert (type(error), error.error_code, error.retryable) == (Unavailable, "http.connect", True)
    assert "no access token for credential 'prod'" in error.message


async def test_a_token_endpoint_inside_the_network_is_out_of_reach(
    harness: Harness, service: AuthorizationService
) -> None:
    harness.plugins = [plugin_of(for_itself())]
    async with harness.engine() as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        error = await failure(engine)
    assert (error.error_code, error.retryable) == ("http.egress", False)
    assert service.asked == []


async def test_what_the_service_echoes_is_masked(harness: Harness, service: AuthorizationService) -> None:
    service.client.auth_methods = {"client_secret_post"}
    async with running(harness, acme(client_auth="body")) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        refresh = service.tokens[0].refresh_token
        said = f"{CLIENT_SECRET} and {refresh}"
        service.answers.append((400, {}, json.dumps({"error": "invalid_request", "error_description": said})))
        error = await failure(engine)
    assert "*** and ***" in error.message
    assert not any(secret in error.message for secret in service.secrets())


async def test_a_rejected_token_is_renewed_once_for_all_and_given_no_more(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        first = await engine.tokens.get("prod")
        service.spoil()
        got = await asyncio.gather(*(engine.tokens.get("prod", first) for _ in range(20)))
        second = service.tokens[-1].access_token
        assert set(got) == {second}
        # Who comes late with the first gets the second, and nobody asks for a third.
        assert await engine.tokens.get("prod", first) == second
        assert len(service.asked) == 2


async def test_while_a_rejected_token_can_not_be_renewed_nobody_gets_it(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        first = await engine.tokens.get("prod")
        service.answers += [(503, {}, ""), (503, {}, "")]
        assert isinstance(await failure(engine, first), Unavailable)
        assert isinstance(await failure(engine), Unavailable)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token


async def test_a_service_that_rejects_each_token_is_not_asked_for_more(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        token = await engine.tokens.get("prod")
        token = await engine.tokens.get("prod", token)
        error = await failure(engine, token)
        assert (type(error), error.error_code) == (AuthExpired, "oauth2.rejected_again")
        assert len(service.asked) == 2
        # It may be what one request asks for that is rejected: others are served.
        assert await engine.tokens.get("prod") == token
        harness.clock.advance(61)
        assert await engine.tokens.get("prod", token) != token


async def test_without_a_refresh_token_one_rejection_takes_nothing_from_others(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        service.answers.append((200, {}, '{"access_token": "only-one-there-is"}'))
        made = engine.authorizations.begin("prod", "http://127.0.0.1:9/cb", by=SYSTEM)
        done = await engine.authorizations.finish(await redirected(made.url), engine.http)
        assert "no refresh token" in (done.message or "")
        error = await failure(engine, "only-one-there-is")
        assert (type(error), error.error_code) == (AuthExpired, "oauth2.expired")
        assert "credentials authorize prod" in error.message
        assert await engine.tokens.get("prod") == "only-one-there-is"
