"""Access tokens against a real authorization server: got once, renewed ahead, rotated, lost, refused, kept."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from yarl import URL

from hookline.errors import AuthExpired, HooklineError, RateLimited, StepError, StoreError, Unavailable
from hookline.model.execution import State
from hookline.ports import Change, PutTokens
from hookline.runtime.authorizing import challenge_of
from hookline.runtime.engine import Engine
from hookline.testing.harness import plugin_of
from tests.integration.authorization_server import CLIENT_SECRET, SCOPES, AuthorizationService
from tests.integration.engine_harness import Harness
from tests.integration.oauth2_acme import acme, for_itself, values

HERE = {"egress_allow": ("127.0.0.1",)}


@pytest.fixture
def service(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Iterator[AuthorizationService]:
    """The authorization server, with the engine's time."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    made = AuthorizationService(harness.clock.now)
    with made.running():
        yield made


@asynccontextmanager
async def running(harness: Harness, connector: Any, **options: Any) -> AsyncIterator[Engine]:
    harness.plugins = [plugin_of(connector)]
    async with harness.engine(**HERE, **options) as engine:
        yield engine


async def agree(engine: Engine, name: str = "prod") -> None:
    """Authorize a credential as somebody does in a browser."""
    made = engine.authorizations.begin(name, "http://127.0.0.1:9/cb")
    done = await engine.authorizations.finish(await redirected(made.url), engine.http)
    assert done.state == "done", done.message


async def redirected(url: str) -> str:
    """The query with which the service sends the browser back."""
    async with aiohttp.ClientSession() as browser, browser.get(url, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        return URL(answer.headers["Location"], encoded=True).raw_query_string


async def failure(engine: Engine, rejected: str | None = None) -> Any:
    with pytest.raises(HooklineError) as caught:
        await engine.tokens.get("prod", rejected)
    return caught.value


def info(engine: Engine) -> Any:
    return engine.credentials.list()[0].tokens


# --- Client credentials ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client_auth", ["basic", "body"])
async def test_a_client_that_acts_for_itself_gets_a_token_when_it_is_used(
    harness: Harness, service: AuthorizationService, client_auth: str
) -> None:
    service.client.auth_methods = {"client_secret_basic" if client_auth == "basic" else "client_secret_post"}
    connector = for_itself(client_auth=client_auth, token_params={"audience": "acme"})
    async with running(harness, connector) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        assert info(engine).state == "on_demand"
        token = await engine.tokens.get("prod")
        assert token == service.tokens[0].access_token
        assert info(engine).state == "valid"
        (form,) = service.asked
    assert form["grant_type"] == "client_credentials"
    assert (form["scope"], form["audience"]) == (SCOPES, "acme")
    assert ("client_secret" in form) == (client_auth == "body")


async def test_fifty_users_at_once_make_one_request(harness: Harness, service: AuthorizationService) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        service.held.clear()
        users = [asyncio.create_task(engine.tokens.get("prod")) for _ in range(50)]
        await asyncio.to_thread(service.arrived.acquire)
        # The one that began it goes, and the others get what it asked for.
        users[0].cancel()
        service.held.set()
        got = await asyncio.gather(*users, return_exceptions=True)
        assert isinstance(got[0], asyncio.CancelledError)
        assert set(got[1:]) == {service.tokens[0].access_token}
        harness.clock.advance(service.lifetime)
        again = await asyncio.gather(*(engine.tokens.get("prod") for _ in range(50)))
        assert set(again) == {service.tokens[1].access_token}
        assert len(service.asked) == 2


async def test_users_that_come_while_a_token_is_stored_wait_for_that(
    harness: Harness, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        storing, go_on, commit = asyncio.Event(), asyncio.Event(), engine.store.commit

        async def slow(changes: Any) -> Any:
            if any(isinstance(change, PutTokens) for change in changes):
                storing.set()
                await go_on.wait()
            return await commit(changes)

        monkeypatch.setattr(engine.store, "commit", slow)
        first = asyncio.create_task(engine.tokens.get("prod"))
        await storing.wait()
        later = asyncio.create_task(engine.tokens.get("prod"))
        await asyncio.sleep(0)
        assert not first.done()
        assert not later.done()
        go_on.set()
        assert await first == await later
        assert len(service.asked) == 1


async def test_a_wrong_secret_says_what_to_do_and_not_what_it_is(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service, client_secret="wrong-wrong-wrong"))
        error = await failure(engine)
    assert (type(error), error.error_code, error.retryable) == (AuthExpired, "oauth2.client", False)
    assert "set the credential again" in error.message
    assert "wrong-wrong" not in error.message


# --- Authorization code ----------------------------------------------------------------------------------------------


async def test_somebody_authorizes_and_the_token_is_renewed_before_it_expires(
    harness: Harness, service: AuthorizationService
) -> None:
    service.lifetime = 300
    async with running(harness, acme(authorize_params={"prompt": "consent"})) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        error = await failure(engine)
        assert (type(error), error.error_code) == (AuthExpired, "oauth2.unauthorized")
        assert "hookline credentials authorize prod" in error.message
        assert info(engine).state == "missing"
        await agree(engine)
        asked, form = service.authorized[0], service.asked[0]
        assert (asked["scope"], asked["prompt"], asked["code_challenge_method"]) == (SCOPES, "consent", "S256")
        assert asked["code_challenge"] == challenge_of(form["code_verifier"])
        first = await engine.tokens.get("prod")
        assert info(engine).state == "valid"
        harness.clock.advance(230)
        assert await engine.tokens.get("prod") == first
        # The service takes the old one for another minute, but requests take their time.
        harness.clock.advance(15)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token != first
        assert [form["grant_type"] for form in service.asked] == ["authorization_code", "refresh_token"]


async def test_a_refresh_token_that_is_replaced_is_stored_before_the_access_token_is_given(
    harness: Harness, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        harness.clock.advance(service.lifetime)
        commit = engine.store.commit

        async def full(changes: list[Change]) -> Any:
            raise StoreError("the disk is full")

        monkeypatch.setattr(engine.store, "commit", full)
        error = await failure(engine)
        assert "disk is full" in error.message
        monkeypatch.setattr(engine.store, "commit", commit)
        # The service takes the old refresh token no more: what it gave isn't asked for again.
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        assert len(service.tokens) == 2
    async with running(harness, acme()) as engine:
        harness.clock.advance(service.lifetime)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        assert len(service.tokens) == 3


async def test_what_could_not_be_stored_is_stored_when_the_engine_stops(
    harness: Harness, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        harness.clock.advance(service.lifetime)
        with monkeypatch.context() as patched:

            async def full(changes: list[Change]) -> Any:
                raise StoreError("the disk is full")

            patched.setattr(engine.store, "commit", full)
            await failure(engine)
    async with running(harness, acme()) as engine:
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        assert len(service.asked) == 2


async def test_a_renewal_under_way_is_finished_before_the_engine_stops(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        await asyncio.to_thread(service.arrived.acquire)
        harness.clock.advance(service.lifetime)
        service.held.clear()
        user = asyncio.create_task(engine.tokens.get("prod"))
        await asyncio.to_thread(service.arrived.acquire)
        user.cancel()
        asyncio.get_running_loop().call_later(0.05, service.held.set)
    async with running(harness, acme()) as engine:
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        assert len(service.asked) == 2


async def test_a_service_that_keeps_its_refresh_token_is_asked_with_it_again(
    harness: Harness, service: AuthorizationService
) -> None:
    service.rotates = False
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        for _ in range(2):
            harness.clock.advance(service.lifetime)
            await engine.tokens.get("prod")
    kept = {form["refresh_token"] for form in service.asked if "refresh_token" in form}
    assert kept == {service.tokens[0].refresh_token}


async def test_tokens_outlive_the_server_and_are_nowhere_in_the_open(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        first = await engine.tokens.get("prod")
    held = b"".join(path.read_bytes() for path in harness.folder.rglob("*") if path.is_file())
    assert not any(secret.encode() in held for secret in service.secrets())
    async with running(harness, acme()) as engine:
        assert await engine.tokens.get("prod") == first
        assert len(service.asked) == 1


async def test_a_credential_that_is_set_anew_has_no_tokens_of_the_one_before(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        harness.clock.advance(service.lifetime)
        service.held.clear()
        user = asyncio.create_task(engine.tokens.get("prod"))
        for _ in range(2):
            await asyncio.to_thread(service.arrived.acquire)
        # Whoever waits for a renewal of the old one gets nothing of it.
        await engine.credentials.put("prod", "acme", values(service))
        service.held.set()
        with pytest.raises(AuthExpired, match="nobody has authorized"):
            await user
        assert info(engine).state == "missing"
    async with running(harness, acme()) as engine:
        assert info(engine).state == "missing"


async def test_a_rotation_of_the_master_key_encrypts_tokens_too(
    harness: Harness, service: AuthorizationService
) -> None:
    old, new = (b"o" * 32,), (b"n" * 32,)
    async with running(harness, acme(), secret_keys=old) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        first = await engine.tokens.get("prod")
    async with running(harness, acme(), secret_keys=new + old) as engine:
        assert await engine.credentials.rotate() == 1
        assert await engine.credentials.rotate() == 0
        assert await engine.tokens.get("prod") == first
    async with running(harness, acme(), secret_keys=new) as engine:
        assert await engine.tokens.get("prod") == first
        assert info(engine).state == "valid"


# --- What goes wrong -------------------------------------------------------------------------------------------------


async def test_what_was_revoked_has_to_be_authorized_again_and_says_so(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        harness.clock.advance(service.lifetime)
        service.revoke()
        error = await failure(engine)
        assert (type(error), error.error_code, error.retryable) == (AuthExpired, "oauth2.expired", False)
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
        await engine.credentials.put("prod", "acme", values(service))
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
        await engine.credentials.put("prod", "acme", values(service))
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
        await engine.credentials.put("prod", "acme", values(service, base_url=url))
        error = await failure(engine)
    assert (type(error), error.error_code, error.retryable) == (Unavailable, "http.connect", True)
    assert "no access token for credential 'prod'" in error.message


async def test_a_token_endpoint_inside_the_network_is_out_of_reach(
    harness: Harness, service: AuthorizationService
) -> None:
    harness.plugins = [plugin_of(for_itself())]
    async with harness.engine() as engine:
        await engine.credentials.put("prod", "acme", values(service))
        error = await failure(engine)
    assert (error.error_code, error.retryable) == ("http.egress", False)
    assert service.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((302, {"Location": "http://127.0.0.1:1/elsewhere"}, ""), "redirects, which token requests don't follow"),
        ((200, {}, "<html>"), "without an access token"),
        ((200, {}, "[]"), "without an access token"),
        ((200, {}, '{"access_token": 7}'), "without an access token"),
        ((200, {}, '{"access_token": "a\\r\\nX-Evil: 1"}'), "without an access token"),
        ((200, {}, '{"access_token": "a", "token_type": "mac"}'), "only bearer tokens"),
        ((400, {}, '{"error": "invalid_scope", "error_description": "no such scope"}'), "invalid_scope: no such scope"),
        ((200, {}, '{"ok": false, "error": "bad_thing"}'), "bad_thing"),
        ((404, {}, "not here"), "answered 404"),
    ],
)
async def test_an_answer_that_is_no_token_is_an_error_that_says_what_came(
    harness: Harness, service: AuthorizationService, answer: Any, said: str
) -> None:
    service.answers.append(answer)
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        error = await failure(engine)
    assert said in error.message
    assert error.error_code.startswith("oauth2.")
    assert not error.retryable


@pytest.mark.parametrize("lasts", ["3600", 3600, 3600.0, None, "soon", -1, 0, True, 1e300, "nan"])
async def test_a_life_that_makes_no_sense_is_none(harness: Harness, service: AuthorizationService, lasts: Any) -> None:
    service.answers.append((200, {}, json.dumps({"access_token": "abcdefghijk", "expires_in": lasts})))
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        assert await engine.tokens.get("prod") == "abcdefghijk"
        known = info(engine).expires_at
    assert (known is None) == (lasts not in ("3600", 3600, 1e300) or lasts is True)


async def test_what_the_service_echoes_is_masked(harness: Harness, service: AuthorizationService) -> None:
    service.client.auth_methods = {"client_secret_post"}
    async with running(harness, acme(client_auth="body")) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        harness.clock.advance(service.lifetime)
        refresh = service.tokens[0].refresh_token
        said = f"{CLIENT_SECRET} and {refresh}"
        service.answers.append((400, {}, json.dumps({"error": "invalid_request", "error_description": said})))
        error = await failure(engine)
    assert "*** and ***" in error.message
    assert not any(secret in error.message for secret in service.secrets())


# --- A token that is refused before its time -------------------------------------------------------------------------


async def test_a_refused_token_is_renewed_once_for_all_and_given_no_more(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        first = await engine.tokens.get("prod")
        service.spoil()
        got = await asyncio.gather(*(engine.tokens.get("prod", first) for _ in range(20)))
        second = service.tokens[-1].access_token
        assert set(got) == {second}
        # Who comes late with the first gets the second, and nobody asks for a third.
        assert await engine.tokens.get("prod", first) == second
        assert len(service.asked) == 2


async def test_while_a_refused_token_can_not_be_renewed_nobody_gets_it(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        first = await engine.tokens.get("prod")
        service.answers += [(503, {}, ""), (503, {}, "")]
        assert isinstance(await failure(engine, first), Unavailable)
        assert isinstance(await failure(engine), Unavailable)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token


async def test_a_service_that_refuses_each_token_is_not_asked_for_more(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        token = await engine.tokens.get("prod")
        token = await engine.tokens.get("prod", token)
        error = await failure(engine, token)
        assert (type(error), error.error_code) == (AuthExpired, "oauth2.refused_again")
        assert len(service.asked) == 2
        # It may be what one request asks for that is refused: others are served.
        assert await engine.tokens.get("prod") == token
        harness.clock.advance(61)
        assert await engine.tokens.get("prod", token) != token


async def test_without_a_refresh_token_one_refusal_takes_nothing_from_others(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        service.answers.append((200, {}, '{"access_token": "only-one-there-is"}'))
        made = engine.authorizations.begin("prod", "http://127.0.0.1:9/cb")
        done = await engine.authorizations.finish(await redirected(made.url), engine.http)
        assert "nothing to renew" in (done.message or "")
        error = await failure(engine, "only-one-there-is")
        assert (type(error), error.error_code) == (AuthExpired, "oauth2.expired")
        assert "credentials authorize prod" in error.message
        assert await engine.tokens.get("prod") == "only-one-there-is"


# --- In flows --------------------------------------------------------------------------------------------------------


def step(use: str, **with_: Any) -> dict[str, Any]:
    return {"id": "ask", "use": use, "credential": "prod", "with": with_}


async def test_an_execution_waits_until_its_credential_is_authorized(
    harness: Harness, service: AuthorizationService
) -> None:
    harness.flow("who", [step("acme.whoami")])
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
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
        await engine.credentials.put("prod", "acme", values(service))
        await agree(engine)
        service.spoil()
        execution_id = await harness.send(engine, "who", {})
        await harness.until(engine, execution_id, State.SUCCEEDED)
        assert len(service.asked) == 2


@pytest.mark.parametrize("how", ["error", "defect"])
async def test_a_connector_that_says_a_token_is_not_heard(
    harness: Harness, service: AuthorizationService, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    harness.flow("who", [step("acme.blurt", how=how)])
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service))
        execution_id = await harness.send(engine, "who", {})
        failed = await harness.until(engine, execution_id, State.FAILED)
        shown = f"{failed!r} {await engine.store.journal(execution_id)!r}"
    shown += "".join(capsys.readouterr())
    assert "the token is ***" in shown
    assert not any(secret in shown for secret in service.secrets())


async def test_a_poll_and_a_verification_have_tokens_too(harness: Harness, service: AuthorizationService) -> None:
    from hookline.runtime.verifying import verify

    trigger = {"use": "acme.names", "with": {}, "credential": "prod"}
    harness.flow("names", [{"id": "log", "use": "map", "with": {"body": "$.body.name"}}], trigger=trigger)
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service))

        assert await harness.bodies(engine, "names", 1) == [{"name": "jo"}]
        parts: Any = {"http": engine.http, "resources": engine.resources, "log": engine.log, "tokens": engine.tokens}
        verdict = await verify("prod", engine.credentials, engine.registry, **parts)
    assert (verdict.state, verdict.message) == ("well", "jo")
    assert len(service.asked) == 1
