"""The Stripe connector against `localstripe`, and against a server for what that leaves out."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from aiohttp.test_utils import TestServer
from tests.acceptance.server_process import free_port
from tests.stripe_server import KEY, Rejected, StripeServer

import hookline_stripe
from hookline.api import AuthExpired, RateLimited, StepError, Unavailable, VerifyContext
from hookline.discovery.plugin_loader import load_plugins
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.testing.clock import ManualClock
from hookline.testing.connector_harness import SUBSCRIPTION_URL, Harness
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp

API = "https://api.stripe.com"


class TestContract(ConnectorContract):
    connector = hookline_stripe.stripe
    credential = {"api_key": KEY}  # noqa: RUF012 - a class's constant
    level = "gold"
    calls = {  # noqa: RUF012
        "stripe.create_customer": {"email": "a@example.com"},
        "stripe.get_customer": {"customer": "cus_1"},
        "stripe.update_customer": {"customer": "cus_1", "name": "Ada"},
        "stripe.list_customers": {},
        "stripe.create_payment_intent": {"amount": 1099, "currency": "eur"},
        "stripe.get_payment_intent": {"payment_intent": "pi_1"},
        "stripe.confirm_payment_intent": {"payment_intent": "pi_1"},
        "stripe.capture_payment_intent": {"payment_intent": "pi_1"},
        "stripe.cancel_payment_intent": {"payment_intent": "pi_1"},
        "stripe.create_refund": {"payment_intent": "pi_1"},
        "stripe.list_payment_intents": {},
        "stripe.list_charges": {},
        "stripe.list_refunds": {},
        "stripe.create_invoice_item": {"customer": "cus_1", "amount": 1, "currency": "eur"},
        "stripe.create_invoice": {"customer": "cus_1"},
        "stripe.get_invoice": {"invoice": "in_1"},
        "stripe.finalize_invoice": {"invoice": "in_1"},
        "stripe.list_invoices": {},
        "stripe.get_event": {"event": "evt_1"},
        "stripe.list_events": {},
        "stripe.request": {"path": "/v1/products"},
        "stripe.events": {"events": ["invoice.paid"]},
    }

    def answers(self, http: FakeHttp) -> None:
        page = {"data": [{"id": "x_1"}], "has_more": False}
        for path in ("customers", "payment_intents", "invoices", "refunds", "invoiceitems"):
            http.answers("POST", f"{API}/v1/{path}", {"id": "x_1"})
        for path in ("customers", "payment_intents", "invoices", "charges", "refunds", "events", "webhook_endpoints"):
            http.answers("GET", f"{API}/v1/{path}?limit=100", page)
        for path in ("customers/cus_1", "payment_intents/pi_1", "invoices/in_1", "events/evt_1", "products"):
            http.answers("GET", f"{API}/v1/{path}", {"id": "x_1"})
        http.answers("POST", f"{API}/v1/customers/cus_1", {"id": "cus_1"})
        for what in ("confirm", "capture", "cancel"):
            http.answers("POST", f"{API}/v1/payment_intents/pi_1/{what}", {"id": "pi_1"})
        http.answers("POST", f"{API}/v1/invoices/in_1/finalize", {"id": "in_1"})
        endpoint = {"id": "we_1", "secret": "whsec_1234567890", "url": SUBSCRIPTION_URL, "status": "enabled"}
        http.answers("POST", f"{API}/v1/webhook_endpoints", endpoint)
        for method in ("GET", "POST", "DELETE"):
            http.answers(method, f"{API}/v1/webhook_endpoints/we_1", endpoint)


class Room:
    """The connector, a server and a credential."""

    def __init__(self, base_url: str, **key: Any) -> None:
        self.http = PooledClient(clock=ManualClock(), egress=Egress(["127.0.0.1"]))
        self.harness = Harness(load_plugins(), self.http)
        self.key = {"api_key": KEY, "base_url": base_url, **key}

    async def run(self, action: str, **settings: Any) -> Any:
        """The body of what an action gives."""
        return (await self.harness.run_action(f"stripe.{action}", credential=self.key, with_=settings)).body

    async def fails(self, action: str, **settings: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self.run(action, **settings)
        return caught.value

    async def subscribe(self, known: Any = None, **settings: Any) -> Any:
        return await self.harness.run_subscribe("stripe.events", known=known, credential=self.key, **settings)

    async def verify(self) -> str | None:
        connector = hookline_stripe.stripe
        assert connector.verifier is not None
        assert connector.credential is not None
        key = connector.credential.model_validate(self.key)
        return await connector.verifier(VerifyContext(key, self.http, self.harness.log, self.harness.resources))

    async def close(self) -> None:
        await self.http.close()
        await self.harness.close()


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its process, and where it is."""
    port, folder = free_port(), tmp_path_factory.mktemp("localstripe")
    log = (folder / "log").open("wb")
    command = [sys.executable, "-W", "ignore", "-m", "localstripe", "--port", str(port), "--from-scratch"]
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    _answers(url, process, folder / "log")
    yield url
    process.kill()
    process.wait()
    log.close()


def _answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urlopen(f"{url}/js.stripe.com/v3/"):
                return
        except URLError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "localstripe doesn't answer"
            time.sleep(0.05)


@pytest.fixture
async def local(localstripe: str) -> AsyncIterator[Room]:
    room = Room(localstripe)
    yield room
    await room.close()


class StripeRoom(Room):
    """With a server of ours."""

    stripe: StripeServer


@pytest.fixture
async def room() -> AsyncIterator[StripeRoom]:
    server = StripeServer()
    async with TestServer(server.app) as running:
        made = StripeRoom(str(running.make_url("/")))
        made.stripe = server
        yield made
        await made.close()


CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2035, "cvc": "123"}
NO_FUNDS = {**CARD, "number": "4000000000000341"}


async def paying(room: Room, card: dict[str, Any] = CARD) -> tuple[str, str]:
    """A customer with a card."""
    customer = await room.run("create_customer", email="ada@example.com", name="Ada", metadata={"plan": "pro", "n": 3})
    fields = {"type": "card", "card": card}
    method = await room.run("request", method="POST", path="/v1/payment_methods", fields=fields)
    attach = f"/v1/payment_methods/{method['id']}/attach"
    await room.run("request", method="POST", path=attach, fields={"customer": customer["id"]})
    return customer["id"], method["id"]


async def test_a_customer_is_made_changed_and_read(local: Room) -> None:
    made = await local.run(
        "create_customer", email="ada@example.com", name="Ada", address={"line1": "1 Road", "city": "London"}
    )
    changed = await local.run("update_customer", customer=made["id"], description="Countess", metadata={"plan": "pro"})
    assert changed["metadata"] == {"plan": "pro"}
    read = await local.run("get_customer", customer=made["id"])
    assert (read["email"], read["name"], read["description"]) == ("ada@example.com", "Ada", "Countess")
    missing = await local.fails("get_customer", customer="cus_none")
    assert (missing.error_code, missing.retryable) == ("http.404", False)


async def test_a_payment_is_authorized_captured_and_refunded(local: Room) -> None:
    customer, method = await paying(local)
    intent = await local.run(
        "create_payment_intent",
        amount=1099,
        currency="EUR",
        customer=customer,
        payment_method=method,
        capture_method="manual",
        metadata={"order": 7},
    )
    assert (intent["status"], intent["currency"], intent["metadata"]) == (
        "requires_confirmation",
        "eur",
        {"order": "7"},
    )
    confirmed = await local.run("confirm_payment_intent", payment_intent=intent["id"])
    assert confirmed["status"] == "requires_capture"
    captured = await local.run("capture_payment_intent", payment_intent=intent["id"])
    assert captured["status"] == "succeeded"
    refund = await local.run("create_refund", payment_intent=intent["id"], amount=99)
    assert (refund["amount"], refund["status"]) == (99, "succeeded")
    assert [one["id"] for one in await local.run("list_refunds", payment_intent=intent["id"])] == [refund["id"]]
    assert (await local.run("get_payment_intent", payment_intent=intent["id"]))["status"] == "succeeded"
    assert (await local.fails("create_refund")).error_code == "stripe.refund"


async def test_a_payment_is_cancelled(local: Room) -> None:
    intent = await local.run("create_payment_intent", amount=5, currency="eur")
    cancelled = await local.run("cancel_payment_intent", payment_intent=intent["id"])
    assert cancelled["status"] == "canceled"
    again = await local.fails("cancel_payment_intent", payment_intent=intent["id"])
    assert not again.retryable


async def test_a_card_that_is_declined_is_an_error_that_says_so(local: Room) -> None:
    customer, method = await paying(local, NO_FUNDS)
    error = await local.fails(
        "create_payment_intent", amount=5, currency="eur", customer=customer, payment_method=method, confirm=True
    )
    assert (error.error_code, error.retryable) == ("stripe.card_declined", False)
    assert "declined" in error.message


async def test_all_customers_come_page_after_page(local: Room) -> None:
    for n in range(120):
        await local.run("create_customer", email=f"{n}@pages.example")
    listed = await local.run("list_customers")
    mine = [one["email"] for one in listed if one["email"].endswith("@pages.example")]
    assert len(mine) == len(set(mine)) == 120
    assert len(await local.run("list_customers", limit=101)) == 101


async def test_an_invoice_is_made_of_lines(local: Room) -> None:
    customer, method = await paying(local)
    await local.run("update_customer", customer=customer, more={"invoice_settings": {"default_payment_method": method}})
    # It makes invoices only for those who have subscribed.
    product = {"amount": 500, "currency": "eur", "interval": "month", "product": {"name": "Tea"}}
    plan = await local.run("request", method="POST", path="/v1/plans", fields=product)
    subscription = {"customer": customer, "items": [{"plan": plan["id"], "quantity": 2}]}
    await local.run("request", method="POST", path="/v1/subscriptions", fields=subscription)
    (first,) = await local.run("list_invoices", customer=customer)
    assert (first["total"], first["customer"]) == (1000, customer)
    item = await local.run("create_invoice_item", customer=customer, amount=250, currency="eur", description="Tea")
    assert item["amount"] == 250
    invoice = await local.run("create_invoice", customer=customer, description="For tea")
    read = await local.run("get_invoice", invoice=invoice["id"])
    assert (read["customer"], read["description"]) == (customer, "For tea")
    assert {one["id"] for one in await local.run("list_invoices", customer=customer)} == {first["id"], invoice["id"]}


async def test_events_are_read(local: Room) -> None:
    await local.run("create_customer", email="event@example.com")
    (newest,) = await local.run("list_events", limit=1)
    assert (await local.run("get_event", event=newest["id"]))["type"] == newest["type"]


async def test_a_draft_is_finalized_once_however_often_it_is_asked(room: StripeRoom) -> None:
    draft = await room.run("create_invoice", customer="cus_1", auto_advance=False, days_until_due=30)
    assert (draft["status"], draft["auto_advance"]) == ("draft", "false")
    room.harness.step_id = "finalize"
    finalized = await room.run("finalize_invoice", invoice=draft["id"])
    assert finalized["status"] == "open"
    assert await room.run("finalize_invoice", invoice=draft["id"]) == finalized, "the same step, tried again"
    room.harness.step_id = "later"
    later = await room.fails("finalize_invoice", invoice=draft["id"])
    assert (later.error_code, later.retryable) == ("stripe.invoice_not_editable", False)
    room.harness.step_id = "finalize"
    other = await room.fails("finalize_invoice", invoice=draft["id"], auto_advance=True)
    assert "idempotency_error" in other.message


async def test_each_request_has_the_keys_version_and_account(room: StripeRoom) -> None:
    room.key |= {"api_version": "2024-06-20", "account": "acct_2"}
    await room.run("create_invoice", customer="cus_1")
    headers = room.stripe.headers[-1]
    assert (headers["Stripe-Version"], headers["Stripe-Account"]) == ("2024-06-20", "acct_2")
    assert headers["Idempotency-Key"]
    await room.run("request", path="/v1/balance", query={"expand": ["a"]})
    assert "Idempotency-Key" not in room.stripe.headers[-1]


async def test_an_error_has_all_that_stripe_says(room: StripeRoom) -> None:
    error = await room.fails("create_payment_intent", amount=5, currency="eur")
    assert error.error_code == "stripe.card_declined"
    assert error.message.startswith(
        "Stripe answered 402: Your card has insufficient funds. (type card_error, code card_declined, "
        "decline code insufficient_funds, param payment_method, request req_"
    )


async def test_what_helps_is_tried_again_and_when_it_is_said(room: StripeRoom) -> None:
    room.stripe.rejects = [
        Rejected(429, {"Retry-After": "3"}, code="rate_limit", message="Too many requests"),
        Rejected(429, code="lock_timeout", message="This object cannot be accessed right now"),
        Rejected(409, code="idempotency_key_in_use", message="There is another request with this key"),
        Rejected(500, type="api_error", message="Something went wrong"),
        Rejected(500, {"Stripe-Should-Retry": "false"}, type="api_error", message="Something went wrong"),
        Rejected(503, type="api_error", message="Not now"),
    ]
    errors = [await room.fails("create_invoice", customer="cus_1") for _ in range(6)]
    assert [error.retryable for error in errors] == [True, True, True, True, False, True]
    assert [type(error) for error in errors] == [RateLimited, RateLimited, StepError, StepError, StepError, Unavailable]
    assert [error.error_code for error in errors[:4]] == [
        "stripe.rate_limit",
        "stripe.lock_timeout",
        "stripe.idempotency_key_in_use",
        "http.500",
    ]
    assert errors[0].retry_after == 3


async def test_a_key_that_is_not_taken_is_of_its_kind(room: StripeRoom) -> None:
    room.key["api_key"] = "sk_test_wrong_key"
    error = await room.fails("get_customer", customer="cus_1")
    assert isinstance(error, AuthExpired)
    assert "sk_test_wrong_key" not in error.message


async def test_a_credential_says_whose_it_is(room: StripeRoom, local: Room) -> None:
    assert await room.verify() == "acct_1 (Acme)"
    room.stripe.restricted = True
    assert await room.verify() == "a key of a sandbox"
    assert await local.verify() == "a key of a sandbox", "it has no accounts"


async def test_no_id_leads_elsewhere(room: StripeRoom) -> None:
    assert (await room.fails("get_customer", customer="..")).error_code == "stripe.id"
    assert (await room.fails("request", path="/v1/customers/../account")).error_code == "stripe.id"
    for path in (".example.com/v1/a", "@example.com/v1/a", "https://example.com/v1/a", "v1/a"):
        with pytest.raises(ValueError, match="path"):
            await room.run("request", path=path)
    assert (await room.fails("request", path="/v1/x", method="POST", fields={}, json={})).error_code == "stripe.body"
    await room.fails("get_customer", customer="a/b")
    assert room.stripe.requests[-1] == ("GET", "/v1/customers/a%2Fb") or "a/b" in room.stripe.requests[-1][1]


async def test_lists_are_asked_for_with_their_filters(room: StripeRoom) -> None:
    since = datetime(2026, 1, 31, 8, tzinfo=UTC) - timedelta(hours=1)
    await room.fails("list_events", types=["invoice.paid"], since=since, undelivered=True)
    assert room.stripe.requests[-1] == ("GET", "/v1/events")


async def test_an_endpoint_is_made_once_changed_in_place_and_removed(room: StripeRoom) -> None:
    first = await room.subscribe(events=["invoice.paid", "*"])
    (endpoint,) = room.stripe.endpoints.values()
    assert first.secret == endpoint["secret"]
    assert (endpoint["url"], endpoint["enabled_events"]) == (SUBSCRIPTION_URL, ["*", "invoice.paid"])
    changed = await room.subscribe(first.id, events=["invoice.paid"])
    assert (changed.id, changed.secret) == (first.id, None), "it keeps its secret"
    assert endpoint["enabled_events"] == ["invoice.paid"]

    # What can't be changed is made anew; the one before is the engine's to remove.
    connected = await room.subscribe(first.id, events=["invoice.paid"], connect=True)
    assert connected.id != first.id
    assert len(room.stripe.endpoints) == 2
    renew = room.harness.run_renew
    await room.harness.run_unsubscribe("stripe.events", first.id, credential=room.key)
    await room.harness.run_unsubscribe("stripe.events", first.id, credential=room.key)
    assert await renew("stripe.events", first.id, credential=room.key) is None
    (endpoint,) = room.stripe.endpoints.values()
    endpoint["status"] = "disabled"
    assert await renew("stripe.events", connected.id, credential=room.key) == connected.__class__(connected.id)
    assert endpoint["status"] == "enabled"


async def test_an_endpoint_that_nobody_knows_of_is_replaced_and_those_of_others_stay(room: StripeRoom) -> None:
    """Its secret was told once, to a process that died."""
    lost = await room.subscribe(events=["*"])
    others = {"url": SUBSCRIPTION_URL, "enabled_events": ["*"], "metadata": {"hookline_flow": "another"}}
    made = [await room.run("request", method="POST", path="/v1/webhook_endpoints", fields=others)]
    room.harness.step_id = "by hand"
    by_hand = {"url": SUBSCRIPTION_URL, "enabled_events": ["*"]}
    made.append(await room.run("request", method="POST", path="/v1/webhook_endpoints", fields=by_hand))
    again = await room.subscribe(events=["*"])
    assert set(room.stripe.endpoints) == {again.id["endpoint"], *(one["id"] for one in made)}
    assert again.id != lost.id
    gone = {**again.id, "endpoint": "we_gone"}
    third = await room.subscribe(gone, events=["*"])
    assert set(room.stripe.endpoints) == {third.id["endpoint"], *(one["id"] for one in made)}
