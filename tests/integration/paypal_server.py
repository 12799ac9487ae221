"""PayPal's REST API as its documentation describes it: orders, captures, payouts, transactions, webhooks."""

import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

CLIENT_ID = "AeA1QIZXiflr1_-of-tests"
CLIENT_SECRET = "EC-secret-of-tests"
TOKEN = "A21AA-given-to-tests"
DEBUG_ID = "90957fca61718"

_MONEY = re.compile(r"^[0-9]+(\.[0-9]+)?$")
_DECIMALS = {"JPY": 0, "HUF": 0, "TWD": 0}


class _Rejected(Exception):
    def __init__(self, status: int, name: str, issue: str = "", description: str = "", **more: Any) -> None:
        detail = {"issue": issue, "description": description, **more.pop("detail", {})}
        self.status = status
        self.answer = {
            "name": name,
            "message": more.pop("message", "The requested action could not be performed."),
            "debug_id": DEBUG_ID,
            "details": [detail] if issue else [],
            "links": more.pop("links", []),
        }


def _unprocessable(issue: str, description: str = "") -> _Rejected:
    return _Rejected(422, "UNPROCESSABLE_ENTITY", issue, description)


def _not_found() -> _Rejected:
    return _Rejected(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "Specified resource ID does not exist.")


class PayPalServer:
    """The API; what the app has done can be looked at, and what it answers can be spoiled."""

    def __init__(self) -> None:
        self.tokens = {TOKEN}
        self.given = 0
        self.secret = CLIENT_SECRET
        self.orders: dict[str, dict[str, Any]] = {}
        self.captures: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.payouts: dict[str, dict[str, Any]] = {}
        self.webhooks: dict[str, dict[str, Any]] = {}
        self.transactions: list[dict[str, Any]] = []
        self.most_transactions = 10_000
        self.forbidden: set[str] = set()
        """Paths that the app has no feature for."""
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.spoiled: list[web.Response | None] = []
        """What the next requests are answered, whatever they are; those of None are answered as ever."""
        self.lost: list[web.Response] = []
        """What the next requests are answered once they have taken effect."""
        self.remembers = True
        """Whether it knows requests again."""
        self._done: dict[tuple[str, str], tuple[int, Any]] = {}
        application = web.Application()
        application.router.add_post("/v1/oauth2/token", self._token)
        for method, path, handler in (
            ("POST", "/v2/checkout/orders", self._create_order),
            ("GET", "/v2/checkout/orders/{id}", self._get_order),
            ("POST", "/v2/checkout/orders/{id}/capture", self._capture_order),
            ("GET", "/v2/payments/captures/{id}", self._get_capture),
            ("POST", "/v2/payments/captures/{id}/refund", self._refund),
            ("POST", "/v1/payments/payouts", self._create_payout),
            ("GET", "/v1/payments/payouts/{id}", self._get_payout),
            ("GET", "/v1/reporting/transactions", self._list_transactions),
            ("GET", "/v1/notifications/webhooks", self._list_webhooks),
            ("POST", "/v1/notifications/webhooks", self._create_webhook),
            ("PATCH", "/v1/notifications/webhooks/{id}", self._change_webhook),
            ("DELETE", "/v1/notifications/webhooks/{id}", self._delete_webhook),
        ):
            application.router.add_route(method, path, self._handled(handler))
        self.server = TestServer(application)

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return str(self.server.make_url("")).rstrip("/")

    def credential(self, secret: str = CLIENT_SECRET) -> dict[str, Any]:
        """Values of a credential for it."""
        return {"client_id": CLIENT_ID, "client_secret": secret, "base_url": self.url}

    def approve(self, order_id: str) -> None:
        """What the payer does."""
        self.orders[order_id]["status"] = "APPROVED"

    async def _token(self, request: web.Request) -> web.Response:
        wanted = "Basic " + b64encode(f"{CLIENT_ID}:{self.secret}".encode()).decode()
        if request.headers.get("Authorization") != wanted:
            answer = {"error": "invalid_client", "error_description": "Client Authentication failed"}
            return web.json_response(answer, status=401)
        if (await request.post()).get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        self.given += 1
        token = f"A21AA-{self.given}"
        self.tokens.add(token)
        return web.json_response(
            {
                "scope": "https://uri.paypal.com/services/payments/payment",
                "access_token": token,
                "token_type": "Bearer",
                "app_id": "APP-80W284485P519543T",
                "expires_in": 32400,
                "nonce": "n",
            }
        )

    def _handled(
        self, handler: Callable[[web.Request, Any], tuple[int, Any]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            spoiled = self.spoiled.pop(0) if self.spoiled else None
            if spoiled is not None:
                return spoiled
            self.calls.append((request.method, request.path, dict(request.headers)))
            if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
                answer = {"error": "invalid_token", "error_description": "Token signature verification failed"}
                return web.json_response(answer, status=401)
            try:
                status, answer = self._answered(request, handler, await self._body(request))
            except _Rejected as rejected:
                status, answer = rejected.status, rejected.answer
            if self.lost:
                return self.lost.pop(0)
            return web.Response(status=204) if answer is None else web.json_response(answer, status=status)

        return handle

    async def _body(self, request: web.Request) -> Any:
        text = await request.text()
        return json.loads(text) if text else {}

    def _answered(
        self, request: web.Request, handler: Callable[[web.Request, Any], tuple[int, Any]], body: Any
    ) -> tuple[int, Any]:
        if request.path in self.forbidden:
            description = "You do not have permission to access or perform operations on this resource."
            raise _Rejected(403, "NOT_AUTHORIZED", "PERMISSION_DENIED", description)
        request_id = request.headers.get("PayPal-Request-Id", "")
        if len(request_id) > 108:
            raise _Rejected(400, "INVALID_REQUEST", "INVALID_STRING_LENGTH", "The value is too long.")
        known = (request.path, request_id)
        if request_id and self.remembers and known in self._done:
            status, answer = self._done[known]
            return (200 if status == 201 else status), answer
        status, answer = handler(request, body)
        if request.headers.get("Prefer") != "return=representation" and request.path.startswith("/v2"):
            names = {"id", "status", "links"} if request.method == "POST" else set(answer)
            answer = {name: value for name, value in answer.items() if name in names}
        if request_id:
            self._done[known] = status, answer
        return status, answer

    def _check_money(self, money: Any) -> Decimal:
        if not isinstance(money, dict) or not isinstance(money.get("value"), str) or not _MONEY.match(money["value"]):
            detail = {"field": "/amount/value", "location": "body"}
            raise _Rejected(
                400, "INVALID_REQUEST", "INVALID_PARAMETER_SYNTAX", "The value is no amount.", detail=detail
            )
        digits = len(money["value"].partition(".")[2])
        if digits > _DECIMALS.get(money.get("currency_code", ""), 2):
            raise _unprocessable(
                "DECIMAL_PRECISION", "The value of the field should not be more than two decimal places."
            )
        return Decimal(money["value"])

    def _create_order(self, request: web.Request, body: Any) -> tuple[int, Any]:
        if body.get("payment_source") and "PayPal-Request-Id" not in request.headers:
            raise _Rejected(400, "INVALID_REQUEST", "PAYPAL_REQUEST_ID_REQUIRED", "A PayPal-Request-Id is required.")
        units = body.get("purchase_units")
        if not units:
            detail = {"field": "/purchase_units", "location": "body", "value": ""}
            raise _Rejected(
                400,
                "INVALID_REQUEST",
                "MISSING_REQUIRED_PARAMETER",
                "A required field / parameter is missing.",
                detail=detail,
                message="Request is not well-formed, syntactically incorrect, or violates schema.",
            )
        for unit in units:
            self._check_money(unit.get("amount"))
        order_id = f"5O190127TN36471{len(self.orders):02}T"
        source = bool(body.get("payment_source"))
        order = {
            "id": order_id,
            "intent": body["intent"],
            "status": "PAYER_ACTION_REQUIRED" if source else "CREATED",
            "purchase_units": [{"reference_id": "default", **unit} for unit in units],
            "links": [
                {"href": f"{self.url}/v2/checkout/orders/{order_id}", "rel": "self", "method": "GET"},
                {
                    "href": f"https://www.sandbox.paypal.com/checkoutnow?token={order_id}",
                    "rel": "payer-action" if source else "approve",
                    "method": "GET",
                },
            ],
        }
        self.orders[order_id] = order
        return 201, order

    def _order(self, request: web.Request) -> dict[str, Any]:
        order = self.orders.get(request.match_info["id"])
        if order is None:
            raise _not_found()
        return order

    def _get_order(self, request: web.Request, _: Any) -> tuple[int, Any]:
        return 200, self._order(request)

    def _capture_order(self, request: web.Request, _: Any) -> tuple[int, Any]:
        order = self._order(request)
        if order["status"] == "COMPLETED":
            raise _unprocessable("ORDER_ALREADY_CAPTURED", "Order already captured.")
        if order["status"] != "APPROVED":
            raise _unprocessable("ORDER_NOT_APPROVED", "Payer has not yet approved the Order for payment.")
        used = {capture.get("invoice_id") for capture in self.captures.values()} - {None}
        for unit in order["purchase_units"]:
            if unit.get("invoice_id") in used:
                raise _unprocessable("DUPLICATE_INVOICE_ID", "Duplicate Invoice ID detected.")
            capture = {"id": f"3C679366HH9089{len(self.captures):03}", "status": "COMPLETED", "amount": unit["amount"]}
            if "invoice_id" in unit:
                capture["invoice_id"] = unit["invoice_id"]
            self.captures[capture["id"]] = capture
            unit["payments"] = {"captures": [capture]}
        order["status"] = "COMPLETED"
        return 201, order

    def _capture(self, request: web.Request) -> dict[str, Any]:
        capture = self.captures.get(request.match_info["id"])
        if capture is None:
            raise _not_found()
        return capture

    def _get_capture(self, request: web.Request, _: Any) -> tuple[int, Any]:
        return 200, self._capture(request)

    def _refund(self, request: web.Request, body: Any) -> tuple[int, Any]:
        capture = self._capture(request)
        before = sum(
            (Decimal(one["amount"]["value"]) for one in self.refunds.values() if one["of"] == capture["id"]), Decimal()
        )
        left = Decimal(capture["amount"]["value"]) - before
        if left == 0:
            raise _unprocessable("CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded")
        currency = capture["amount"]["currency_code"]
        if "amount" in body:
            amount = self._check_money(body["amount"])
            if body["amount"]["currency_code"] != currency:
                raise _unprocessable("REFUND_CAPTURE_CURRENCY_MISMATCH", "Refund must be in the same currency.")
            if amount > left:
                raise _unprocessable("REFUND_AMOUNT_EXCEEDED", "The refund amount must be less than the capture.")
        else:
            amount = left
        refund = {
            "id": f"1JU08902781691{len(self.refunds):03}",
            "of": capture["id"],
            "status": "COMPLETED",
            "amount": {"currency_code": currency, "value": str(amount)},
            **{name: body[name] for name in ("note_to_payer", "invoice_id", "custom_id") if name in body},
        }
        self.refunds[refund["id"]] = refund
        capture["status"] = "REFUNDED" if amount == left else "PARTIALLY_REFUNDED"
        return 201, {name: value for name, value in refund.items() if name != "of"}

    def _create_payout(self, _: web.Request, body: Any) -> tuple[int, Any]:
        header = body["sender_batch_header"]
        for batch_id, payout in self.payouts.items():
            if payout["batch_header"]["sender_batch_header"]["sender_batch_id"] == header["sender_batch_id"]:
                raise _Rejected(
                    400,
                    "USER_BUSINESS_ERROR",
                    "Batch with given sender_batch_id already exists",
                    message="User business error.",
                    detail={"field": "SENDER_BATCH_ID", "location": "body"},
                    links=[{"href": f"{self.url}/v1/payments/payouts/{batch_id}", "rel": "self", "method": "GET"}],
                )
        for item in body["items"]:
            if "receiver" not in item:
                raise _Rejected(
                    400,
                    "VALIDATION_ERROR",
                    "Required field is missing",
                    message="Invalid request - see details",
                    detail={"field": "items[0].receiver", "location": "body"},
                )
        total = sum(Decimal(item["amount"]["value"]) for item in body["items"])
        if total > 1000:
            raise _Rejected(422, "INSUFFICIENT_FUNDS", message="Sender does not have sufficient funds.")
        batch_id = f"5UXD2E8A7EBQ{len(self.payouts)}"
        self.payouts[batch_id] = {
            "batch_header": {"payout_batch_id": batch_id, "batch_status": "PENDING", "sender_batch_header": header},
            "items": [
                {"payout_item_id": f"I{number}", "transaction_status": "SUCCESS", "payout_item": item}
                for number, item in enumerate(body["items"])
            ],
        }
        return 201, {"batch_header": self.payouts[batch_id]["batch_header"], "links": []}

    def _get_payout(self, request: web.Request, _: Any) -> tuple[int, Any]:
        payout = self.payouts.get(request.match_info["id"])
        if payout is None:
            raise _Rejected(404, "INVALID_RESOURCE_ID", message="Requested resource ID was not found.")
        size, page = int(request.query.get("page_size", 1000)), int(request.query.get("page", 1))
        return 200, {**payout, "items": payout["items"][(page - 1) * size : page * size]}

    def _list_transactions(self, request: web.Request, _: Any) -> tuple[int, Any]:
        start, end = (
            datetime.strptime(request.query[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            for name in ("start_date", "end_date")
        )
        if not timedelta() <= end - start <= timedelta(days=31):
            raise _Rejected(
                400,
                "INVALID_REQUEST",
                "Date range is greater than 31 days",
                message="Request is not well-formed, syntactically incorrect, or violates schema.",
                detail={"field": "end_date", "location": "query"},
            )
        found = [one for one in self.transactions if start <= one["at"] <= end]
        for name in ("transaction_status", "transaction_id"):
            if name in request.query:
                found = [one for one in found if one[name] == request.query[name]]
        if len(found) > self.most_transactions:
            raise _Rejected(400, "RESULTSET_TOO_LARGE", message="Result set size is greater than the maximum limit.")
        size, page = int(request.query["page_size"]), int(request.query["page"])
        if size > 500:
            raise _Rejected(400, "INVALID_REQUEST", "Page size is too large")
        shown = found[(page - 1) * size : page * size]
        return 200, {
            "transaction_details": [
                {"transaction_info": {name: value for name, value in one.items() if name != "at"}} for one in shown
            ],
            "total_items": len(found),
            "total_pages": -(-len(found) // size),
            "page": page,
        }

    def _list_webhooks(self, _: web.Request, __: Any) -> tuple[int, Any]:
        return 200, {"webhooks": list(self.webhooks.values())}

    def _create_webhook(self, _: web.Request, body: Any) -> tuple[int, Any]:
        if not str(body.get("url", "")).startswith("https://"):
            raise _Rejected(400, "VALIDATION_ERROR", "Not a valid webhook URL", detail={"field": "url"})
        if any(one["url"] == body["url"] for one in self.webhooks.values()):
            raise _Rejected(400, "WEBHOOK_URL_ALREADY_EXISTS", message="Webhook URL already exists.")
        if len(self.webhooks) >= 10:
            raise _Rejected(400, "WEBHOOK_NUMBER_LIMIT_EXCEEDED", message="Webhook number limit exceeded.")
        webhook = {"id": f"0EH40505U7160970{len(self.webhooks)}", **body}
        self.webhooks[webhook["id"]] = webhook
        return 201, webhook

    def _change_webhook(self, request: web.Request, body: Any) -> tuple[int, Any]:
        webhook = self.webhooks.get(request.match_info["id"])
        if webhook is None:
            raise _Rejected(404, "INVALID_RESOURCE_ID", message="The specified resource was not found.")
        for change in body:
            if change["op"] != "replace" or change["path"] not in ("/url", "/event_types"):
                raise _Rejected(400, "VALIDATION_ERROR", "Invalid patch operation")
            webhook[change["path"][1:]] = change["value"]
        return 200, webhook

    def _delete_webhook(self, request: web.Request, _: Any) -> tuple[int, Any]:
        if self.webhooks.pop(request.match_info["id"], None) is None:
            raise _Rejected(404, "INVALID_RESOURCE_ID", message="The specified resource was not found.")
        return 204, None
