"""`GET /attention` and `hookline attention` show everything that needs somebody, and each token what it may see."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from quart.typing import TestClientProtocol as Client

from hookline.cli.main import main
from hookline.credentials.stored_credentials import CredentialInfo, TokenInfo
from hookline.discovery.plugin_loader import load_plugins
from hookline.engine import Engine
from hookline.engine_options import EngineOptions
from hookline.kernel.clocks import rfc3339
from hookline.kernel.ids import Ids
from hookline.model.access import Token, TokenScope
from hookline.model.execution import ErrorInfo, Outcome, State
from hookline.model.rejection import RejectedRequest
from hookline.operations import attention
from hookline.operations.attention import Attention
from hookline.service.admin import blueprints
from hookline.service.app import create_pages
from hookline.storage.change_declarations import (
    Accept,
    BeginWait,
    CreateToken,
    End,
    Park,
    PutCredential,
    Reject,
    ReportProblems,
    Start,
)
from hookline.storage.cluster import Node
from hookline.storage.node_problems import NodeProblem
from hookline.testing.clock import ManualClock
from hookline.testing.envelopes import Envelopes

TOKEN = "a-token-of-the-tests"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


def options_of(folder: Path) -> EngineOptions:
    return EngineOptions(
        db=f"sqlite:///{folder}/hookline.db", blobs=f"file://{folder}/blobs", flows=None, secret_keys=(b"k" * 32,)
    )


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with Engine(load_plugins(), options_of(tmp_path)) as engine:
        yield engine


@pytest.fixture
def client(engine: Engine) -> Client:
    return create_pages(blueprints(engine, TOKEN)).test_client()


async def items(client: Client, headers: dict[str, str] = AUTH) -> list[dict[str, Any]]:
    response = await client.get("/api/v1/attention", headers=headers)
    assert response.status_code == 200, await response.get_data()
    found: list[dict[str, Any]] = (await response.get_json())["items"]
    return found


class Trouble:
    """Makes what needs attention, in the store of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.store, self.now = engine.store, engine.clock.now()
        self.long_ago = ManualClock(self.now - timedelta(minutes=11))
        self.envelopes, self.ids = Envelopes(self.long_ago), Ids(engine.clock)

    async def execution(self, flow_id: str, *, start: bool = True) -> str:
        envelope = self.envelopes.make(flow_id)
        await self.store.commit([Accept(envelope)])
        if start:
            await self.store.commit([Start(envelope.execution_id, "v1", self.now)])
        return envelope.execution_id

    async def dead_letter(self, flow_id: str) -> None:
        id_ = await self.execution(flow_id)
        error = ErrorInfo("http.503", "Service Unavailable", "pay", False)
        await self.store.commit([End(id_, State.FAILED, Outcome.FAILED, self.now, error)])

    async def blocked(self, flow_id: str) -> None:
        id_ = await self.execution(flow_id)
        await self.store.commit([Park(id_, self.now, None, "blocked: there is no credential 'shop'")])

    async def wait(self, flow_id: str, late: timedelta) -> None:
        id_ = await self.execution(flow_id)
        opened = self.now - timedelta(hours=1)
        begun = BeginWait(id_, "ask", flow_id, "ask", None, opened, self.now + late)
        await self.store.commit([begun, Park(id_, self.now, None, "callback")])

    async def reject(self, *flow_ids: str, ago: timedelta = timedelta(0)) -> None:
        at = self.now - ago
        ids = Ids(ManualClock(at))
        requests = [
            RejectedRequest(ids.new(), flow_id, at, "request.not_verified", 401, "no", "POST", flow_id, 0)
            for flow_id in flow_ids
        ]
        await self.store.commit([Reject(tuple(requests))])

    async def token(self, name: str, lifetime: timedelta, left: timedelta) -> None:
        expires = self.now + left
        token = Token(self.ids.new(), name, (TokenScope.READ,), expires - lifetime, "token x", expires)
        await self.store.commit([CreateToken(token, name.encode())])

    async def report(self, *problems: NodeProblem, ago: timedelta = timedelta(0)) -> None:
        at = self.now - ago
        await self.store.commit([ReportProblems(f"elsewhere.{ago}", problems, at, at)])


@pytest.mark.console_rule("K10")
async def test_nothing_needs_attention_in_a_new_server(client: Client) -> None:
    assert await items(client) == []


@pytest.mark.console_rule("K10")
async def test_everything_that_needs_somebody_is_shown_errors_first(engine: Engine, client: Client) -> None:
    trouble = Trouble(engine)
    await trouble.dead_letter("orders")
    await trouble.dead_letter("orders")
    await trouble.blocked("blocked")
    await trouble.execution("queued", start=False)
    await trouble.wait("asked", -timedelta(minutes=1))
    await trouble.wait("asked", timedelta(minutes=1))
    await trouble.reject("orders", "orders", "-")
    await trouble.token("ci", timedelta(days=90), timedelta(days=3))
    since = trouble.now - timedelta(minutes=7)
    await trouble.report(
        NodeProblem("source_stopped", "polled", "401", since),
        NodeProblem("plugin_failed", "acme", "no module", since),
        NodeProblem("disk_budget", "", "full", since),
        NodeProblem("disk_budget", "large", "too large", since),
    )
    await trouble.store.commit([PutCredential("shop", "bearer", b"unreadable", trouble.now)])
    await engine.credentials.load()

    found = await items(client)
    shown = [(one["kind"], one["severity"], one["flow_id"], one["count"], one["link"]) for one in found]
    cause = (await engine.store.dead_letters()).items[0].cause
    assert shown == [
        ("disk_budget", "error", None, None, "/storage"),
        ("disk_budget", "error", "large", None, "/storage"),
        ("plugin_failed", "error", None, None, "/plugins"),
        ("source_stopped", "error", "polled", None, "/flows/polled"),
        ("dead_letters", "error", "orders", 2, f"/dead-letters/orders%3A{cause}"),
        ("waiting_too_long", "error", "blocked", 1, "/executions?flow_id=blocked&state=waiting"),
        ("credential_expiring", "error", None, None, "/credentials/shop"),
        ("waiting_too_long", "warning", "queued", None, "/executions?flow_id=queued&state=queued"),
        ("waiting_too_long", "warning", "asked", 1, "/executions?flow_id=asked&state=waiting"),
        ("rejected", "warning", "-", 1, "/rejected?flow_id=-"),
        ("rejected", "warning", "orders", 2, "/rejected?flow_id=orders"),
        ("token_expiring", "warning", None, None, "/tokens"),
    ]
    by_kind = {(one["kind"], one["flow_id"]): one for one in found}
    dead = by_kind["dead_letters", "orders"]
    assert (dead["title"], dead["detail"]) == (
        "2 executions of flow 'orders' failed",
        "step pay: Service Unavailable (http.503)",
    )
    assert by_kind["waiting_too_long", "blocked"]["detail"] == "there is no credential 'shop'"
    assert by_kind["waiting_too_long", "asked"]["since"] == rfc3339(trouble.now - timedelta(hours=1))
    assert by_kind["plugin_failed", None]["since"] == rfc3339(since)


@pytest.mark.console_rule("K10")
async def test_what_is_recent_or_over_isnt_shown(engine: Engine, client: Client) -> None:
    trouble = Trouble(engine)
    trouble.long_ago.advance(120)
    await trouble.execution("queued", start=False)
    await trouble.wait("asked", timedelta(minutes=1))
    await trouble.reject("orders", ago=timedelta(hours=25))
    await trouble.token("long", timedelta(days=90), timedelta(days=8))
    await trouble.token("short", timedelta(hours=8), timedelta(hours=3))
    await trouble.token("expired", timedelta(days=90), -timedelta(days=1))
    await trouble.report(NodeProblem("plugin_failed", "acme", "no module", trouble.now), ago=timedelta(minutes=4))
    assert await items(client) == []


@pytest.mark.console_rule("K10")
async def test_a_token_sees_what_concerns_its_flows_and_what_its_scope_allows(engine: Engine, client: Client) -> None:
    trouble = Trouble(engine)
    for flow_id in ("mine", "other"):
        await trouble.dead_letter(flow_id)
    await trouble.reject("mine", "-")
    await trouble.token("ci", timedelta(days=90), timedelta(days=3))
    await trouble.report(NodeProblem("plugin_failed", "acme", "no module", trouble.now))

    async def seen(**token: Any) -> list[tuple[str, str | None]]:
        made = await client.post("/api/v1/tokens", headers=AUTH, json={"name": f"a-{token['scopes'][0]}", **token})
        headers = {"Authorization": f"Bearer {(await made.get_json())['token']}"}
        return [(one["kind"], one["flow_id"]) for one in await items(client, headers)]

    assert await seen(scopes=["admin"], flows=["mine"]) == [("dead_letters", "mine"), ("rejected", "mine")]
    assert await seen(scopes=["read"]) == [
        ("plugin_failed", None),
        ("dead_letters", "other"),
        ("dead_letters", "mine"),
        ("rejected", "-"),
        ("rejected", "mine"),
    ]


@pytest.mark.console_rule("K10")
async def test_the_result_is_used_for_two_seconds(engine: Engine) -> None:
    clock = ManualClock(engine.clock.now())
    report = Attention(engine.store, clock, engine.credentials, engine.membership).report
    first, again = await asyncio.gather(report(), report())
    await Trouble(engine).dead_letter("orders")
    assert await report() is first is again
    clock.advance(2)
    assert [one.kind for one in (await report()).items] == ["dead_letters"]


@pytest.mark.console_rule("K10")
@pytest.mark.parametrize(("seconds", "used"), [(0.01, 2.0), (0.05, 5.0), (1.0, 10.0)])
async def test_a_result_that_takes_long_to_find_is_used_longer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, seconds: float, used: float
) -> None:
    clock = ManualClock(engine.clock.now())
    found = engine.store.dead_letters

    async def slowly(*args: Any, **kwargs: Any) -> Any:
        clock.advance(seconds)
        return await found(*args, **kwargs)

    monkeypatch.setattr(engine.store, "dead_letters", slowly)
    report = Attention(engine.store, clock, engine.credentials, engine.membership).report
    first = await report()
    clock.advance(used - 0.001)
    assert await report() is first
    clock.advance(0.001)
    assert await report() is not first


@pytest.mark.console_rule("K10")
def test_a_credential_that_nobody_renews_is_shown_before_it_expires() -> None:
    now = ManualClock().now()

    def shown(tokens: TokenInfo | None, problem: str | None = None) -> str | None:
        item = attention._credential(CredentialInfo("shop", "acme", now, problem, tokens), now)
        return None if item is None else item.severity

    soon, later = now + timedelta(days=6), now + timedelta(days=8)
    assert shown(None) is None
    assert shown(None, "it can't be decrypted") == "error"
    assert shown(TokenInfo("lost", problem="revoked")) == "error"
    assert shown(TokenInfo("valid", soon)) == "warning"
    assert shown(TokenInfo("valid", later)) is None
    assert shown(TokenInfo("valid", soon, renewable=True)) is None
    assert shown(TokenInfo("valid")) is None


@pytest.mark.console_rule("K10")
def test_a_node_is_gone_if_it_didnt_stop_by_itself_and_no_other_has_its_name() -> None:
    now = ManualClock().now()

    def node(name: str, *, gone: float | None = None) -> Node:
        gone_at = None if gone is None else now + timedelta(seconds=gone)
        return Node(f"{name}.{gone}", name, "host", "all", "1", now, now, 0.0, None, gone_at, "")

    nodes = [node("lost", gone=1), node("stopped", gone=-5), node("again", gone=1), node("again"), node("lives")]
    assert [one.title for one in attention._nodes(nodes)] == ["Node 'lost' is gone"]


@pytest.mark.console_rule("K10")
async def test_the_command_lists_it_also_without_a_server(tmp_path: Path) -> None:
    async with Engine(load_plugins(), options_of(tmp_path)) as engine:
        await Trouble(engine).dead_letter("orders")
    given = ["attention", "--db", f"sqlite:///{tmp_path}/hookline.db"]
    result = await asyncio.to_thread(CliRunner().invoke, main, given)
    assert result.exit_code == 0, result.output
    assert "1 execution of flow 'orders' failed" in " ".join(result.output.split())
