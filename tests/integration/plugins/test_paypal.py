"""`paypal.*` against an API that behaves as PayPal's documentation says."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web
from tests.integration.engine_harness import Harness as EngineHarness
from tests.integration.paypal_server import CLIENT_ID, CLIENT_SECRET, DEBUG_ID, TOKEN, PayPalServer

from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.clocks import SystemClock
from hookline.kernel.errors import AuthExpired, RateLimited, StepError, Unavailable
from hookline.kernel.ids import idempotency_key
from hookline.model.access import SYSTEM
from hookline.model.execution import State
from hookline.outbound.client import PooledClient
from hookline.outbound.egress import Egress
from hookline.sdk.connector import VerifyContext
from hookline.testing import fake_access_tokens
from hookline.testing.connector_harness import SUBSCRIPTION_URL, Harness, ListLog
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_access_tokens import FakeTokens
from hookline.testing.fake_http import FakeHttp
from hookline_paypal.connector import PayPalApi, paypal
from hookline_paypal.credential_check import verify

MAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def server() -> AsyncIterator[PayPalServer]:
    server = PayPalServer()
    await server.server.start_server()
    yield server
    await server.server.close()


@pytest.fixture
async def bench() -> AsyncIterator[Harness]:
    harness = Harness(load_plugins())
    client = PooledClient(clock=SystemClock(), egress=Egress(["127.0.0.1"]), blobs=harness.blobs)
    harness.http = client
    yield harness
    await client.close()
    await harness.close()


class Calls:
    """Calls actions for one server."""

    def __init__(self, harness: Harness, server: PayPalServer) -> None:
        self.harness = harness
        self.server = server

    async def ran(self, name: str, /, token: str = TOKEN, **settings: Any) -> Any:
        return await self.harness.run_action(
            f"paypal.{name}", credential=self.server.credential(), access_token=token, with_=settings
        )

    async def __call__(self, name: str, /, **given: Any) -> Any:
        return (await self.ran(name, **given)).body

    async def fails(self, name: str, /, **given: Any) -> StepError:
        with pytest.raises(StepError) as caught:
            await self(name, **given)
        assert TOKEN not in str(caught.value)
        assert CLIENT_SECRET not in str(caught.value)
        return caught.value

    async def captured(self, value: str = "10.00") -> str:
        """The id of a capture."""
        self.server.remembers = False
        order = await self("create_order", amount=value, currency="EUR")
        self.server.approve(order["id"])
        captures = (await self.ran("capture_order", order_id=order["id"])).extra["captures"]
        self.server.remembers = True
        capture_id: str = captures[0]["id"]
        return capture_id


@pytest.fixture
def do(bench: Harness, server: PayPalServer) -> Calls:
    return Calls(bench, server)


async def test_an_order_is_created_approved_and_captured(do: Calls) -> None:
    made = await do.ran(
        "create_order",
        amount="10.99",
        currency="EUR",
        description="Order 17",
        invoice_id="INV-17",
        return_url="https://shop.example/thanks",
        cancel_url="https://shop.example/basket",
    )
    order = made.body
    assert order["purchase_units"][0]["amount"] == {"currency_code": "EUR", "value": "10.99"}
    assert made.extra["approve_url"] == f"https://www.sandbox.paypal.com/checkoutnow?token={order['id']}"
    assert (await do.ran("get_order", order_id=order["id"])).extra["approve_url"] == made.extra["approve_url"]

    early = await do.fails("capture_order", order_id=order["id"])
    assert (early.error_code, early.retryable) == ("paypal.order_not_approved", False)
    assert "send the payer to the order's `approve_url`" in early.message
    assert DEBUG_ID in early.message

    do.server.approve(order["id"])
    captured = await do.ran("capture_order", order_id=order["id"])
    assert captured.body["status"] == "COMPLETED"
    assert captured.extra["captures"] == [
        {
            "id": "3C679366HH9089000",
            "status": "COMPLETED",
            "amount": {"currency_code": "EUR", "value": "10.99"},
            "invoice_id": "INV-17",
        }
    ]
    assert (await do("get_order", order_id=order["id"]))["status"] == "COMPLETED"


async def test_an_order_may_be_given_as_paypal_has_it(do: Calls) -> None:
    units = [{"amount": {"currency_code": "JPY", "value": "500"}, "custom_id": "a"}]
    made = await do.ran("create_order", purchase_units=units, intent="AUTHORIZE")
    assert made.body["purchase_units"] == [{"reference_id": "default", **units[0]}]
    assert made.body["intent"] == "AUTHORIZE"
    assert made.extra["approve_url"].startswith("https://www.sandbox.paypal.com/")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"amount": "1.00"},
        {"currency": "EUR"},
        {"amount": "1.00", "currency": "EUR", "purchase_units": [{}]},
        {"purchase_units": [{}], "invoice_id": "a"},
        {"amount": "1.00", "currency": "EUR", "return_url": "https://a.example", "payment_source": {"card": {}}},
    ],
)
async def test_settings_of_an_order_that_do_not_go_together_are_said_so(do: Calls, settings: dict[str, Any]) -> None:
    assert (await do.fails("create_order", **settings)).error_code == "paypal.settings"
    assert do.server.calls == []


@pytest.mark.parametrize("amount", ["1,00", "-1.00", "1.0000", "", "1e3", ".5", "one"])
async def test_what_is_no_amount_is_rejected_before_paypal_sees_it(do: Calls, amount: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        await do("create_order", amount=amount, currency="EUR")


async def test_an_amount_may_be_an_exact_number(do: Calls) -> None:
    for amount, text in ((Decimal("10.90"), "10.90"), (Decimal("1E+2"), "100"), (5, "5")):
        do.server.remembers = False
        order = await do("create_order", amount=amount, currency="EUR")
        assert order["purchase_units"][0]["amount"]["value"] == text


async def test_a_step_that_is_tried_again_does_it_once(do: Calls) -> None:
    do.server.lost = [web.Response(status=502)]
    lost = await do.fails("create_order", amount="1.00", currency="EUR")
    assert isinstance(lost, Unavailable)
    assert (lost.error_code, lost.retryable, lost.outcome_unknown) == ("http.502", True, True)
    order = await do("create_order", amount="1.00", currency="EUR")
    assert list(do.server.orders) == [order["id"]]

    do.server.approve(order["id"])
    do.server.lost = [web.Response(status=500)]
    await do.fails("capture_order", order_id=order["id"])
    captures = (await do.ran("capture_order", order_id=order["id"])).extra["captures"]
    do.server.lost = [web.Response(status=500)]
    await do.fails("refund_capture", capture_id=captures[0]["id"], amount="0.40", currency="EUR")
    await do("refund_capture", capture_id=captures[0]["id"], amount="0.40", currency="EUR")
    assert len(do.server.refunds) == 1
    ids = {headers["PayPal-Request-Id"] for _, _, headers in do.server.calls}
    assert len(ids) == 1
    assert all(len(one) <= 38 for one in ids)
    assert idempotency_key("execution", "step") not in ids


async def test_a_capture_is_refunded_in_parts_and_whole(do: Calls) -> None:
    capture_id = await do.captured("10.00")
    do.server.remembers = False
    part = await do("refund_capture", capture_id=capture_id, amount="4.00", currency="EUR", note="sorry")
    assert part["amount"] == {"currency_code": "EUR", "value": "4.00"}
    assert part["note_to_payer"] == "sorry"
    assert (await do("get_capture", capture_id=capture_id))["status"] == "PARTIALLY_REFUNDED"
    too_much = await do.fails("refund_capture", capture_id=capture_id, amount="6.01", currency="EUR")
    assert too_much.error_code == "paypal.refund_amount_exceeded"
    rest = await do("refund_capture", capture_id=capture_id)
    assert rest["amount"]["value"] == "6.00"
    assert (await do.fails("refund_capture", capture_id=capture_id)).error_code == "paypal.capture_fully_refunded"
    assert (await do.fails("refund_capture", capture_id=capture_id, amount="1")).error_code == "paypal.settings"
    unknown = await do.fails("get_capture", capture_id="../orders")
    assert unknown.error_code == "paypal.invalid_resource_id"


ITEMS = [
    {"receiver": "ada@example.com", "amount": {"value": "9.90", "currency": "EUR"}, "sender_item_id": "1"},
    {"receiver": "bob@example.com", "amount": {"value": "5.00", "currency": "EUR"}, "sender_item_id": "2"},
]


async def test_a_payout_is_made_and_looked_at(do: Calls) -> None:
    header = await do("create_payout", items=ITEMS, recipient_type="EMAIL", subject="Your share")
    assert header["batch_status"] == "PENDING"
    assert header["sender_batch_header"]["email_subject"] == "Your share"
    assert (await do("get_payout", payout_batch_id=header["payout_batch_id"])) == header
    items = await do("list_payout_items", payout_batch_id=header["payout_batch_id"])
    assert [item["payout_item"]["receiver"] for item in items] == ["ada@example.com", "bob@example.com"]
    assert (await do.fails("get_payout", payout_batch_id="none")).error_code == "paypal.invalid_resource_id"


async def test_a_payout_whose_answer_was_lost_is_not_made_twice(do: Calls) -> None:
    do.server.remembers = False
    do.server.lost = [web.Response(status=503)]
    await do.fails("create_payout", items=ITEMS)
    header = await do("create_payout", items=ITEMS)
    assert list(do.server.payouts) == [header["payout_batch_id"]]

    await do("create_payout", items=ITEMS, sender_batch_id="march")
    twice = await do.fails("create_payout", items=ITEMS, sender_batch_id="march")
    assert (twice.error_code, twice.retryable) == ("paypal.user_business_error", False)
    assert "SENDER_BATCH_ID: Batch with given sender_batch_id already exists" in twice.message


async def test_a_rejection_says_what_paypal_says(do: Calls) -> None:
    poor = [{"receiver": "a@example.com", "amount": {"value": "5000", "currency": "EUR"}}]
    assert "balance doesn't cover it" in (await do.fails("create_payout", items=poor)).message
    wrong = await do.fails("create_payout", items=[{"amount": {"value": "5", "currency": "EUR"}}])
    assert wrong.error_code == "paypal.validation_error"
    assert "items[0].receiver: Required field is missing" in wrong.message
    order = await do.fails("create_order", purchase_units=[{"amount": {"currency_code": "EUR", "value": "1.999"}}])
    assert order.error_code == "paypal.decimal_precision"
    do.server.forbidden.add("/v1/notifications/webhooks")
    denied = await do.fails("request", path="/v1/notifications/webhooks")
    assert (denied.error_code, denied.retryable) == ("paypal.permission_denied", False)
    assert "the app lacks a feature" in denied.message


@pytest.mark.parametrize(
    ("answer", "kind", "code", "retryable"),
    [
        (web.json_response({"name": "RATE_LIMIT_REACHED"}, status=429), RateLimited, "paypal.rate_limit_reached", True),
        (web.Response(status=429, headers={"Retry-After": "7"}), RateLimited, "http.429", True),
        (
            web.json_response({"name": "INTERNAL_SERVER_ERROR"}, status=500),
            Unavailable,
            "paypal.internal_server_error",
            True,
        ),
        (web.Response(status=503, text="<html>"), Unavailable, "http.503", True),
        (
            web.json_response(
                {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "PREVIOUS_REQUEST_IN_PROGRESS"}]}, status=422
            ),
            StepError,
            "paypal.previous_request_in_progress",
            True,
        ),
        (web.json_response({"name": "sentence, no word", "details": [17]}, status=400), StepError, "http.400", False),
        (web.json_response([1], status=418), StepError, "http.418", False),
        (web.Response(text="<html>"), StepError, "paypal.answer", False),
        (web.json_response({"id": 17}), StepError, "paypal.answer", False),
        (web.json_response(["id"]), StepError, "paypal.answer", False),
        (web.Response(status=204), StepError, "paypal.answer", False),
    ],
)
async def test_an_answer_that_is_none_is_an_error_of_its_kind(
    do: Calls, answer: web.Response, kind: type[StepError], code: str, retryable: bool
) -> None:
    do.server.spoiled = [answer]
    error = await do.fails("refund_capture", capture_id="a")
    assert isinstance(error, kind)
    assert (error.error_code, error.retryable) == (code, retryable)
    assert error.retry_after == (7.0 if code == "http.429" else None)


async def test_a_token_that_is_rejected_is_renewed_once(do: Calls) -> None:
    do.server.tokens.clear()
    error = await do.fails("get_order", order_id="a")
    assert isinstance(error, AuthExpired)
    assert error.error_code == "paypal.invalid_token"
    assert len(do.server.calls) == 2
    do.server.tokens.add(f"{TOKEN}#1")
    assert (await do.fails("get_order", order_id="a")).error_code == "paypal.invalid_resource_id"


def transaction(number: int, at: datetime, status: str = "S") -> dict[str, Any]:
    return {"transaction_id": f"{number:017}", "transaction_status": status, "at": at}


async def test_transactions_are_a_stream_over_pages_and_months(do: Calls) -> None:
    do.server.transactions = [transaction(number, MAY + timedelta(hours=number)) for number in range(24 * 70)]
    listed = await do("list_transactions", start="2026-05-01T02:00:00+02:00", end="2026-07-09T23:00:00Z")
    ids = [one["transaction_info"]["transaction_id"] for one in listed]
    assert ids == [f"{number:017}" for number in range(24 * 70)]
    assert len(do.server.calls) == 2 + 2 + 1
    one = await do("list_transactions", start=MAY, end=MAY + timedelta(days=1), transaction_id=f"{3:017}")
    assert len(one) == 1
    assert (await do.fails("list_transactions", start=MAY, end=MAY - timedelta(days=1))).error_code == "paypal.settings"


async def test_more_transactions_than_paypal_gives_at_once_are_asked_for_in_parts(do: Calls) -> None:
    do.server.transactions = [transaction(number, MAY + timedelta(minutes=number**2)) for number in range(200)]
    do.server.most_transactions = 25
    listed = await do("list_transactions", start=MAY, end=MAY + timedelta(days=30))
    ids = [one["transaction_info"]["transaction_id"] for one in listed]
    assert ids == [f"{number:017}" for number in range(200)]

    do.server.transactions = [transaction(number, MAY) for number in range(26)]
    full = await do.fails("list_transactions", start=MAY, end=MAY + timedelta(days=30))
    assert full.error_code == "paypal.resultset_too_large"


async def test_any_request_can_be_sent(do: Calls) -> None:
    hook = {"url": "https://hooks.example/hook/a", "event_types": [{"name": "*"}]}
    made = await do("request", method="POST", path="/v1/notifications/webhooks", json=hook)
    assert made["url"] == hook["url"]
    assert (await do("request", path="/v1/notifications/webhooks"))["webhooks"] == [made]
    assert await do("request", method="DELETE", path=f"/v1/notifications/webhooks/{made['id']}") is None
    assert do.server.webhooks == {}


@pytest.mark.parametrize(
    "path",
    [
        "v1/a",
        "https://example.com/v1/a",
        "//example.com/v1",
        "/v1/../v2/a",
        "/v1/a?b=c",
        "/v1/a b",
        "@example.com/v1/a",
        "",
    ],
)
async def test_a_request_goes_to_paypals_api_alone(do: Calls, path: str) -> None:
    assert (await do.fails("request", path=path)).error_code == "paypal.path"
    assert do.server.calls == []


async def test_events_are_subscribed_to_changed_and_let_go(do: Calls) -> None:
    run, credential = do.harness, do.server.credential()
    do.server.tokens.add(fake_access_tokens.TOKEN)
    first = await run.run_subscribe("paypal.events", credential=credential, events=["PAYMENT.CAPTURE.COMPLETED"])
    (webhook,) = do.server.webhooks.values()
    assert (first.id, first.secret) == ({"api": do.server.url, "webhook": webhook["id"]}, webhook["id"])
    assert webhook["url"] == SUBSCRIPTION_URL

    # As where the answer was lost, or the flow has changed: there is one webhook still.
    again = await run.run_subscribe("paypal.events", credential=credential, events=["B", "A", "A"], known=first.id)
    assert again == first
    assert do.server.webhooks[webhook["id"]]["event_types"] == [{"name": "A"}, {"name": "B"}]
    assert await run.run_renew("paypal.events", first.id, credential=credential) == first
    assert await run.run_renew("paypal.events", {**first.id, "webhook": "other"}, credential=credential) is None

    await run.run_unsubscribe("paypal.events", first.id, credential=credential)
    assert do.server.webhooks == {}
    await run.run_unsubscribe("paypal.events", first.id, credential=credential)
    assert await run.run_renew("paypal.events", first.id, credential=credential) is None


async def test_a_webhook_that_paypal_does_not_make_is_said_so(do: Calls) -> None:
    do.server.tokens.add(fake_access_tokens.TOKEN)
    do.server.webhooks = {
        str(number): {"id": str(number), "url": f"https://a.example/{number}"} for number in range(10)
    }
    with pytest.raises(StepError) as caught:
        await do.harness.run_subscribe("paypal.events", credential=do.server.credential(), events=["*"])
    assert caught.value.error_code == "paypal.webhook_number_limit_exceeded"


async def test_a_flow_subscribes_with_an_access_token_as_it_starts(tmp_path: Path, server: PayPalServer) -> None:
    harness = EngineHarness(tmp_path)
    trigger = {"use": "paypal.events", "with": {"events": ["*"]}, "credential": "app"}
    harness.flow("paid", [{"id": "note", "use": "log", "with": {"message": "paid"}}], trigger=trigger)
    options: dict[str, Any] = {
        "egress_allow": ("127.0.0.0/8",),
        "public_url": "https://hooks.example.com",
        "public_url_set": True,
    }
    async with harness.engine(**options) as engine:
        await engine.credentials.put("app", "paypal-api", server.credential(), by=SYSTEM)
        async with asyncio.timeout(30):
            while not server.webhooks:
                await asyncio.sleep(0.01)
                harness.clock.advance(10)
    (webhook,) = server.webhooks.values()
    assert webhook["url"] == "https://hooks.example.com/hook/paid"
    assert server.given == 1


async def test_a_credential_is_verified(bench: Harness, server: PayPalServer) -> None:
    credential = PayPalApi.model_validate(server.credential())
    context = VerifyContext(credential, bench.http, ListLog(), bench.resources, FakeTokens(bench.http, TOKEN))
    assert await verify(context) == "the app AeA1QIZX… at 127.0.0.1, with 0 webhooks"
    server.tokens.clear()
    with pytest.raises(AuthExpired):
        await verify(context)


async def test_flows_get_their_tokens_from_paypal(tmp_path: Path, server: PayPalServer) -> None:
    harness = EngineHarness(tmp_path)
    ordering = {"use": "paypal.create_order", "with": {"amount": "1.00", "currency": "EUR"}, "credential": "app"}
    harness.flow("f", [{"id": "first", **ordering}, {"id": "second", **ordering}])
    async with harness.engine(egress_allow=("127.0.0.0/8",)) as engine:
        await engine.credentials.put("app", "paypal-api", server.credential(), by=SYSTEM)
        execution = await harness.advance_until(engine, await harness.send(engine, "f", None))
        assert execution.state is State.SUCCEEDED
        assert (server.given, len(server.orders)) == (1, 2)
        # As where the app's secret was changed meanwhile, or PayPal has lost its tokens.
        server.tokens.clear()
        execution = await harness.advance_until(engine, await harness.send(engine, "f", None))
        assert execution.state is State.SUCCEEDED
        assert (server.given, len(server.orders)) == (2, 4)

        server.tokens.clear()
        server.secret = "another"
        execution = await harness.advance_until(engine, await harness.send(engine, "f", None))
        assert execution.state is State.FAILED
        assert execution.error is not None
        assert CLIENT_SECRET not in execution.error.message


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"client_id": "a"},
        {"client_id": "", "client_secret": "b"},
        {"client_id": "a", "client_secret": "b", "base_url": "a"},
    ],
)
def test_a_credential_that_can_not_work_is_rejected(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"client_id|client_secret|base_url"):
        PayPalApi.model_validate(values)


class TestContract(ConnectorContract):
    connector = paypal
    credential: ClassVar[dict[str, Any]] = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    level = "gold"
    calls: ClassVar[dict[str, dict[str, Any]]] = {
        "paypal.create_order": {"amount": "1.00", "currency": "EUR"},
        "paypal.get_order": {"order_id": "O1"},
        "paypal.capture_order": {"order_id": "O1"},
        "paypal.get_capture": {"capture_id": "C1"},
        "paypal.refund_capture": {"capture_id": "C1"},
        "paypal.create_payout": {"items": ITEMS},
        "paypal.get_payout": {"payout_batch_id": "P1"},
        "paypal.list_payout_items": {"payout_batch_id": "P1"},
        "paypal.list_transactions": {"start": "2026-05-01T00:00:00Z", "end": "2026-05-02T00:00:00Z"},
        "paypal.events": {"events": ["PAYMENT.CAPTURE.COMPLETED"]},
        "paypal.request": {"path": "/v1/notifications/webhooks"},
    }

    def answers(self, http: FakeHttp) -> None:
        base = "https://api-m.paypal.com"
        order = {"id": "O1", "status": "COMPLETED", "purchase_units": [{"payments": {"captures": [{"id": "C1"}]}}]}
        payout = {"batch_header": {"payout_batch_id": "P1", "batch_status": "PENDING"}, "items": []}
        http.answers("POST", f"{base}/v2/checkout/orders", order)
        http.answers("GET", f"{base}/v2/checkout/orders/O1", order)
        http.answers("POST", f"{base}/v2/checkout/orders/O1/capture", order)
        http.answers("GET", f"{base}/v2/payments/captures/C1", {"id": "C1", "status": "COMPLETED"})
        http.answers("POST", f"{base}/v2/payments/captures/C1/refund", {"id": "R1", "status": "COMPLETED"})
        http.answers("POST", f"{base}/v1/payments/payouts", payout)
        http.answers("GET", f"{base}/v1/payments/payouts/P1?page_size=1", payout)
        http.answers("GET", f"{base}/v1/payments/payouts/P1?page_size=1000&page=1", payout)
        http.answers(
            "GET",
            f"{base}/v1/reporting/transactions?fields=transaction_info&balance_affecting_records_only=Y"
            "&start_date=2026-05-01T00:00:00Z&end_date=2026-05-02T00:00:00Z&page_size=500&page=1",
            {"transaction_details": [], "total_pages": 0},
        )
        http.answers("GET", f"{base}/v1/notifications/webhooks", {"webhooks": []})
        http.answers("POST", f"{base}/v1/notifications/webhooks", {"id": "W1"})
        http.answers("DELETE", f"{base}/v1/notifications/webhooks/W1", {})
