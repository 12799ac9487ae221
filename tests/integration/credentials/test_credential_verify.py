"""`@acme.verify`: asking a service whether it takes a credential; and what kinds of errors services give."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from pydantic import BaseModel, SecretStr
from tests.integration.http_servers import Serve, error_of

from hookline.api import AuthExpired, Connector, RateLimited, StepError, Unavailable, VerifyContext, hookimpl
from hookline.credentials.credential_check import CredentialCheck, check_credential
from hookline.credentials.stored_credentials import FoundCredential
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.kernel.errors import PluginError
from hookline.outbound.client import PooledClient
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.plugin_host.resources import EngineResources
from hookline.secrets.credential_reach import HostRule
from hookline.telemetry.metrics import Metrics

SECRET = "hunter2-hunter2"


class Key(BaseModel):
    url: str
    token: SecretStr


def registry_of(connector: Connector) -> Registry:
    class Plugin:
        @hookimpl
        def register_connectors(self) -> list[Connector]:
            return [connector]

    return load_plugins(extra_plugins=[Plugin()])


class OneCredential:
    def __init__(self, type: str, value: BaseModel) -> None:
        self._found = FoundCredential(type, value, HostRule("prod"))

    def get(self, name: str, flow_id: str | None) -> FoundCredential:
        return self._found


async def asked(connector: Connector, url: str, client: PooledClient, type: str = "acme") -> CredentialCheck:
    held: Any = OneCredential(type, Key(url=url, token=SecretStr(SECRET)))
    log = structlog.get_logger()
    return await check_credential(
        "prod",
        held,
        PluginCalls(registry_of(connector), Metrics(), log),
        http=client,
        resources=EngineResources(),
        log=log,
    )


def acme() -> Connector:
    connector = Connector("acme", title="Acme", credential=Key)

    @connector.verify
    async def who(ctx: VerifyContext[Key]) -> str:
        """Ask who I am."""
        token = ctx.credential.token.get_secret_value()
        found = await ctx.http.get_json(ctx.credential.url, headers={"Authorization": f"Bearer {token}"})
        if found["name"] == "defect":
            raise KeyError(token)
        if found["name"] == "cancel":
            raise asyncio.CancelledError
        return f"{found['name']} with {token}"

    return connector


@pytest.mark.parametrize(
    ("status", "name", "state", "code"),
    [
        (200, "jo", "valid", None),
        (401, "jo", "failed", "http.401"),
        (200, "defect", "failed", "connector.defect"),
        (200, "cancel", "failed", "connector.defect"),
    ],
)
async def test_a_credential_is_well_or_it_is_said_why_not_and_never_what_it_is(
    client: PooledClient, serve: Serve, status: int, name: str, state: str, code: str | None
) -> None:
    async def me(request: web.Request) -> web.Response:
        return web.json_response({"name": name, "sent": request.headers["Authorization"]}, status=status)

    server = await serve({"/me": me})
    verdict = await asked(acme(), str(server.make_url("/me")), client)
    assert (verdict.state, verdict.code) == (state, code)
    assert SECRET not in verdict.message
    assert status != 200 or name == "cancel" or "***" in verdict.message


async def test_a_type_that_nothing_verifies_says_so(client: PooledClient) -> None:
    verdict = await asked(Connector("acme", credential=Key), "http://127.0.0.1", client)
    assert (verdict.state, verdict.code) == ("unknown", None)
    assert "no plugin can verify" in verdict.message


def test_what_can_not_verify_is_rejected_by_name() -> None:
    async def who(ctx: Any, more: str) -> None: ...

    with pytest.raises(PluginError, match="who"):
        Connector("acme", credential=Key).verify(who)
    with pytest.raises(PluginError, match="no credential type"):
        Connector("acme").verify(who)


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(401, AuthExpired, False), (429, RateLimited, True), (503, Unavailable, True), (404, StepError, False)],
)
async def test_an_error_is_of_its_kind_under_the_code_of_its_status(
    client: PooledClient, serve: Serve, status: int, kind: type[StepError], retryable: bool
) -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "7"})

    server = await serve({"/": fail})
    error = await error_of(client.request("GET", str(server.make_url("/"))))
    assert (type(error), error.error_code, error.retryable) == (kind, f"http.{status}", retryable)
    assert error.retry_after == 7


@pytest.mark.rule(21)
async def test_where_nobody_listens_it_is_unavailable(client: PooledClient, unused_tcp_port: int) -> None:
    error = await error_of(client.request("GET", f"http://127.0.0.1:{unused_tcp_port}/"))
    assert (type(error), error.error_code, error.retryable) == (Unavailable, "http.connect", True)


def test_each_kind_has_a_code_and_says_whether_trying_again_helps() -> None:
    found = {kind: kind(retry_after=3.0) for kind in (StepError, RateLimited, AuthExpired, Unavailable)}
    assert {error.error_code: (error.retryable, error.message) for error in found.values()} == {
        "step.failed": (False, "The step failed."),
        "step.rate_limited": (True, "The service asks for fewer requests."),
        "step.auth_expired": (False, "The service rejects the credential."),
        "step.unavailable": (True, "The service can't be reached now."),
    }
    assert not Unavailable(retryable=False).retryable


def test_the_command_says_that_a_type_can_not_be_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from hookline.cli.main import main

    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert run(main, ["credentials", "set", "gh", "--type", "github", f"secret={SECRET}"]).exit_code == 0
    done = run(main, ["credentials", "verify", "gh", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["state"]) == (1, "unknown")
    missing = run(main, ["credentials", "verify", "other"])
    assert missing.exit_code == 1
    assert "no credential 'other'" in missing.stderr
