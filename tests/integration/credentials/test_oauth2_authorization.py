"""Authorizing a credential: by the command, with a server and without; and what a redirect may and may not do."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import aiohttp
import click
import pytest
from click.testing import CliRunner, Result
from tests.integration.authorization_server import AuthorizationService
from tests.integration.engine_harness import Harness
from tests.integration.oauth2_acme import acme, for_itself, values
from tests.integration.oauth2_engine import redirected, running
from yarl import URL

from hookline.cli.main import main
from hookline.cli.running_server_file import announced
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.kernel.errors import AuthorizationUnknown, CredentialError
from hookline.model.access import SYSTEM
from hookline.server_settings import load
from hookline.service.admin import blueprints
from hookline.service.app import create_app
from hookline.service.hooks.hook_endpoint import HookOptions
from hookline.service.server import serving
from hookline.service.server.listening import listen
from hookline.testing.connector_harness import plugin_of

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
LISTENER = "http://127.0.0.1:9/cb"


class Browser:
    """Opens what the command gives it, as somebody does who agrees to everything."""

    def __init__(self) -> None:
        self.pages: list[tuple[int, str]] = []
        self.before: list[str] = []
        """Opened first, where they hold `{redirect}`: the redirect URI."""
        self._threads: list[threading.Thread] = []

    def launch(self, url: str) -> int:
        thread = threading.Thread(target=self._open, args=(url,))
        thread.start()
        self._threads.append(thread)
        return 0

    def _open(self, url: str) -> None:
        redirect = URL(url).query["redirect_uri"]
        for address in (*(one.format(redirect=redirect) for one in self.before), url):
            try:
                with urlopen(address) as page:
                    self.pages.append((page.status, page.read().decode()))
            except HTTPError as error:
                with error:
                    self.pages.append((error.code, error.read().decode()))

    def close(self) -> None:
        for thread in self._threads:
            thread.join()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    made = Browser()
    monkeypatch.setattr(click, "launch", made.launch)
    yield made
    made.close()


@pytest.fixture
def folder(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run commands in, with Acme's plugin installed."""
    monkeypatch.chdir(harness.folder)
    monkeypatch.setenv("HOOKLINE_DB", f"sqlite:///{harness.folder}/hookline.db")
    monkeypatch.setenv("HOOKLINE_EGRESS_ALLOW", "127.0.0.1")
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", TOKEN)
    monkeypatch.setattr(
        "hookline.discovery.plugin_loader.load_plugins", lambda: load_plugins(extra_plugins=[plugin_of(acme())])
    )
    return harness.folder


def hookline(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["credentials", *arguments], catch_exceptions=False)


def set_credential(service: AuthorizationService) -> None:
    done = hookline("set", "prod", "--type", "acme", *(f"{key}={value}" for key, value in values(service).items()))
    assert done.exit_code == 0, done.output


# --- The command -----------------------------------------------------------------------------------------------------


def test_the_command_authorizes_without_a_server(folder: Path, service: AuthorizationService, browser: Browser) -> None:
    set_credential(service)
    assert "none" in hookline("list").stdout
    assert "hookline credentials authorize prod" in hookline("list").stdout
    done = hookline("authorize", "prod", "--open", "--json")
    assert done.exit_code == 0, done.output
    begun, ended = map(json.loads, done.stdout.splitlines())
    assert begun["redirect_uri"].startswith("http://127.0.0.1:")
    assert begun["redirect_uri"].endswith("/oauth/callback")
    assert (begun["state"], ended["state"]) == ("waiting", "done")
    browser.close()
    (shown,) = browser.pages
    assert (shown[0], "You can close this window" in shown[1]) == (200, True)
    listed = json.loads(hookline("list", "--json").stdout)[0]["tokens"]
    assert listed["state"] in ("valid", "renewable")
    assert listed["expires_at"] is not None
    # It works with them, and shows none.
    verified = hookline("verify", "prod")
    assert "credential prod works: jo" in verified.stdout
    said = done.output + hookline("list").output + hookline("list", "--json").output + verified.output + shown[1]
    assert not any(secret in said for secret in service.secrets())


def test_a_redirect_with_another_state_changes_nothing(
    folder: Path, service: AuthorizationService, browser: Browser
) -> None:
    set_credential(service)
    browser.before = [
        "{redirect}?code=forged&state=forged",
        "{redirect}?error=access_denied&state=",
        "{redirect}?error=access_denied",
        "{redirect}/elsewhere?code=x&state=y",
    ]
    done = hookline("authorize", "prod", "--open")
    assert done.exit_code == 0, done.output
    assert "credential 'prod' is authorized" in done.stdout
    browser.close()
    assert [status for status, _ in browser.pages] == [400, 400, 400, 404, 200]
    assert [form["code"] != "forged" for form in service.asked] == [True]


def test_who_does_not_agree_is_reported(folder: Path, service: AuthorizationService, browser: Browser) -> None:
    set_credential(service)
    service.denies = True
    done = hookline("authorize", "prod", "--open")
    assert done.exit_code == 1
    assert "the service denied the authorization (access_denied" in done.stdout
    browser.close()
    assert browser.pages[0][0] == 400
    assert service.asked == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody"], 1, "no credential 'nobody'"),
        (["gh"], 1, "without OAuth 2"),
        (["prod", "--redirect-uri", "https://elsewhere.example/cb"], 2, "no command can listen there"),
        (["prod", "--redirect-uri", "http://127.0.0.1:99999/cb"], 2, "no command can listen there"),
    ],
)
def test_what_can_not_be_authorized_is_rejected(
    folder: Path, service: AuthorizationService, arguments: list[str], code: int, said: str
) -> None:
    set_credential(service)
    assert hookline("set", "gh", "--type", "github", "secret=hunter2-hunter2").exit_code == 0
    done = hookline("authorize", *arguments)
    assert (done.exit_code, said in done.stderr) == (code, True), done.output


def test_a_port_that_is_taken_is_wrong_usage(folder: Path, service: AuthorizationService) -> None:
    set_credential(service)
    done = hookline("authorize", "prod", "--redirect-uri", f"{service.url}/cb")
    port = urlsplit(service.url).port
    assert done.exit_code == 2
    assert f"can't listen on 127.0.0.1 port {port}: Address already in use; choose another" in done.stderr


def test_a_flow_that_is_run_by_hand_uses_tokens_and_stores_what_it_renews(
    folder: Path, harness: Harness, service: AuthorizationService, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load_plugins
    monkeypatch.setattr(
        "hookline.discovery.plugin_loader.load_plugins", lambda: real(extra_plugins=[plugin_of(acme())])
    )
    set_credential(service)
    assert hookline("authorize", "prod", "--open").exit_code == 0
    browser.close()
    harness.flow("who", [{"id": "ask", "use": "acme.whoami", "credential": "prod"}])
    # The service takes the access token no more: another one has to be got.
    service.spoil()
    for _ in range(2):
        done = CliRunner().invoke(main, ["run", "who", "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert not any(secret in done.output for secret in service.secrets())
    assert [form["grant_type"] for form in service.asked] == ["authorization_code", "refresh_token"]
    assert "works: jo" in hookline("verify", "prod").stdout


@asynccontextmanager
async def served(harness: Harness, connector: Any) -> AsyncIterator[tuple[Engine, str]]:
    """A server that commands find."""
    sock = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    async with running(harness, connector, public_url=url) as engine:
        app: Any = create_app(engine, HookOptions(url), blueprints=blueprints(engine, TOKEN))
        shutdown = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serving.serve(app, shutdown=shutdown, sock=sock))
            try:
                with announced(load(), url, None):
                    yield engine, url
            finally:
                shutdown.set()


async def test_the_command_authorizes_through_a_server(
    harness: Harness, folder: Path, service: AuthorizationService, browser: Browser
) -> None:
    async with served(harness, acme()) as (engine, url):
        service.client.redirect_uris = {f"{url}/oauth/callback"}
        await asyncio.to_thread(set_credential, service)
        done = await asyncio.to_thread(hookline, "authorize", "prod", "--open", "--json")
        assert done.exit_code == 0, done.output
        begun, ended = map(json.loads, done.stdout.splitlines())
        assert (begun["redirect_uri"], ended["state"]) == (f"{url}/oauth/callback", "done")
        # A client that is known with an address of this machine only has that one.
        elsewhere = await asyncio.to_thread(
            hookline, "authorize", "prod", "--open", "--json", "--redirect-uri", "http://127.0.0.1/cb"
        )
        assert elsewhere.exit_code == 0, elsewhere.output
        assert ":" in json.loads(elsewhere.stdout.splitlines()[0])["redirect_uri"].removeprefix("http:")
        assert await engine.tokens.get("prod") == service.tokens[-1].access_token
        listed = await asyncio.to_thread(hookline, "list")
    assert "valid until" in listed.stdout
    await asyncio.to_thread(browser.close)
    assert [status for status, _ in browser.pages] == [200, 200]


# --- The API and the server's own callback ---------------------------------------------------------------------------


async def test_the_api_gives_the_address_and_the_callback_finishes(
    harness: Harness, folder: Path, service: AuthorizationService
) -> None:
    async with served(harness, acme()) as (engine, url), aiohttp.ClientSession(headers=AUTH) as api:
        service.client.redirect_uris = {f"{url}/oauth/callback"}
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        credential = f"{url}/api/v1/credentials/prod"
        async with api.post(f"{credential}/authorize") as answer:
            made = await answer.json()
        assert (answer.status, made["state"], made["redirect_uri"]) == (200, "waiting", f"{url}/oauth/callback")
        query = await redirected(made["url"])
        async with aiohttp.ClientSession() as browser:
            for method, status in (("POST", 405), ("HEAD", 405), ("GET", 200), ("GET", 400)):
                async with browser.request(method, f"{url}/oauth/callback?{query}") as page:
                    assert page.status == status
            assert page.headers["Referrer-Policy"] == "no-referrer"
            async with browser.get(f"{url}/oauth/elsewhere") as page:
                assert page.status == 404
        async with api.get(f"{credential}/authorize/{made['id']}") as answer:
            assert (await answer.json())["state"] == "done"
        async with api.get(credential) as answer:
            shown = await answer.json()
        assert shown["tokens"]["state"] == "valid"
        assert not any(secret in json.dumps(shown) for secret in service.secrets())
        for method, path, body, status in (
            ("POST", "authorize", {"redirect_uri": "https://evil.example/cb"}, 422),
            ("POST", "authorize", {"redirect": "x"}, 400),
            ("GET", "authorize/nothing", None, 404),
            ("POST", "authorize/nothing", {"redirected": "?state=x"}, 404),
            ("POST", f"authorize/{made['id']}", {"redirected": f"?{query}"}, 404),
        ):
            async with api.request(method, f"{credential}/{path}", json=body) as answer:
                assert answer.status == status, await answer.text()
        async with api.post(f"{url}/api/v1/credentials/nobody/authorize") as answer:
            assert answer.status == 404
        async with aiohttp.ClientSession() as nobody, nobody.post(f"{credential}/authorize") as answer:
            assert answer.status == 401


# --- What a redirect may do ------------------------------------------------------------------------------------------


async def test_a_redirect_counts_once_and_for_ten_minutes(harness: Harness, service: AuthorizationService) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        begin, finish = engine.authorizations.begin, engine.authorizations.finish
        first, other = begin("prod", LISTENER, by=SYSTEM), begin("prod", LISTENER, by=SYSTEM)
        query = await redirected(first.url)
        with pytest.raises(AuthorizationUnknown):
            await finish(query, engine.http, other.id)
        twice = await asyncio.gather(*(finish(query, engine.http) for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(one, AuthorizationUnknown) for one in twice) == 4
        assert len(service.asked) == 1
        assert engine.authorizations.get("prod", first.id).state == "done"
        assert engine.authorizations.get("prod", other.id).state == "waiting"
        query = await redirected(other.url)
        harness.clock.advance(600)
        with pytest.raises(AuthorizationUnknown):
            await finish(query, engine.http)
        assert engine.authorizations.get("prod", other.id).state == "failed"
        for bad in ("", "state=&code=x", f"{query}&state=x", "code=x", "\udcff=1", "&".join("a=b" for _ in range(99))):
            with pytest.raises(AuthorizationUnknown):
                await finish(bad, engine.http)


async def test_what_became_of_it_is_known_although_the_browser_is_gone(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        made = engine.authorizations.begin("prod", LISTENER, by=SYSTEM)
        query = await redirected(made.url)
        service.held.clear()
        finishing = asyncio.create_task(engine.authorizations.finish(query, engine.http))
        await asyncio.to_thread(service.arrived.acquire)
        finishing.cancel()
        service.held.set()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        assert engine.authorizations.get("prod", made.id).state == "done"


async def test_a_code_without_its_verifier_is_worth_nothing(harness: Harness, service: AuthorizationService) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        made = engine.authorizations.begin("prod", LISTENER, by=SYSTEM)
        attempts = engine.authorizations._attempts
        attempts[made.id] = replace(attempts[made.id], verifier="another-verifier-that-is-as-long-as-one-has-to-be")
        done = await engine.authorizations.finish(await redirected(made.url), engine.http)
        assert (done.state, done.code) == ("failed", "oauth2.code")
        assert "invalid_grant" in (done.message or "")
        assert engine.credentials.list()[0].tokens.state == "missing"  # type: ignore[union-attr]  # it has OAuth 2


async def test_a_code_for_a_credential_that_was_set_anew_is_not_used(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        made = engine.authorizations.begin("prod", LISTENER, by=SYSTEM)
        query = await redirected(made.url)
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        done = await engine.authorizations.finish(query, engine.http)
        assert (done.state, done.code) == ("failed", "oauth2.changed")
        assert service.asked == []


async def test_an_exchange_that_fails_is_reported_and_can_be_begun_again(
    harness: Harness, service: AuthorizationService
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        service.answers.append((503, {}, ""))
        made = engine.authorizations.begin("prod", LISTENER, by=SYSTEM)
        done = await engine.authorizations.finish(await redirected(made.url), engine.http)
        assert (done.state, done.code) == ("failed", "oauth2.unavailable")
        made = engine.authorizations.begin("prod", LISTENER, by=SYSTEM)
        assert (await engine.authorizations.finish(await redirected(made.url), engine.http)).state == "done"


async def test_what_acts_for_itself_is_authorized_by_nobody(harness: Harness, service: AuthorizationService) -> None:
    async with running(harness, for_itself()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        with pytest.raises(CredentialError, match="uses client credentials"):
            engine.authorizations.begin("prod", LISTENER, by=SYSTEM)


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/cb",
        "http://evil.example:80/cb",
        "http://127.0.0.1.evil.example:80/cb",
        "http://127.0.0.1@evil.example:80/cb",
        "http://127.0.0.1/no-port",
        "http://127.0.0.1:1/cb#fragment",
        "http://127.0.0.1:nine/cb",
        "javascript:alert(1)",
        "",
    ],
)
async def test_a_redirect_goes_to_this_machine_or_to_the_server(
    harness: Harness, service: AuthorizationService, uri: str
) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        with pytest.raises(CredentialError, match="the redirect can't go to"):
            engine.authorizations.begin("prod", uri, by=SYSTEM)


async def test_attempts_do_not_pile_up(harness: Harness, service: AuthorizationService) -> None:
    async with running(harness, acme()) as engine:
        await engine.credentials.put("prod", "acme", values(service), by=SYSTEM)
        made = [engine.authorizations.begin("prod", LISTENER, by=SYSTEM) for _ in range(300)]
        assert len(engine.authorizations._attempts) == 200
        assert engine.authorizations.get("prod", made[-1].id).state == "waiting"
        harness.clock.advance(1200)
        engine.authorizations.begin("prod", LISTENER, by=SYSTEM)
        assert len(engine.authorizations._attempts) == 1
