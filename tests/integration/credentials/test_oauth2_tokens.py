"""Access tokens against a real authorization server: got once, renewed ahead, rotated, kept."""

import asyncio
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from tests.integration.authorization_server import SCOPES, AuthorizationService
from tests.integration.engine_harness import Harness
from tests.integration.oauth2_acme import acme, for_itself, values
from tests.integration.oauth2_engine import HERE, agree, failure, info, running

from hookline.credentials.access_tokens import AccessTokens
from hookline.credentials.oauth_authorization import challenge_of
from hookline.credentials.stored_credentials import Credentials
from hookline.engine import Engine
from hookline.kernel.backoff import STORE_RETRY
from hookline.kernel.errors import AuthExpired, StoreError, Unavailable
from hookline.maintenance.key_rotation import rotate_keys
from hookline.model.access import SYSTEM
from hookline.secrets.encryption import Vault
from hookline.storage.change_declarations import Change, PutTokens
from hookline.storage.cluster import Alone, Membership


@pytest.mark.parametrize("client_auth", ["basic", "body"])
async def test_a_client_that_acts_for_itself_gets_a_token_when_it_is_used(
    harness: Harness, service: AuthorizationService, client_auth: str
) -> None:
    service.client.auth_methods = {"client_secret_basic" if client_auth == "basic" else "client_secret_post"}
    connector = for_itself(client_auth=client_auth, token_params={"audience": "acme"})
    async with running(harness, connector) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service, client_secret="wrong-wrong-wrong"), by=SYSTEM)
        error = await failure(engine)
        assert (type(error), error.error_code, error.retryable) == (AuthExpired, "oauth2.client", False)
        assert "set the credential again" in error.message
        assert "wrong-wrong" not in error.message
        # It isn't asked by each user anew, which services may take for an attack.
        for _ in range(20):
            assert (await failure(engine)).error_code == "oauth2.client"
        assert len(service.asked) == 1
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        assert await engine.tokens.get("prod") == service.tokens[0].access_token


async def test_somebody_authorizes_and_the_token_is_renewed_before_it_expires(
    harness: Harness, service: AuthorizationService
) -> None:
    service.lifetime = 300
    async with running(harness, acme(authorize_params={"prompt": "consent"})) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
    async with running(harness, acme(), grace=10) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
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
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        service.held.clear()
        user = asyncio.create_task(engine.tokens.get("prod"))
        for _ in range(2):
            await asyncio.to_thread(service.arrived.acquire)
        # A caller that waits for a renewal of the old one gets nothing of it.
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        service.held.set()
        with pytest.raises(AuthExpired, match="is not authorized yet"):
            await user
        assert info(engine).state == "missing"
    async with running(harness, acme()) as engine:
        assert info(engine).state == "missing"


async def test_a_renewal_that_comes_late_takes_nothing_from_who_authorized_meanwhile(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        service.held.clear()
        user = asyncio.create_task(engine.tokens.get("prod"))
        for _ in range(2):
            await asyncio.to_thread(service.arrived.acquire)
        held = engine.credentials.oauth2_credential("prod")
        assert held is not None
        assert held.tokens is not None
        mine = dataclasses.replace(held.tokens, access_token="mine", expires_at=None, refresh_token="my-own")
        assert await engine.credentials.authorize("prod", held.value, mine, by=SYSTEM)
        service.held.set()
        assert await user == "mine"
        assert await engine.tokens.get("prod") == "mine"


async def test_a_renewal_that_was_rejected_late_does_so_neither(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        service.held.clear()
        service.answers.append((400, {}, '{"error": "invalid_grant"}'))
        user = asyncio.create_task(engine.tokens.get("prod"))
        for _ in range(2):
            await asyncio.to_thread(service.arrived.acquire)
        held = engine.credentials.oauth2_credential("prod")
        assert held is not None
        assert held.tokens is not None
        mine = dataclasses.replace(held.tokens, access_token="mine", expires_at=None, refresh_token="my-own")
        assert await engine.credentials.authorize("prod", held.value, mine, by=SYSTEM)
        service.held.set()
        assert await user == "mine"
        assert info(engine).state == "valid"


async def test_what_another_process_has_renewed_is_used(harness: Harness, service: AuthorizationService) -> None:
    """As `hookline run` does, which the database belongs to between two commits."""
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        other = Credentials(
            engine.store,
            Vault(engine.options.secret_keys),
            engine.registry.credential_types,
            harness.clock,
            engine.ids.new,
            oauth2=engine.registry.oauth2,
        )
        await other.load()
        harness.clock.advance(service.lifetime)
        theirs = await AccessTokens(other, engine.http, harness.clock, engine.log).get("prod")
        assert await engine.tokens.get("prod") == theirs
        assert info(engine).state == "valid"


async def test_a_life_that_is_over_at_once_is_no_endless_loop(harness: Harness, service: AuthorizationService) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)

        class Late:
            """Time passes while it is asked."""

            async def request(self, *given: Any, **options: Any) -> Any:
                answer = await engine.http.request(*given, **options)
                harness.clock.advance(service.lifetime)
                return answer

        http: Any = Late()
        with pytest.raises(Unavailable) as caught:
            await AccessTokens(engine.credentials, http, harness.clock, engine.log).get("prod")
        assert caught.value.retryable
        assert len(service.asked) == 3


async def test_a_rotation_of_the_master_key_encrypts_tokens_too(
    harness: Harness, service: AuthorizationService
) -> None:
    old, new = (b"o" * 32,), (b"n" * 32,)
    async with running(harness, acme(), secret_keys=old) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        first = await engine.tokens.get("prod")
    async with running(harness, acme(), secret_keys=new + old) as engine:
        assert (
            await rotate_keys(engine.credentials, engine.store, engine.vault, engine.clock, engine.ids.new, by=SYSTEM)
            == 1
        )
        assert (
            await rotate_keys(engine.credentials, engine.store, engine.vault, engine.clock, engine.ids.new, by=SYSTEM)
            == 0
        )
        assert await engine.tokens.get("prod") == first
    async with running(harness, acme(), secret_keys=new) as engine:
        assert await engine.tokens.get("prod") == first
        assert info(engine).state == "valid"


def _process(
    engine: Engine, harness: Harness, http: Any = None, membership: Membership | None = None
) -> tuple[Credentials, AccessTokens]:
    """The credentials and tokens of another process on the same database."""
    credentials = Credentials(
        engine.store,
        Vault(engine.options.secret_keys),
        engine.registry.credential_types,
        harness.clock,
        engine.ids.new,
        oauth2=engine.registry.oauth2,
    )
    return credentials, AccessTokens(credentials, http or engine.http, harness.clock, engine.log, membership)


class _Dies:
    """The process is killed after its request has come to the service; `dead` is set then."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dead = asyncio.Event()

    async def request(self, *given: Any, **options: Any) -> Any:
        await self._engine.http.request(*given, **options)
        self.dead.set()
        await asyncio.Event().wait()


async def _killed_while_renewing(engine: Engine, harness: Harness) -> None:
    http = _Dies(engine)
    credentials, tokens = _process(engine, harness, http)
    await credentials.load()
    renewing = asyncio.create_task(tokens.get("prod"))
    await http.dead.wait()
    renewing.cancel()
    await asyncio.gather(renewing, return_exceptions=True)
    await tokens.close()


@pytest.mark.cluster_rule("C10")
@pytest.mark.parametrize("answer", [None, (503, {}, ""), (400, {}, '{"error": "temporarily_unavailable"}')])
async def test_a_renewal_that_a_killed_process_has_begun_is_tried_once_and_then_needs_a_user(
    harness: Harness, service: AuthorizationService, answer: tuple[int, dict[str, str], str] | None
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        await _killed_while_renewing(engine, harness)
        # The service has replaced the refresh token, or it doesn't tell.
        service.answers += [] if answer is None else [answer]
        asked = len(service.asked)
        await engine.credentials.load()
        assert isinstance(await failure(engine), AuthExpired)
        assert info(engine).state == "lost"
        harness.clock.advance(60)
        assert isinstance(await failure(engine), AuthExpired)
        assert len(service.asked) == asked + 1
        await agree(engine)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token


@pytest.mark.cluster_rule("C10")
async def test_a_renewal_that_a_killed_process_has_begun_succeeds_if_the_service_allows_it(
    harness: Harness, service: AuthorizationService
) -> None:
    service.rotates = False
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        await _killed_while_renewing(engine, harness)
        # What says that the service wasn't asked is no try.
        service.answers += [(429, {"Retry-After": "1"}, "")]
        await engine.credentials.load()
        assert (await failure(engine)).retryable
        harness.clock.advance(2)
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        assert info(engine).state == "valid"


@pytest.mark.cluster_rule("C10")
async def test_tokens_that_come_late_don_t_replace_those_that_another_process_has_stored(
    harness: Harness, service: AuthorizationService
) -> None:
    service.rotates = False
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        go_on, arrived = asyncio.Event(), asyncio.Event()

        class Slow:
            async def request(self, *given: Any, **options: Any) -> Any:
                answer = await engine.http.request(*given, **options)
                arrived.set()
                await go_on.wait()
                return answer

        credentials, tokens = _process(engine, harness, Slow())
        await credentials.load()
        late = asyncio.create_task(tokens.get("prod"))
        await arrived.wait()
        # The other process has lost its lease, so that this one renews, too.
        await engine.credentials.load()
        ours = await engine.tokens.get("prod")
        go_on.set()
        assert await late == ours
        await engine.credentials.load()
        assert await engine.tokens.get("prod") == ours


@pytest.mark.postgres
@pytest.mark.cluster_rule("C10")
async def test_a_node_that_joins_while_the_only_other_one_renews_a_token_waits_for_it(
    tmp_path: Path, tables: str, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = Harness(tmp_path, db=tables)
    monkeypatch.setattr(service, "now", nodes.clock.now)
    async with running(nodes, acme(), node_name="one") as one:
        await one.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(one)
        await asyncio.to_thread(service.arrived.acquire)
        nodes.clock.advance(service.lifetime)
        asked = len(service.asked)
        service.held.clear()
        assert one.membership.alone
        here = asyncio.create_task(one.tokens.get("prod"))
        await asyncio.to_thread(service.arrived.acquire)
        async with nodes.engine(**HERE, node_name="other") as other:
            tries, take = 0, other.membership.take

            async def counted(duties: Collection[str]) -> Collection[str]:
                nonlocal tries
                tries += duties == ("tokens of prod",)
                return await take(duties)

            monkeypatch.setattr(other.membership, "take", counted)
            there = asyncio.create_task(other.tokens.get("prod"))
            # It has found that the duty isn't free, or it sends the same refresh token.
            async with asyncio.timeout(20):
                while tries < 2 and len(service.asked) < asked + 2:
                    nodes.clock.advance(0.2)
                    await asyncio.sleep(0.002)
            service.held.set()
            token = await here
            while not there.done():
                await asyncio.wait((there,), timeout=0.02)
                nodes.clock.advance(0.2)
            assert await there == token == service.tokens[-1].access_token
            assert len(service.asked) == asked + 1


class _OfMany(Alone):
    """A node that may get company, whose duties can't always be given."""

    shared = True  # type: ignore[misc]  # others may join

    def __init__(self, fails: int = 0) -> None:
        super().__init__()
        self.has: set[str] = set()
        self._fails = fails

    async def take(self, duties: Collection[str]) -> Collection[str]:
        self.has.update(duties)
        return duties

    async def give(self, duty: str) -> None:
        if self._fails:
            self._fails -= 1
            raise StoreError("away")
        self.has.remove(duty)


async def _is_given(harness: Harness, membership: _OfMany) -> None:
    async with asyncio.timeout(20):
        while membership.has:
            harness.clock.advance(STORE_RETRY)
            await asyncio.sleep(0.002)


@pytest.mark.cluster_rule("C10")
async def test_a_duty_that_can_t_be_given_after_a_renewal_is_given_later(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        membership = _OfMany(fails=2)
        credentials, tokens = _process(engine, harness, membership=membership)
        await credentials.load()
        assert await tokens.get("prod") == service.tokens[-1].access_token
        assert membership.has == {"tokens of prod"}
        await _is_given(harness, membership)
        await tokens.close()


@pytest.mark.cluster_rule("C10")
async def test_a_duty_is_given_if_the_credential_can_t_be_read_again(
    harness: Harness, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        membership = _OfMany()
        credentials, tokens = _process(engine, harness, membership=membership)
        await credentials.load()

        async def away() -> None:
            raise StoreError("away")

        monkeypatch.setattr(credentials, "load", away)
        with pytest.raises(StoreError):
            await tokens.get("prod")
        await _is_given(harness, membership)
        assert service.asked == []
        await tokens.close()


@pytest.mark.cluster_rule("C10")
async def test_a_duty_is_kept_until_the_new_tokens_are_stored(
    harness: Harness, service: AuthorizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        await agree(engine)
        harness.clock.advance(service.lifetime)
        membership = _OfMany()
        credentials, tokens = _process(engine, harness, membership=membership)
        await credentials.load()
        put, away = credentials.put_tokens, True

        async def put_tokens(name: str, of: Any, new: Any, *, before: Any) -> bool:
            if away and new.renewal is None:
                raise StoreError("away")
            return await put(name, of, new, before=before)

        monkeypatch.setattr(credentials, "put_tokens", put_tokens)
        with pytest.raises(StoreError):
            await tokens.get("prod")
        harness.clock.advance(STORE_RETRY)
        await asyncio.sleep(0)
        # Another node would send the refresh token that the service has replaced.
        assert membership.has == {"tokens of prod"}
        away = False
        await _is_given(harness, membership)
        await engine.credentials.load()
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        await tokens.close()
