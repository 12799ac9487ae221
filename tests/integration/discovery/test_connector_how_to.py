"""The connector of the page on writing one, against a service that does what the page says."""

import re
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from tests.integration.http_servers import Serve

from hookline.api import RateLimited
from hookline.credentials.connector_options import OptionsRequest, fetch_options
from hookline.credentials.stored_credentials import FoundCredential
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.outbound.client import PooledClient
from hookline.plugin_host.plugin_calls import PluginCalls
from hookline.plugin_host.resources import EngineResources
from hookline.secrets.credential_reach import HostRule
from hookline.telemetry.metrics import Metrics
from hookline.testing.connector_harness import Harness, plugin_of

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-a-connector.md"


@pytest.fixture
def registry() -> Iterator[Registry]:
    """With the page's connector, whose annotations are looked up in its module."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    module = types.ModuleType("connector_of_the_page")
    sys.modules[module.__name__] = module
    exec(compile(block, str(PAGE), "exec"), module.__dict__)
    yield load_plugins(extra_plugins=[plugin_of(module.acme)])
    del sys.modules[module.__name__]


class Service:
    """Acme, as far as the page uses it."""

    def __init__(self) -> None:
        self.prices: dict[str, Any] = {}
        self.orders: list[dict[str, Any]] = []
        self.left = 100

    async def handle(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer hunter2"
        match request.method, request.path:
            case "GET", "/orders" if self.left <= 0:
                headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"}
                return web.json_response({}, status=403, headers=headers)
            case "GET", "/orders":
                page = int(request.query.get("page", "1"))
                link = {"Link": f"<?page={page + 1}>; rel=next"} if page < 3 else {}
                return web.json_response([{"id": page, "sku": "a"}], headers=link)
            case "GET", "/warehouses":
                return web.json_response({"data": [{"id": "n", "name": request.query["q"]}], "meta": {"next": None}})
            case "POST", "/orders":
                self.orders.append(await request.json())
                return web.json_response({"id": len(self.orders), "sku": "a"})
            case _:
                self.prices[request.match_info["tail"]] = (await request.json())["amount"]
                return web.json_response({})


async def test_the_pages_connector_does_what_the_page_says(
    registry: Registry, client: PooledClient, serve: Serve
) -> None:
    service = Service()
    server = await serve({"/orders": service.handle, "/warehouses": service.handle, "/prices/{tail}": service.handle})
    key = {"base_url": str(server.make_url("/"))[:-1], "token": "hunter2"}
    harness = Harness(registry, client)
    try:
        ran = await harness.run_action("acme.list_orders", credential=key)
        assert ran.body == [{"id": number, "sku": "a"} for number in (1, 2, 3)]
        service.left = 0
        with pytest.raises(RateLimited) as caught:
            await harness.run_action("acme.list_orders", credential=key)
        assert caught.value.retry_after == 40.0
        for name, settings in (
            ("acme.create_order", {"sku": "a", "quantity": 2}),
            ("acme.create_order@1", {"article": "a", "count": 2}),
        ):
            await harness.run_action(name, credential=key, with_=settings)
        assert service.orders[0] == service.orders[1]
        prices = [{"sku": "a", "amount": 1.5}, {"sku": "b", "amount": 2}]
        assert (await harness.run_action("acme.load_prices", credential=key, prices=prices)).body == {"count": 2}
        assert service.prices == {"a": 1.5, "b": 2.0}
    finally:
        await harness.close()

    class OneCredential:
        def get(self, name: str, flow_id: str | None) -> Any:
            value = registry.credential_types["acme"].model_validate(key)
            return FoundCredential("acme", value, HostRule(name))

    found = await fetch_options(
        OptionsRequest("acme.create_order", "warehouse", "prod", {"country": "NL"}, "north"),
        OneCredential(),
        PluginCalls(registry, Metrics(), structlog.get_logger()),
        http=client,
        resources=EngineResources(),
        log=structlog.get_logger(),
    )
    assert [(one.value, one.label) for one in found.options] == [("n", "north")]


def test_the_pages_connector_says_of_itself_what_the_page_says(registry: Registry) -> None:
    action = registry.actions["acme.create_order"]
    assert (action.version, action.rate) == (2, "10/s")
    assert AsyncIterator in [getattr(registry.actions["acme.list_orders"].returns, "__origin__", None)]
