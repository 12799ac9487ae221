"""The contract of connectors holds for one that is well made, and finds what is wrong with others."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import BaseModel, Field, SecretStr

from hookline.api import (
    Connector,
    Context,
    PollContext,
    PollItem,
    PollResult,
    RateLimited,
    StepError,
    Subscription,
    SubscriptionContext,
    VerifyContext,
    linked_items,
)
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import level_of, violations
from hookline.kernel.errors import ConfigError
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.testing.clock import ManualClock
from hookline.testing.connector_harness import SUBSCRIPTION_SECRET, SUBSCRIPTION_URL, Harness, plugin_of
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import Cassette, FakeHttp, NotRecorded

URL = "https://api.acme.example"
SECRET = "hunter2-hunter2"


class AcmeKey(BaseModel):
    """How to reach Acme."""

    base_url: str = Field(URL, description="Where it is.")
    token: SecretStr = Field(description="The API token.")


def acme() -> Connector:
    made = Connector(
        "acme",
        title="Acme",
        credential=AcmeKey,
        description="Orders of Acme.",
        errors={"acme.answer": "Acme answered with something else."},
        example={
            "id": "orders-to-acme",
            "trigger": {"use": "webhook", "with": {"verify": {"scheme": "bearer", "credential": "shop"}}},
            "steps": [{"id": "order", "use": "acme.create_order", "with": {"sku": "a"}, "credential": "acme-prod"}],
        },
    )

    @made.verify
    async def who(ctx: VerifyContext[AcmeKey]) -> None:
        """Ask who it is."""

    @made.action(idempotent=True)
    async def create_order(
        ctx: Context[AcmeKey], sku: Annotated[str, Field(description="What is ordered.")]
    ) -> dict[str, Any]:
        """Create an order."""
        made = await ctx.http.post_json(f"{ctx.credential.base_url}/orders", {"sku": sku})
        if not isinstance(made, dict):
            raise StepError("no order came back", code="acme.answer")
        await ctx.state.set("last", sku)
        return made

    @made.poll(every="1m")
    async def new_orders(ctx: PollContext[AcmeKey], cursor: Any) -> PollResult:
        """Starts an execution for each new order."""
        orders = await ctx.http.get_json(f"{ctx.credential.base_url}/orders")
        if not isinstance(orders, list):
            raise StepError("no list came back", code="acme.answer")
        return PollResult([PollItem(str(order), order) for order in orders], len(orders))

    @made.webhook(scheme="github")
    async def events(
        ctx: SubscriptionContext[AcmeKey], topic: Annotated[str, Field(description="Of what.")]
    ) -> Subscription:
        """Starts an execution for each event."""
        wanted = {"url": ctx.url, "topic": topic, "secret": ctx.secret}
        hook = await ctx.http.post_json(f"{ctx.credential.base_url}/hooks", wanted)
        if not isinstance(hook, dict) or "id" not in hook:
            raise StepError("no hook came back", code="acme.answer")
        return Subscription(hook["id"])

    @events.unsubscribe
    async def remove(ctx: SubscriptionContext[AcmeKey]) -> None:
        """Remove the hook."""
        try:
            await ctx.http.request("DELETE", f"{ctx.credential.base_url}/hooks/{ctx.known}")
        except StepError as error:
            if error.error_code != "http.404":
                raise

    @events.renew(every="1d")
    async def look(ctx: SubscriptionContext[AcmeKey]) -> Subscription | None:
        """See whether it is there."""
        try:
            await ctx.http.get_json(f"{ctx.credential.base_url}/hooks/{ctx.known}")
        except StepError as error:
            if error.error_code == "http.404":
                return None
            raise
        return Subscription(ctx.known)

    return made


class TestAcme(ConnectorContract):
    connector = acme()
    credential = {"token": SECRET}  # noqa: RUF012 - a class's constant
    calls = {  # noqa: RUF012
        "acme.create_order": {"sku": "a"},
        "acme.new_orders": {},
        "acme.events": {"topic": "orders"},
    }
    level = "gold"

    def answers(self, http: FakeHttp) -> None:
        http.answers("POST", f"{URL}/orders", {"id": 7}, sent={"sku": "a"})
        http.answers("GET", f"{URL}/orders", [1, 2])
        http.answers("POST", f"{URL}/hooks", {"id": 7})
        http.answers("GET", f"{URL}/hooks/7", {"id": 7})
        http.answers("DELETE", f"{URL}/hooks/7", None)


@pytest.fixture
async def harness() -> Any:
    made = Harness(load_plugins(extra_plugins=[plugin_of(acme())]))
    yield made
    await made.close()


async def test_an_action_runs_in_three_lines(harness: Harness) -> None:
    assert isinstance(harness.http, FakeHttp)
    harness.http.answers("POST", f"{URL}/orders", {"id": 7})
    ran = await harness.run_action("acme.create_order", credential={"token": SECRET}, sku="a")
    assert (ran.body, harness.state.values) == ({"id": 7}, {"last": "a"})


async def test_a_poll_gives_items_and_a_cursor(harness: Harness) -> None:
    assert isinstance(harness.http, FakeHttp)
    harness.http.answers("GET", f"{URL}/orders", [1])
    polled = await harness.run_poll("acme.new_orders", credential={"token": SECRET})
    assert ([item.id for item in polled.items], polled.cursor) == (["1"], 1)


async def test_a_trigger_subscribes_looks_after_it_and_unsubscribes(harness: Harness) -> None:
    assert isinstance(harness.http, FakeHttp)
    sent = {"url": SUBSCRIPTION_URL, "topic": "orders", "secret": SUBSCRIPTION_SECRET}
    harness.http.answers("POST", f"{URL}/hooks", {"id": 7}, sent=sent)
    harness.http.answers("GET", f"{URL}/hooks/7", None, status=404)
    harness.http.answers("DELETE", f"{URL}/hooks/7", None)
    key = {"token": SECRET}
    subscription = await harness.run_subscribe("acme.events", credential=key, topic="orders")
    assert subscription == Subscription(7)
    assert await harness.run_renew("acme.events", 7, credential=key) is None
    await harness.run_unsubscribe("acme.events", 7, credential=key)
    assert [asked.method for asked in harness.http.requests] == ["POST", "GET", "DELETE"]
    with pytest.raises(ConfigError, match=r"no trigger 'acme.event' that subscribes \(did you mean 'acme.events'"):
        await harness.run_subscribe("acme.event", credential=key, topic="orders")


async def test_a_status_is_an_error_of_its_kind_as_it_is_with_the_real_client(harness: Harness) -> None:
    assert isinstance(harness.http, FakeHttp)
    harness.http.answers("POST", f"{URL}/orders", None, status=429, headers={"retry-after": "9"})
    with pytest.raises(RateLimited) as caught:
        await harness.run_action("acme.create_order", credential={"token": SECRET}, sku="a")
    assert (caught.value.error_code, caught.value.retry_after) == ("http.429", 9.0)


async def test_a_cassette_records_once_replays_and_holds_no_secret(harness: Harness, tmp_path: Path) -> None:
    asked: list[str] = []

    async def orders(request: web.Request) -> web.Response:
        asked.append(request.query_string)
        return web.json_response({"echo": request.query["key"], "n": len(asked)})

    app = web.Application()
    app.router.add_get("/orders", orders)
    file = tmp_path / "orders.json"
    real = PooledClient(clock=ManualClock(), egress=Egress(["127.0.0.1"]))
    async with TestServer(app) as server:
        url = f"{server.make_url('/orders')}?key={SECRET}"
        given = []
        for _ in range(2):
            cassette = Cassette(file, real)
            cassette.hide([SECRET])
            given.append(await cassette.get_json(url))
            cassette.save()
        assert len(asked) == 1
        assert given == [{"echo": "***", "n": 1}] * 2
        with pytest.raises(NotRecorded, match=r"the nearest is\n  GET .*/orders"):
            await cassette.get_json(f"{url}&page=2")
    await real.close()
    assert SECRET not in file.read_text()


def bad(**how: Any) -> Connector:
    class Open(BaseModel):
        token: str = "x"

    made = Connector("bad", credential=Open)

    @made.action
    async def do(ctx: Context[Any], what: str):  # type: ignore[no-untyped-def]
        raise KeyError(what)

    return made


def test_each_thing_that_is_lacking_has_its_rule() -> None:
    assert {rule.code for rule, _ in violations(bad())} == {
        *("summary", "result", "secrets", "parameters", "repeats", "verify", "keys", "about", "errors", "example"),
    }
    assert (level_of(bad()), level_of(acme())) == (None, "gold")


async def contract_finds(connector: Connector, calls: dict[str, Any]) -> ConnectorContract:
    class Contract(ConnectorContract):
        pass

    Contract.connector, Contract.calls, Contract.credential = connector, calls, {"token": SECRET}
    return Contract()


async def test_errors_of_the_engine_need_not_be_listed_and_others_must() -> None:
    made = Connector("bad", credential=AcmeKey, errors={})

    @made.action
    async def lists(ctx: Context[AcmeKey]) -> list[Any]:
        """List."""
        return [one async for one in linked_items(ctx.http, URL)]

    @made.action
    async def own(ctx: Context[AcmeKey]) -> None:
        """Fail."""
        raise StepError("no", code="bad.own")

    harness = Harness(load_plugins(extra_plugins=[plugin_of(made)]))
    try:
        paging = await contract_finds(made, {"bad.lists": {}})
        for content in (b"null", b"{}", b"<html>"):
            await paging.test_an_answer_that_it_does_not_expect_is_no_defect(harness, content)
        failing = await contract_finds(made, {"bad.own": {}})
        with pytest.raises(AssertionError, match=r"bad\.own, which Connector\(errors=…\) doesn't list"):
            await failing.test_an_answer_that_it_does_not_expect_is_no_defect(harness, b"{}")
    finally:
        await harness.close()


async def test_the_contract_finds_defects_leaks_and_what_swallows_cancellation() -> None:
    made = Connector("bad", credential=AcmeKey)

    @made.action
    async def leaks(ctx: Context[AcmeKey]) -> None:
        """Leak."""
        raise StepError(f"not with {ctx.credential.token.get_secret_value()}")

    @made.action
    async def defect(ctx: Context[AcmeKey]) -> Any:
        """Fail."""
        return (await ctx.http.get_json(URL))["x"]

    @made.action
    async def swallows(ctx: Context[AcmeKey]) -> None:
        """Go on."""
        try:
            await ctx.http.get_json(URL)
        except asyncio.CancelledError:
            return

    harness = Harness(load_plugins(extra_plugins=[plugin_of(made)]))
    try:
        leaking = await contract_finds(made, {"bad.leaks": {}})
        with pytest.raises(AssertionError, match="secret is in what it gives"):
            await leaking.test_its_errors_are_of_the_tree_and_show_no_secret(harness, StepError("no"))
        defective = await contract_finds(made, {"bad.defect": {}})
        with pytest.raises(pytest.fail.Exception, match=r"raised TypeError|raised KeyError"):
            await defective.test_an_answer_that_it_does_not_expect_is_no_defect(harness, b"[]")
        swallowing = await contract_finds(made, {"bad.swallows": {}})
        with pytest.raises(AssertionError, match="takes its cancellation"):
            await swallowing.test_cancellation_passes_and_no_task_is_left_behind(harness)
    finally:
        await harness.close()
