"""Stripe's API as its documentation describes it, as far as `localstripe` leaves it out: real HTTP, in memory.

Webhook endpoints (whose secret is told once), the account, invoices that are finalized, errors with all their parts,
and answers that are kept under their idempotency key. It sends signed events to the endpoints that were made.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

KEY = "sk_test_0123456789abcdef"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Rejected(Exception):
    """Answered with a status, and Stripe's kind of document."""

    def __init__(self, status: int, headers: Mapping[str, str] | None = None, **error: Any) -> None:
        super().__init__(error.get("message"))
        self.status = status
        self.error = {"type": "invalid_request_error", **error}
        self.headers = dict(headers or {})


class StripeServer:
    """One account."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.headers: list[Mapping[str, str]] = []
        self.endpoints: dict[str, dict[str, Any]] = {}
        """With their secrets."""
        self.invoices: dict[str, dict[str, Any]] = {}
        self.forms: list[dict[str, Any]] = []
        self.rejects: list[Rejected] = []
        """Raised by the next requests, one each."""
        self.restricted = False
        self.answers_late: Callable[[web.Request], Awaitable[None]] | None = None
        """Awaited after a request was done, and before it is answered."""
        self._kept: dict[str, tuple[str, int, bytes]] = {}
        self._numbers = count(1)
        self.app = web.Application(middlewares=[self._checks])
        route = self.app.router.add_route
        route("GET", "/v1/account", self._account)
        route("GET", "/v1/balance", self._balance)
        route("GET", "/v1/webhook_endpoints", self._list)
        route("POST", "/v1/webhook_endpoints", self._create)
        route("GET", "/v1/webhook_endpoints/{id}", self._get)
        route("POST", "/v1/webhook_endpoints/{id}", self._update)
        route("DELETE", "/v1/webhook_endpoints/{id}", self._delete)
        route("POST", "/v1/invoices", self._invoice)
        route("POST", "/v1/invoices/{id}/finalize", self._finalize)
        route("POST", "/v1/payment_intents", self._declined)

    async def send(self, endpoint: Mapping[str, Any], type: str, secret: str | None = None, **more: Any) -> int:
        """Send an event as Stripe does; gives the status of the answer."""
        event = {"id": f"evt_{next(self._numbers)}", "object": "event", "type": type, "data": {"object": {}}, **more}
        body, at = json.dumps(event).encode(), int(time.time())
        key = (secret or endpoint["secret"]).encode()
        signature = hmac.new(key, f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={at},v1={signature}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(endpoint["url"], data=body, headers=headers) as response,
        ):
            return response.status

    @web.middleware
    async def _checks(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.headers.append(dict(request.headers))
        id_ = {"Request-Id": f"req_{next(self._numbers)}"}
        key, body = request.headers.get("Idempotency-Key"), await request.text()
        try:
            if request.headers.get("Authorization") != f"Bearer {KEY}":
                raise Rejected(401, message="Invalid API Key provided: sk_test_****cdef")
            if self.rejects:
                raise self.rejects.pop(0)
            if key is not None and key in self._kept:
                asked, status, content = self._kept[key]
                if asked != f"{request.path} {body}":
                    message = "Keys for idempotent requests can only be used with the same parameters."
                    raise Rejected(400, type="idempotency_error", message=message)
                headers = {**id_, "Idempotent-Replayed": "true"}
                return web.Response(body=content, status=status, headers=headers, content_type="application/json")
            response = await handler(request)
        except Rejected as rejected:
            return web.json_response({"error": rejected.error}, status=rejected.status, headers=id_ | rejected.headers)
        except web.HTTPNotFound:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            return web.json_response({"error": {"type": "invalid_request_error", "message": message}}, status=404)
        if key is not None and isinstance(response, web.Response) and isinstance(response.body, bytes):
            self._kept[key] = (f"{request.path} {body}", response.status, response.body)
        if self.answers_late is not None:
            await self.answers_late(request)
        response.headers.update(id_)
        return response

    async def _form(self, request: web.Request) -> dict[str, Any]:
        found = nested_form(parse_qsl(await request.text(), keep_blank_values=True))
        self.forms.append(found)
        return found

    async def _account(self, _request: web.Request) -> web.Response:
        if self.restricted:
            raise Rejected(403, message="The provided key 'rk_test_****' does not have the required permissions.")
        return web.json_response({"id": "acct_1", "object": "account", "business_profile": {"name": "Acme"}})

    async def _balance(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "balance", "livemode": False})

    async def _list(self, request: web.Request) -> web.Response:
        found = [_shown(one) for one in reversed(self.endpoints.values())]
        after, limit = request.query.get("starting_after"), int(request.query.get("limit", 10))
        ids = [one["id"] for one in found]
        start = ids.index(after) + 1 if after is not None else 0
        page = found[start : start + limit]
        return web.json_response({"object": "list", "data": page, "has_more": start + limit < len(found)})

    async def _create(self, request: web.Request) -> web.Response:
        given = await self._form(request)
        if not given.get("enabled_events"):
            raise Rejected(400, code="parameter_missing", param="enabled_events", message="Missing required param.")
        number = next(self._numbers)
        made = {
            "id": f"we_{number}",
            "object": "webhook_endpoint",
            "status": "enabled",
            "metadata": {},
            "secret": f"whsec_{number}_{'x' * 24}",
            **given,
        }
        self.endpoints[made["id"]] = made
        return web.json_response(made)

    def _found(self, request: web.Request) -> dict[str, Any]:
        found = self.endpoints.get(request.match_info["id"])
        if found is None:
            message = f"No such webhook endpoint: '{request.match_info['id']}'"
            raise Rejected(404, code="resource_missing", param="webhook_endpoint", message=message)
        return found

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self._found(request)))

    async def _update(self, request: web.Request) -> web.Response:
        found, given = self._found(request), await self._form(request)
        if "connect" in given or "api_version" in given:
            raise Rejected(400, code="parameter_unknown", message="Received unknown parameter")
        found["status"] = "disabled" if given.pop("disabled", "false") == "true" else "enabled"
        found |= given
        return web.json_response(_shown(found))

    async def _delete(self, request: web.Request) -> web.Response:
        found = self._found(request)
        del self.endpoints[found["id"]]
        return web.json_response({"id": found["id"], "object": "webhook_endpoint", "deleted": True})

    async def _invoice(self, request: web.Request) -> web.Response:
        made = {"id": f"in_{next(self._numbers)}", "object": "invoice", "status": "draft", **await self._form(request)}
        self.invoices[made["id"]] = made
        return web.json_response(made)

    async def _finalize(self, request: web.Request) -> web.Response:
        invoice = self.invoices[request.match_info["id"]]
        if invoice["status"] != "draft":
            message = "This invoice is already finalized, you can't re-finalize a non-draft invoice."
            raise Rejected(400, code="invoice_not_editable", message=message)
        invoice["status"] = "open"
        return web.json_response(invoice)

    async def _declined(self, request: web.Request) -> web.Response:
        await self._form(request)
        raise Rejected(
            402,
            type="card_error",
            code="card_declined",
            decline_code="insufficient_funds",
            param="payment_method",
            message="Your card has insufficient funds.",
        )


def _shown(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in endpoint.items() if name != "secret"}


def nested_form(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`a[b][0]=c` as an object: written independently of what writes it."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        keys = re.findall(r"[^\[\]]+", name)
        place = root
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
    return {name: _listed(value) for name, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    values = {key: _listed(item) for key, item in value.items()}
    return list(values.values()) if list(values) == [str(n) for n in range(len(values))] else values
